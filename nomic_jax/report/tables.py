# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Results as tables, aligned for a terminal or in Markdown."""

from collections.abc import Mapping
from collections.abc import Sequence
import math
from typing import Any
from typing import NamedTuple

from nomic_jax.evaluation import compare
from nomic_jax.evaluation import mteb_tasks
from nomic_jax.evaluation import published


class Table(NamedTuple):
  """A table of text cells; the first column names the row."""

  title: str
  head: Sequence[str]
  rows: Sequence[Sequence[str]]
  note: str = ""


MARK = (
  "* the 95 % confidence interval of the difference, from "
  f"{compare.DRAWS:,} paired bootstrap samples, excludes 0"
)


def text(results: Mapping[str, Any]) -> list[str]:
  """Returns the lines of the aligned tables."""
  lines = []
  for table in tables(results):
    widths = [max(map(len, column)) for column in zip(table.head, *table.rows)]
    lines += ["", table.title]
    for row in (table.head, *table.rows):
      lines.append(
        "  ".join(
          [
            f"{row[0]:{widths[0]}}",
            *(f"{c:>{w}}" for c, w in zip(row[1:], widths[1:])),
          ]
        ).rstrip()
      )
    if table.note:
      lines += table.note.split("\n")
  return lines[1:]


def markdown(results: Mapping[str, Any], level: int = 2) -> str:
  """Returns the tables in Markdown, each below a heading of `level`."""

  def line(cells: Sequence[str]) -> str:
    return (
      "| "
      + " | ".join(
        cell.strip().replace("|", "\\|").replace("*", "\\*") for cell in cells
      )
      + " |"
    )

  parts = []
  for table in tables(results):
    parts += [
      f"{'#' * level} {table.title}",
      "",
      line(table.head),
      "|---" + "|---:" * (len(table.head) - 1) + "|",
      *map(line, table.rows),
      "",
    ]
    if table.note:
      for note in table.note.split("\n"):
        parts += [note.replace("*", "\\*"), ""]
  return "\n".join(parts)


def tables(results: Mapping[str, Any]) -> list[Table]:
  """Returns a table per task, a table of all tasks if several, and the curves.

  Tasks of mteb appear only in the table of all tasks.
  """
  per_task = [
    _of_task(results, name)
    for name, about in results["tasks"].items()
    if about["kind"] != "mteb"
  ]
  if len(results["tasks"]) > 1 or not per_task:
    per_task.append(overall(results))
  return per_task + _of_curves(results)


def overall(results: Mapping[str, Any]) -> Table:
  """Returns main scores in per cent: a row per task, a column per system."""
  systems = [model["name"] for model in results["models"]]
  by_system = {name: {} for name in systems}
  rows = []
  marked = False
  others: dict[str, None] = {}
  for task, about in results["tasks"].items():
    cells = []
    for name in systems:
      score = main_scores(results, task).get(name)
      if score is None:
        cells.append("–")
        continue
      by_system[name][task] = score
      result = _result(results, task, name)
      low, high = result["interval"]
      width = "" if low is None else f" ±{50 * (high - low):.1f}"
      gap = difference(results, task, name)
      star = "*" if gap and gap.significant else " "
      marked |= star == "*"
      cells.append(f"{100 * score:.1f}{width}{star}")
    rows.append((f"{task}, {about['metrics'][0]}", cells, about["published"]))
  for group, members in _groups(results).items():
    cells = [
      f"{100 * members[n][0]:.1f} " if n in members else "–" for n in systems
    ]
    count = max(count for _, count in members.values())
    rows.append((f"{group}, mean of {count}", cells, published.of(group)))
  for _, _, known in rows:
    others |= dict.fromkeys(known)
  head = ["", *systems, *(f"{name} (published)" for name in others)]
  return Table(
    "All tasks: main scores in per cent",
    head,
    [
      [name, *cells, *(f"{known[o]:.1f}" if o in known else "" for o in others)]
      for name, cells, known in rows
    ],
    "* differs significantly from the baseline (the first system if there is "
    "none): " + MARK[2:]
    if marked
    else "",
  )


def _groups(
  results: Mapping[str, Any],
) -> dict[str, dict[str, tuple[float, int]]]:
  """Returns (mean, count) by system of each complete group of tasks."""
  means: dict[str, dict[str, tuple[float, int]]] = {}
  members: dict[str, list[str]] = {}
  for task, about in results["tasks"].items():
    if about["group"] and not about["group"].startswith(mteb_tasks.SUITE):
      members.setdefault(about["group"], []).append(task)
  for model in results["models"]:
    name = model["name"]
    scores = {t: main_scores(results, t).get(name) for t in results["tasks"]}
    scores = {t: s for t, s in scores.items() if s is not None}
    for group, mean in mteb_tasks.averages(scores).items():
      means.setdefault(group, {})[name] = mean
    for group, tasks in members.items():
      if len(tasks) > 1 and all(t in scores for t in tasks):
        means.setdefault(group, {})[name] = (
          sum(scores[t] for t in tasks) / len(tasks),
          len(tasks),
        )
  return means


