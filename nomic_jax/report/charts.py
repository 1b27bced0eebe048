# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The charts of the report, as elements of a page; see `drawing`."""

from collections.abc import Mapping
from collections.abc import Sequence
import math

from nomic_jax.storage import decoding
from nomic_jax.storage import drawing

_COLORS = drawing.COLORS
_WIDTH = 6.4  # inches


def curve(
  steps: Sequence[float],
  values: Sequence[float],
  label: str,
  height: float = 2.6,
  smooth: Sequence[float] | None = None,
) -> str:
  """Draws values over steps, with a smoothed line on top if given.

  Values that are not finite leave a gap.
  """
  figure, (panel,) = drawing.panels(1, 1, _WIDTH, height)
  drawn = (
    [(values, "pale", 1.2), (smooth, "main", 2)]
    if smooth
    else [(values, "main", 2)]
  )
  for series, color, width in drawn:
    finite = [v if math.isfinite(v) else math.nan for v in series]
    panel.plot(
      steps,
      finite,
      color=_COLORS[color],
      linewidth=width,
      marker="o" if len(steps) == 1 else None,
    )
  panel.grid(axis="x", visible=False)
  for axis in (panel.xaxis, panel.yaxis):
    axis.set_major_formatter("{x:,.6g}")
  panel.set_title(label, loc="left", fontsize=9, color=_COLORS["soft"])
  return drawing.inline(figure, label, {})


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
    rows: (name, value), from top to bottom; None for a missing value.
    plain: names of baselines, whose bars are grey.
    against: the row that the others are compared with; a dashed line extends
      it through their bars.
    intervals: (low, high) by name, drawn as a thin line over the bar's end.
  """
  figure, (panel,) = drawing.panels(1, 1, 4.7, 0.75 + 0.36 * len(rows))
  titles = {}
  for i, (name, value) in enumerate(rows):
    value = math.nan if value is None else value
    there = math.isfinite(value)
    end = min(max(value, 0), 1) if there else 0.0
    gid = f"bar-{i}"
    titles[gid] = f"{name}: {value:.4f}" if there else f"{name}: –"
    panel.barh(
      i, end, 0.7, gid=gid, color=_COLORS["plain" if name in plain else "main"]
    )
    low, high = (intervals or {}).get(name) or (None, None)
    if low is not None and high is not None:
      panel.plot((low, high), (i, i), color=_COLORS["ink"], linewidth=1.4)
      end = max(end, high)
    panel.text(
      end + 0.015,
      i,
      f"{value:.3f}" if there else "–",
      verticalalignment="center",
      fontsize=9,
    )
    if name == against:
      panel.axvline(value, color=_COLORS["mark"], linestyle="--", linewidth=1.4)
  panel.set_yticks(
    range(len(rows)),
    [_short(name, 17) for name, _ in rows],
    fontsize=9,
    color=_COLORS["ink"],
  )
  panel.set(xlim=(0, 1.12), ylim=(len(rows) - 0.5, -0.5))
  panel.set_xticks((0, 0.25, 0.5, 0.75, 1), ("0", "0.25", "0.5", "0.75", "1"))
  panel.tick_params(length=0)
  panel.grid(axis="y", visible=False)
  panel.spines[:].set_visible(False)
  figure.suptitle(
    title, x=0.01, horizontalalignment="left", fontsize=11, fontweight="bold"
  )
  return drawing.inline(figure, title, titles)


def scatter(
  title: str,
  points: Sequence[Sequence[float]],
  labels: Sequence[Mapping[str, str]],
) -> str:
  """Draws points in -1..1, coloured by group, with texts shown on hovering.

  Args:
    title: what is shown.
    points: M pairs (x, y).
    labels: M dicts with "text" and "group".
  """
  groups = list(dict.fromkeys(label["group"] for label in labels))
  figure, (panel,) = drawing.panels(1, 1, 5.8, 5.8)
  titles = {}
  color = lambda group: drawing.CYCLE[groups.index(group) % len(drawing.CYCLE)]
  for i, (point, label) in enumerate(zip(points, labels)):
    titles[f"dot-{i}"] = f"{label['group']}: {label['text']}"
    panel.plot(
      *point,
      "o",
      color=color(label["group"]),
      alpha=0.75,
      markersize=5,
      markeredgewidth=0,
      gid=f"dot-{i}",
    )
  panel.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), aspect="equal")
  panel.set_axis_off()
  panel.set_title(title, loc="left", fontweight="bold")
  handles = [
    panel.plot([], [], "o", color=color(group), label=_short(group, 28))[0]
    for group in groups
  ]
  figure.legend(
    handles=handles,
    loc="outside lower left",
    ncols=2,
    frameon=False,
    fontsize=9,
  )
  return drawing.inline(figure, title, titles)


def running_mean(values: Sequence[float], window: int) -> list[float]:
  """Returns the mean of the `window` values around each; fewer at the ends.

  Values that are not finite are ignored, and remain gaps.
  """
  half = window // 2
  means = []
  for i, value in enumerate(values):
    near = [
      v for v in values[max(i - half, 0) : i + half + 1] if math.isfinite(v)
    ]
    means.append(sum(near) / len(near) if math.isfinite(value) else math.nan)
  return means


def _short(text: str, most: int) -> str:
  text = decoding.safe(text)
  return text if len(text) <= most else text[: most - 1] + "…"
