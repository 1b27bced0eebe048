# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Results as tables: aligned for a terminal, or in Markdown."""

import math
from typing import NamedTuple, Sequence

from nomic_jax.evaluation import compare


class Table(NamedTuple):
  """Cells of text; the first column names the row."""

  title: str
  head: Sequence[str]
  rows: Sequence[Sequence[str]]
  note: str = ""


def text(results: dict) -> list[str]:
  """Returns the lines of one aligned table per task, and one of all."""
  lines = []
  for table in tables(results):
    widths = [
        max(map(len, column)) for column in zip(table.head, *table.rows)]
    lines += ["", table.title]
    for row in (table.head, *table.rows):
      lines.append("  ".join([
          f"{row[0]:{widths[0]}}",
          *(f"{c:>{w}}" for c, w in zip(row[1:], widths[1:]))]).rstrip())
    if table.note:
      lines.append(table.note)
  return lines[1:]


def tables(results: dict) -> list[Table]:
  """Returns one table per task: systems and all their scores."""
  return [_of_task(results, name) for name in results["tasks"]]


def reference(results: dict, task: str) -> str | None:
  """The system that the others are to beat: the strongest baseline.

  Without a baseline it is the first of several models.
  """
  scores = main_scores(results, task)
  named = [n for n in results.get("baselines", ()) if n in scores]
  if named:
    return max(named, key=lambda n: _or_low(scores[n]))
  return next(iter(scores)) if len(scores) > 1 else None


def main_scores(results: dict, task: str) -> dict[str, float | None]:
  """The main score of each system that ran the task, by name."""
  metric = results["tasks"][task]["metrics"][0]
  return {
      m["name"]: m["tasks"][task]["scores"][metric]
      for m in results["models"] if task in m["tasks"]}


def difference(
    results: dict, task: str, name: str
) -> compare.Difference | None:
  """Of a system and the `reference` of the task, if there are both."""
  against = reference(results, task)
  found = {m["name"]: m["tasks"].get(task) for m in results["models"]}
  scores = main_scores(results, task)
  if against is None or name == against or not found.get(name):
    return None
  if scores[name] is None or scores[against] is None:
    return None
  drawn, other = (
      [math.nan if v is None else v for v in found[n]["draws"]]
      for n in (name, against))
  return compare.difference(scores[name], drawn, scores[against], other)


def _of_task(results: dict, name: str) -> Table:
  task = results["tasks"][name]
  metrics = task["metrics"]
  against = reference(results, name)
  head = ["", *metrics, f"95 % of {metrics[0]}"]
  if against is not None:
    head.append(f"over {against}")
  rows = []
  marked = False
  for model in results["models"]:
    if name not in model["tasks"]:
      continue
    found = model["tasks"][name]
    low, high = map(number, found["interval"])
    row = [model["name"], *(number(found["scores"][m]) for m in metrics),
           f"{low}–{high}"]
    if against is not None:
      gap = difference(results, name, model["name"])
      row.append(signed(gap))
      marked |= gap is not None and gap.significant
    rows.append(row)
  note = MARK if marked else ""
  return Table(f"{name}: {task['size']}", head, rows, note)


MARK = (f"* 95 % of {compare.DRAWS:,} paired bootstrap draws lie on that side "
        "of 0")


def number(value: float | None) -> str:
  return "–" if value is None else f"{value:.3f}"


def signed(gap: compare.Difference | None) -> str:
  """A difference, with a star if it is significant."""
  if gap is None:
    return ""
  return f"{gap.value:+.3f}{'*' if gap.significant else ' '}"


def _or_low(value: float | None) -> float:
  return -math.inf if value is None else value
