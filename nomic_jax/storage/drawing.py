# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures are matplotlib figures: a PNG file, or SVG inside a page.

In inline SVG, colours are variables of the page's style sheet, so one drawing
works in light and dark mode. Shapes have titles that appear on hovering:
matplotlib writes an artist's gid as an id.
"""

from collections.abc import Mapping
import html
import io
import re
from typing import Any
from typing import TYPE_CHECKING
import warnings

from nomic_jax.storage import decoding

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure
  from matplotlib.typing import RcKeyType


# Names in a page's style sheet, and the colours used in a PNG.
COLORS = {
  "ink": "#1d2433",
  "soft": "#5b6475",
  "rule": "#e3e6ec",
  "main": "#2f6fde",
  "pale": "#9fbdf2",
  "plain": "#9aa3b2",
  "mark": "#b3541e",
}
# Colours of groups; the first and the last are among COLORS.
CYCLE = (
  "#2f6fde",
  "#e0813a",
  "#3a9e5c",
  "#c34b6b",
  "#8a63d2",
  "#2aa7b8",
  "#a08a2c",
  "#9aa3b2",
)
_DPI = 130
_STYLE: "dict[RcKeyType, Any]" = {
  "axes.edgecolor": COLORS["soft"],
  "axes.labelcolor": COLORS["soft"],
  "axes.labelsize": 9,
  "axes.spines.right": False,
  "axes.spines.top": False,
  "axes.titlesize": 10,
  "grid.color": COLORS["rule"],
  "legend.fontsize": 8,
  "legend.frameon": False,
  "lines.linewidth": 1.3,
  "svg.fonttype": "none",
  "svg.hashsalt": "nomic_jax",
  "text.color": COLORS["ink"],
  "text.parse_math": False,
  "xtick.color": COLORS["soft"],
  "xtick.labelsize": 8,
  "ytick.color": COLORS["soft"],
  "ytick.labelsize": 8,
}


def panels(
  rows: int,
  columns: int,
  width: float = 4.2,
  height: float = 2.9,
  **options: Any,
) -> "tuple[Figure, list[Axes]]":
  """Returns a figure that needs no display, and its axes in a list.

  Args:
    rows: number of rows of panels.
    columns: number of columns of panels.
    width: the width of a panel, in inches.
    height: the height of a panel, in inches.
    **options: passed to matplotlib's Figure.
  """
  import matplotlib
  from matplotlib.figure import Figure

  with matplotlib.rc_context(_STYLE):
    figure = Figure(
      (width * columns, height * rows), layout="constrained", **options
    )
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
  for panel in axes:
    panel.grid()
    panel.set_axisbelow(True)
  return figure, axes


def grid(count: int, most: int = 3) -> tuple[int, int]:
  """Returns the numbers of rows and columns that hold `count` panels."""
  columns = min(count, most)
  return -(-count // columns), columns


def _save(figure: "Figure", **options: Any) -> bytes:
  import matplotlib
  from matplotlib.text import Text

  for text in figure.findobj(Text):  # names, in which $ is a dollar sign
    text.set_parse_math(False)
    text.set_text(decoding.safe(text.get_text()))
  out = io.BytesIO()
  with matplotlib.rc_context(_STYLE):
    figure.savefig(out, **options)
  return out.getvalue()


def png(figure: "Figure") -> bytes:
  """Returns the figure as a PNG."""
  return _save(figure, format="png", dpi=_DPI)


def svg(figure: "Figure") -> str:
  """Returns the figure as a standalone SVG document."""
  with warnings.catch_warnings():
    # The viewer has fonts for glyphs that matplotlib's own fonts lack.
    warnings.filterwarnings("ignore", "Glyph .* missing")
    text = _save(
      figure, format="svg", metadata={"Date": None, "Creator": None}
    ).decode()
  # Any sans serif font will do.
  return re.sub(r"'DejaVu Sans',[^;\"]*", "sans-serif", text)


def inline(figure: "Figure", label: str, titles: Mapping[str, str]) -> str:
  """Returns the figure as an SVG element of an HTML page.

  Args:
    figure: to draw; clipping is turned off.
    label: the accessible description.
    titles: hover text by the gid of an artist.
  """
  for artist in figure.findobj():
    artist.set_clip_on(False)  # clips refer to ids of other parts of a page
  for patch in (figure.patch, *(axes.patch for axes in figure.axes)):
    patch.set_visible(False)
  text = svg(figure)
  text = re.sub(
    r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL
  )
  size = re.search(r'viewBox="[^"]*"', text)
  assert size, "matplotlib writes a viewBox"
  start = (
    '<svg xmlns:xlink="http://www.w3.org/1999/xlink" '
    f'{size[0]} role="img" aria-label="{html.escape(label)}">'
  )
  # A function, since a backslash in a replacement is an escape.
  text = re.sub(r"<svg[^>]*>", lambda _: start, text, count=1)
  for name, color in COLORS.items():
    text = text.replace(color, f"var(--{name})")
  for gid, title in titles.items():
    text = text.replace(
      f'<g id="{gid}">', f"<g><title>{html.escape(title)}</title>"
    )
  # The remaining ids are hashes of marks that are drawn several times.
  text = re.sub(r' id="(?!m[0-9a-f]{10}")[^"]*"', "", text)
  return decoding.safe(re.sub(r"\s*\n\s*", " ", text).strip())
