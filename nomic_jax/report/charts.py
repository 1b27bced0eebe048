# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Charts as inline SVG, and the style sheet that colours them and their page.

Colours are variables of the style sheet, so that one drawing serves a light
and a dark screen.
"""

import html
import math
from typing import Mapping, Sequence

STYLE = """
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
img.curves { max-width: 100%; background: #ffffff; border-radius: 8px; }
.note, .place, .tag { color: var(--soft); font-size: 13px; }
.charts { display: grid; gap: 18px 26px; margin: 12px 0; }
.thirds {
  grid-template-columns: repeat(auto-fill, minmax(min(290px, 100%), 1fr)); }
.halves {
  grid-template-columns: repeat(auto-fill, minmax(min(380px, 100%), 1fr)); }
figure { margin: 0; }
figcaption { font-weight: 600; margin: 6px 0 2px; }
svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--ink); font-size: 12.5px; }
svg text.small { fill: var(--soft); font-size: 11.5px; }
svg text.name { font-weight: 600; font-size: 14px; }
.grid { stroke: var(--rule); } .axis { stroke: var(--soft); }
.raw { fill: none; stroke: var(--pale); stroke-width: 1.2; }
.line { fill: none; stroke: var(--main); stroke-width: 2;
  stroke-linejoin: round; }