def _of_curves(results: Mapping[str, Any]) -> list[Table]:
  curves = []
  for task, about in results["tasks"].items():
    score = {}
    for model in results["models"]:
      for p in model["tasks"].get(task, {}).get("curve", ()):
        row = score.setdefault(f"{model['name']}, {p['precision']}", {})
        row[p["dim"]] = number(p["score"])
    dims = sorted({dim for row in score.values() for dim in row}, reverse=True)
    if score:
      curves.append(
        Table(
          f"{task}: {about['metrics'][0]} by dimensions",
          ["", *map(str, dims)],
          [
            [name, *(row.get(dim, "") for dim in dims)]
            for name, row in score.items()
          ],
        )
      )
  return curves


def reference(results: Mapping[str, Any], task: str) -> str | None:
  """Returns the system to compare with: the strongest baseline.

  Without baselines it is the first of several models.
  """
  scores = {
    n: score
    for n, score in main_scores(results, task).items()
    if score is not None
  }
  named = [n for n in results.get("baselines", ()) if n in scores]
  if named:
    return max(named, key=scores.__getitem__)
  return next(iter(scores)) if len(scores) > 1 else None


def main_scores(
  results: Mapping[str, Any], task: str
) -> dict[str, float | None]:
  """Returns the main score of each system that ran the task, by name."""
  metric = results["tasks"][task]["metrics"][0]
  return {
    m["name"]: m["tasks"][task]["scores"][metric]
    for m in results["models"]
    if task in m["tasks"]
  }


def difference(
  results: Mapping[str, Any], task: str, name: str, against: str | None = None
) -> compare.Difference | None:
  """Returns the difference between two systems.

  None if they are the same or either has no score.

  Args:
    results: the result of `evaluate`.
    task: its name.
    name: the name of a system.
    against: the name of the other system; None: the task's `reference`.
  """
  against = against or reference(results, task)
  scores = main_scores(results, task)
  if against is None or name == against:
    return None
  score, compared = scores.get(name), scores.get(against)
  if score is None or compared is None:
    return None
  drawn, other = (
    [math.nan if v is None else v for v in _result(results, task, n)["draws"]]
    for n in (name, against)
  )
  return compare.difference(score, drawn, compared, other)


def _result(results: Mapping[str, Any], task: str, name: str) -> Mapping:
  return next(m["tasks"][task] for m in results["models"] if m["name"] == name)


def _of_task(results: Mapping[str, Any], name: str) -> Table:
  task = results["tasks"][name]
  metrics = task["metrics"]
  against = reference(results, name)
  head = ["", *metrics, f"{metrics[0]} 95 % CI"]
  if against is not None:
    head.append(f"over {against}")
  rows = []
  marked = False
  for model in results["models"]:
    if name not in model["tasks"]:
      continue
    result = model["tasks"][name]
    low, high = result["interval"]
    row = [
      model["name"],
      *(number(result["scores"][m]) for m in metrics),
      "–" if low is None else f"{low:.3f}–{high:.3f}",
    ]
    if against is not None:
      gap = difference(results, name, model["name"])
      row.append(signed(gap))
      marked |= gap is not None and gap.significant
    rows.append(row)
  notes = _of_hybrids(results, name)
  if marked or any("*" in note for note in notes):
    notes.append(MARK)
  return Table(f"{name}: {task['size']}", head, rows, "\n".join(notes))


def _of_hybrids(results: Mapping[str, Any], task: str) -> list[str]:
  """Returns a line for each hybrid: whether it beats both of its parts."""
  lines = []
  for name, parts in results.get("hybrids", {}).items():
    found = {part: difference(results, task, name, part) for part in parts}
    gaps = {part: gap for part, gap in found.items() if gap is not None}
    if len(gaps) < len(found):
      continue
    beaten = [
      part for part, gap in gaps.items() if gap.value > 0 and gap.significant
    ]
    if len(beaten) == len(parts):
      said = "beats both"
    else:
      said = f"beats only {beaten[0]}" if beaten else "beats neither"
    figures = ", ".join(
      f"{signed(gap).strip()} over {part}" for part, gap in gaps.items()
    )
    lines.append(f"{name} {said}: {figures}")
  return lines


def number(value: float | None) -> str:
  """Formats a score, "–" if there is none."""
  return "–" if value is None else f"{value:.3f}"


def signed(gap: compare.Difference | None) -> str:
  """Formats a difference, with a star if it is significant."""
  if gap is None:
    return ""
  return f"{gap.value:+.3f}{'*' if gap.significant else ' '}"
