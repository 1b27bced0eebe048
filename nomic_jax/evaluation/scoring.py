# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""One system on one task: the scores, their interval, and what is shown."""

import math

from nomic_jax.evaluation import compare
from nomic_jax.evaluation import curves
from nomic_jax.evaluation import maps
from nomic_jax.evaluation import systems
from nomic_jax.evaluation.task import Task


def result(
  name: str,
  system: systems.System,
  task: Task,
  key: str,
  known: dict[str, dict],
  with_curves: bool,
) -> dict:
  """Runs a task, or takes what is known, as JSON."""
  lexical = isinstance(system, systems.Lexical)
  if (
    key in known and not lexical and (not with_curves or "curve" in known[key])
  ):
    print(f"{name} on {task.name}: already in the output file, kept")
    return known[key]
  found = {"fingerprint": key} | _scored(name, system, task)
  if with_curves:
    found["curve"] = curves.curve(task, system)
  return found


def _scored(name: str, system: systems.System, task: Task) -> dict:
  """Runs one task; returns what is written of it."""
  outcome = task.run(system)
  scores = task.scores(outcome.items)
  for metric, value in scores.items():
    if not math.isfinite(value):
      print(f"{name} on {task.name}: no {metric}, since all is alike to it")
  drawn = compare.draws(task, outcome.items)
  main = scores[task.metrics[0]]
  found = {
    "scores": {m: _number(v) for m, v in scores.items()},
    "interval": [_number(v) for v in compare.interval(main, drawn)],
    "draws": [_number(round(v, 6)) for v in drawn.tolist()],
    "worst": list(outcome.worst),
  }
  if outcome.vectors is not None:
    found["map"] = {
      "points": maps.project(outcome.vectors),
      "labels": outcome.labels,
    }
  return found


def _number(value: float) -> float | None:
  """JSON knows no NaN."""
  return value if math.isfinite(value) else None