.bar { fill: var(--main); } .bar.plain { fill: var(--plain); }
.range { stroke: var(--ink); stroke-width: 1.4; opacity: 0.75; }
.dot { opacity: 0.75; } .c0 { fill: var(--main); } .c1 { fill: #e0813a; }
.c2 { fill: #3a9e5c; } .c3 { fill: #c34b6b; } .c4 { fill: #8a63d2; }
.c5 { fill: #2aa7b8; } .c6 { fill: #a08a2c; } .c7 { fill: var(--plain); }
.mark { stroke: var(--mark); stroke-dasharray: 4 3; stroke-width: 1.4; }
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

_COLORS = 8  # of points: c0 to c7
_WIDTH, _LEFT, _RIGHT = 460, 52, 12  # of a curve, in SVG units


def curve(
    steps: Sequence[float],
    values: Sequence[float],
    label: str,
    height: int = 190,
    smooth: Sequence[float] | None = None,
) -> str:
  """Draws values over steps, with a smoothed line over the raw one if given.

  Points that are not finite leave a gap.
  """
  finite = [v for v in values if math.isfinite(v)]
  low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
  ticks = _ticks(low, high, max(height // 45, 2))
  low, high = min(low, ticks[0]), max(high, ticks[-1])
  first, last = min(steps), max(steps)
  top, bottom = 22, height - 22

  def x(step):
    share = (step - first) / ((last - first) or 1)
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

  def y(value):
    return bottom - (value - low) / ((high - low) or 1) * (bottom - top)

  parts = [f'<text class="small" x="0" y="12">{html.escape(label)}</text>']
  for tick in ticks:
    parts.append(_line("grid", _LEFT, y(tick), _WIDTH - _RIGHT, y(tick)))
    parts.append(_text("small", _LEFT - 6, y(tick) + 4, _number(tick), "end"))
  for tick in _ticks(first, last, 5):
    if first <= tick <= last:
      parts.append(
          _text("small", x(tick), height - 6, f"{tick:,.6g}", "middle"))
  parts.append(_line("axis", _LEFT, bottom, _WIDTH - _RIGHT, bottom))
  drawn = [("raw", values), ("line", smooth)] if smooth else [("line", values)]
  for kind, series in drawn:
    for run in _runs([(x(s), y(v)) for s, v in zip(steps, series)]):
      points = " ".join(f"{a:.1f},{b:.1f}" for a, b in run)
      parts.append(f'<polyline class="{kind}" points="{points}"/>')
  return _svg(_WIDTH, height, parts, label)


def bars(
    title: str,
    rows: Sequence[tuple[str, float | None]],
    plain: Sequence[str] = (),
    against: str | None = None,
    intervals: Mapping[str, tuple[float | None, float | None]] | None = None,
) -> str:
  """Draws a horizontal bar per row on a scale from 0 to 1.

  Args:
    title: what is measured.
    rows: (name, value), drawn from top to bottom; None: there is none.
    plain: names of baselines, whose bars are grey.
    against: the name of the row that the others are to beat; a dashed line
      continues it through their bars.
    intervals: (low, high) by name, drawn as a thin line over the bar's end.
  """
  left, width, right, row = 116, 340, 42, 26
  top = 26
  height = top + row * len(rows) + 22
  bottom = height - 20

  def x(value):
    return left + min(max(value, 0), 1) * (width - left - right)

  parts = [f'<text class="name" x="0" y="13">{html.escape(title)}</text>']
  for tick in (0, 0.25, 0.5, 0.75, 1):
    parts.append(_line("grid", x(tick), top - 4, x(tick), bottom))
    parts.append(_text("small", x(tick), height - 5, f"{tick:g}", "middle"))
  for i, (name, value) in enumerate(rows):
    there = value is not None and math.isfinite(value)
    y = top + row * i
    kind = "bar plain" if name in plain else "bar"
    shown = name if len(name) <= 17 else name[:16] + "…"
    label = f"{value:.3f}" if there else "–"
    value = value if there else 0.0
    parts.append(_text("small", left - 8, y + 15, shown, "end"))
    parts.append(
        f'<rect class="{kind}" x="{left}" y="{y + 2}" height="{row - 8}" '
        f'width="{max(x(value) - left, 0.5):.1f}" rx="2">'
        f"<title>{html.escape(name)}: {value:.4f}</title></rect>"
    )
    end = x(value)
    low, high = (intervals or {}).get(name) or (None, None)
    if low is not None and high is not None:
      parts.append(_line("range", x(low), y + 11, x(high), y + 11))
      end = max(end, x(high))
    parts.append(_text("value", end + 6, y + 15, label, "start"))
    if name == against:
      mark = _line("mark", x(value), top - 4, x(value), bottom)
      parts.append(mark)
  return _svg(width, height, parts, title)


def scatter(
    title: str, points: Sequence[Sequence[float]],
    labels: Sequence[Mapping[str, str]],
) -> str:
  """Draws points in -1..1, coloured by group; their texts show on hovering.

  Args:
    title: what is shown.
    points: M of (x, y).
    labels: M of {"text", "group"}.
  """
  size, legend = 420, 20
  groups = list(dict.fromkeys(label["group"] for label in labels))
  height = size + legend * -(-len(groups) // 2) + 6
  parts = [f'<text class="name" x="0" y="13">{html.escape(title)}</text>']
  for (x, y), label in zip(points, labels):
    color = groups.index(label["group"]) % _COLORS
    parts.append(
        f'<circle class="dot c{color}" cx="{size / 2 + x * 190:.1f}" '
        f'cy="{size / 2 + 8 - y * 190:.1f}" r="3.2"><title>'
        f'{html.escape(label["group"])}: {html.escape(label["text"])}'
        "</title></circle>")
  for i, group in enumerate(groups):
    x, y = 8 + size / 2 * (i % 2), size + legend * (i // 2) + 12
    parts.append(
        f'<circle class="dot c{i % _COLORS}" cx="{x}" cy="{y - 4}" r="5"/>')
    shown = group if len(group) <= 28 else group[:27] + "…"
    parts.append(_text("small", x + 10, y, shown, "start"))
  return _svg(size, height, parts, title)


def running_mean(values: Sequence[float], window: int) -> list[float]:
  """Returns the mean of the `window` values around each; fewer at the ends.

  Values that are not finite are left out, and stay gaps themselves.
  """
  half = window // 2
  means = []
  for i, value in enumerate(values):
    near = [v for v in values[max(i - half, 0):i + half + 1]
            if math.isfinite(v)]
    means.append(
        sum(near) / len(near) if math.isfinite(value) else math.nan)
  return means


def _ticks(low: float, high: float, count: int) -> list[float]:
  """Returns about `count` round numbers that cover most of low..high."""
  span = (high - low) or abs(high) or 1.0
  power = 10.0 ** math.floor(math.log10(span / count))
  step = next(m * power for m in (1, 2, 5, 10) if m * power * count >= span)
  first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
  return [i * step for i in range(first, last + 1)] or [low]


def _number(value: float) -> str:
  """Returns a tick's label: 4, 0.25, 1,000 or 1.5e-4."""
  if value and abs(value) < 0.01:
    mantissa, power = f"{value:.2e}".split("e")
    return f"{float(mantissa):g}e{int(power)}"
  return f"{value:,.6g}"


def _runs(points):
  """Splits (x, y) points at those whose y is not finite."""
  run = []
  for point in points:
    if math.isfinite(point[1]):
      run.append(point)
    elif run:
      yield run
      run = []
  if run:
    yield run


def _line(kind, x1, y1, x2, y2) -> str:
  return (f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" '
          f'y2="{y2:.1f}"/>')


def _text(kind, x, y, text, anchor) -> str:
  return (f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" '
          f'text-anchor="{anchor}">{html.escape(text)}</text>')


def _svg(width: int, height: int, parts: list[str], label: str) -> str:
  return (f'<svg viewBox="0 0 {width} {height}" role="img" '
          f'aria-label="{html.escape(label)}">{"".join(parts)}</svg>')
