# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Compares the points of a sweep in a table and a picture."""

from collections.abc import Mapping
import importlib.util
import statistics
from typing import NamedTuple

from nomic_jax.errors import one_of
from nomic_jax.report import plot
from nomic_jax.run import metrics
from nomic_jax.storage.values import JsonObject
from nomic_jax.storage.values import Place


class _Result(NamedTuple):
  """A line of the table.

  Attributes:
    value: the value of the metric; None if missing.
    shown: the text for the value, or why there is none.
    minutes: minutes of training.
    varied: the settings that vary, by key.
  """

  value: float | None
  shown: str
  minutes: float
  varied: JsonObject


def compare(
  points: Mapping[str, JsonObject],
  diverged: Mapping[str, int],
  folder: Place,
  metric: str,
  median: str,
) -> None:
  """Prints a table of a metric against the varied settings, best point first.

  Args:
    points: the varied settings, by name of the point's folder.
    diverged: the steps at which points diverged, by name.
    folder: contains the points' work directories; `sweep.png` is written to it.
    metric: the name of a metric in metrics.jsonl.
    median: a key that varied; points that differ only in it become one line.
      "" for none.

  Raises:
    UserError: if no point has the metric.
  """
  keys = list(dict.fromkeys(k for values in points.values() for k in values))
  results, known = [], {}
  for name, values in points.items():
    rows = metrics.read(folder / name / "metrics.jsonl") or [{}]
    last, step = rows[-1], diverged.get(name)
    known |= last
    value = last.get(metric) if step is None else None
    shown = f"no {metric}" if step is None else f"diverged at step {step}"
    results.append(
      _Result(
        value,
        shown if value is None else f"{value:.4f}",
        last.get("seconds", 0) / 60,
        {k: values.get(k, "–") for k in keys},
      )
    )
  if known:
    one_of(
      metric,
      known,
      f"--metric: {folder / next(iter(points))}/"
      f"metrics.jsonl has no '{metric}'",
      "it has",
    )
  if median:
    results = _medians(results, median)
  sign = 1 if metrics.lower_is_better(metric) else -1
  results.sort(
    key=lambda r: (r.value is None, sign * (r.value or 0), r.minutes)
  )
  heads = [f"{k}: count, min, max" if k == median else k for k in keys]
  table = [[metric, "minutes", *heads]] + [
    [r.shown, f"{r.minutes:.1f}", *map(str, r.varied.values())] for r in results
  ]
  widths = [max(map(len, column)) for column in zip(*table)]
  for row in table:
    print("  ".join(f"{x:>{w}}" for x, w in zip(row, widths)))
  drawn = [r for r in results if r.value is not None]
  if drawn and importlib.util.find_spec("matplotlib"):
    plot.points(
      [r.value for r in results if r.value is not None],
      [{k: v for k, v in r.varied.items() if k != median} for r in drawn],
      metric,
      folder / "sweep.png",
    )


def _medians(results: list[_Result], key: str) -> list[_Result]:
  """Merges results that differ only in a key, taking the median value."""
  alike: dict[tuple, list[_Result]] = {}
  for result in results:
    rest = (str(v) for k, v in result.varied.items() if k != key)
    alike.setdefault(tuple(rest), []).append(result)
  merged = []
  for same in alike.values():
    values = [r.value for r in same if r.value is not None]
    value = statistics.median(values) if values else None
    between = f"{len(values)}:"
    if values:
      between += f" {min(values):.4f} {max(values):.4f}"
    between = ", ".join([between, *(r.shown for r in same if r.value is None)])
    merged.append(
      _Result(
        value,
        "–" if value is None else f"{value:.4f}",
        sum(r.minutes for r in same),
        same[0].varied | {key: between},
      )
    )
  return merged
