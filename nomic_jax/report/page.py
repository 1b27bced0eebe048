# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The parts of a self-contained HTML page."""

from collections.abc import Sequence
import html

from nomic_jax.storage import decoding

# Colours as in `drawing`, and others for dark mode.
_STYLE = """
:root { color-scheme: light dark; --page: #ffffff; --ink: #1d2433;
  --soft: #5b6475; --rule: #e3e6ec; --card: #f6f7f9; --main: #2f6fde;
  --pale: #9fbdf2; --plain: #9aa3b2; --mark: #b3541e; }
@media (prefers-color-scheme: dark) { :root { --page: #14171d; --ink: #e6e9ef;
  --soft: #9aa4b5; --rule: #2c323d; --card: #1c2028; --main: #6ea3ff;
  --pale: #3a5c99; --plain: #6b7485; --mark: #f0a36b; } }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 24px; margin: 0 0 4px; }
h2 { font-size: 18px; margin: 38px 0 8px; padding-bottom: 4px;
  border-bottom: 1px solid var(--rule); overflow-wrap: anywhere; }
h3 { font-size: 15px; margin: 22px 0 2px; }
p { margin: 6px 0; }
.note, .place, .tag { color: var(--soft); font-size: 13px; }
.charts { display: grid; gap: 18px 26px; margin: 12px 0; }
.thirds {
  grid-template-columns: repeat(auto-fill, minmax(min(290px, 100%), 1fr)); }
.halves {
  grid-template-columns: repeat(auto-fill, minmax(min(380px, 100%), 1fr)); }
figure { margin: 0; }
figcaption { font-weight: 600; margin: 6px 0 2px; }
svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--ink); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 10px 0; min-width: 60%;
  font-variant-numeric: tabular-nums; }
th, td { padding: 5px 14px 5px 0; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--rule); }
th { color: var(--soft); font-weight: 500; font-size: 13px; }
th:first-child, td:first-child { text-align: left; }
.query { background: var(--card); border-radius: 8px; padding: 8px 14px;
  margin: 10px 0; }
.query .asked { font-weight: 600; }
.query ol { margin: 4px 0; padding-left: 24px; }
code, pre { font: 12.5px/1.45 ui-monospace, Menlo, Consolas, monospace;
  overflow-wrap: anywhere; }
.score { font-variant-numeric: tabular-nums; color: var(--soft); }
details { margin: 6px 0; } summary { cursor: pointer; overflow-wrap: anywhere; }
pre { background: var(--card); border-radius: 8px; padding: 10px 14px;
  overflow-x: auto; }
"""


def escape(text: object) -> str:
  """Returns text escaped for HTML."""
  return html.escape(str(text))


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
  """Returns a table whose cells are already HTML."""
  head = "".join(f"<th>{escape(h)}</th>" for h in heads)
  body = "".join(
    "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>"
    for row in rows
  )
  return (
    f'<div class="wide"><table><thead><tr>{head}</tr></thead>'
    f"<tbody>{body}</tbody></table></div>"
  )


def page(body: Sequence[str]) -> str:
  """Returns the whole page around the elements of its body."""
  return decoding.safe(
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    f"<title>nomic_jax report</title><style>{_STYLE}</style></head>\n"
    "<body><main><h1>nomic_jax: training runs and scores</h1>\n"
    + "\n".join(body)
    + "\n</main></body></html>\n"
  )
