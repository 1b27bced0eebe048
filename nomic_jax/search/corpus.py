# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Reads the documents of a corpus in any supported format."""

from collections.abc import Iterator
from collections.abc import Sequence
import pathlib

from nomic_jax.data import dataset
from nomic_jax.data.readers import beir
from nomic_jax.data.readers import markdown
from nomic_jax.errors import UserError
from nomic_jax.storage import formats
from nomic_jax.storage import text_lines
from nomic_jax.storage.bad import BadRows

_COLUMNS = ("document", "text", "body", "content", "answer")

_NAMES = ("location", "id", "_id")  # what a document is called


def read(
  path: pathlib.Path, splits: Sequence[str] | None = None
) -> Iterator[tuple[str, str]]:
  """Yields (text, location) of each document.

  Args:
    path: a data directory; a BEIR folder; a page or a folder of Markdown, whose
      sections are documents; a table with "document" or "text" and optionally
      "location" or "id"; or .txt with one text per line.
    splits: the splits of a data directory to read; default: all, train first.

  Raises:
    UserError: naming the file and row.
  """
  if beir.known(str(path)):
    yield from beir.corpus(str(path))
  elif markdown.known(str(path)):
    yield from _pages(path)
  elif path.is_dir():
    for split in splits or sorted(
      dataset.splits(path), key=lambda name: name != "train"
    ):
      source = dataset.open_split(path, split)
      for row in map(source.__getitem__, range(len(source))):
        yield row["document"], row["location"]
  elif path.name.endswith(formats.TEXTS):
    other = None
    for number, row in formats.each(path):
      other = other or next((n for n in _COLUMNS if n in row), "document")
      text = row.get("document", row.get("text", row.get(other)))
      if not isinstance(text, str):
        raise UserError(
          f'{path}, row {number}: no text; expected a string in "document" '
          f'or "text", found the keys {", ".join(map(repr, row))}'
        )
      if path.name.endswith(formats.TEXT):
        text = text.strip()
      named = next((row[n] for n in _NAMES if row.get(n) not in (None, "")), "")
      yield text, str(named) or f"{path}:{number}"
  else:
    raise UserError(
      f"--corpus={path}: unknown file format; expected a data directory, "
      "a BEIR folder, a folder of Markdown, or one of "
      f"{', '.join(formats.TEXTS)}"
    )


def _pages(path: pathlib.Path) -> Iterator[tuple[str, str]]:
  """Yields the sections of Markdown, each with the headings above it."""
  place, bad = str(path), BadRows(skippable=False)
  for page in [place] if path.is_file() else markdown.pages(place):
    text = "\n".join(line for _, line in text_lines.read(page, bad))
    for section in markdown.sections(text):
      whole = "\n".join(
        filter(None, (": ".join(section.headings), section.text))
      )
      yield whole, f"{page}:{section.line}"
