# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The parts of a page of HTML that needs nothing but itself."""

import html
from typing import Sequence

from nomic_jax.report import charts
from nomic_jax.storage import decoding


def escape(text: object) -> str:
  return html.escape(str(text))


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
  """Returns a table of cells that are HTML already."""
  head = "".join(f"<th>{escape(h)}</th>" for h in heads)
  body = "".join(
      "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>"
      for row in rows)
  return (f'<div class="wide"><table><thead><tr>{head}</tr></thead>'
          f"<tbody>{body}</tbody></table></div>")


def page(body: Sequence[str]) -> str:
  return decoding.safe(
      '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
      '<meta name="viewport" content="width=device-width, initial-scale=1">'
      f"<title>nomic_jax report</title><style>{charts.STYLE}</style></head>\n"
      "<body><main><h1>nomic_jax: trainings and scores</h1>\n"
      + "\n".join(body) + "\n</main></body></html>\n"
  )
