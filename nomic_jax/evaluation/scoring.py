# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Scores one system on one task, with interval and examples."""

import math
from typing import cast

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
  """Runs a task or reuses a known result; returns it as JSON values."""
  lexical = isinstance(system, systems.Lexical)
  if (
    key in known and not lexical and (not with_curves or "curve" in known[key])
  ):
    print(f"{name} on {task.name}: already in the output file, reused")
    return known[key]
  scored = {"fingerprint": key} | _scored(name, system, task)
  if with_curves:
    scored["curve"] = curves.curve(task, cast(systems.Dense, system))
  return scored


def _scored(name: str, system: systems.System, task: Task) -> dict:
  """Runs one task and returns what is recorded of it."""
  outcome = task.run(system)
  scores = task.scores(outcome.items)
  for metric, value in scores.items():
    if not math.isfinite(value):
      print(f"{name} on {task.name}: no {metric}, since all items score alike")
  drawn = compare.draws(task, outcome.items)
  main = scores[task.metrics[0]]
  record = {
    "scores": {m: _number(v) for m, v in scores.items()},
    "interval": [_number(v) for v in compare.interval(main, drawn)],
    "draws": [_number(round(v, 6)) for v in drawn.tolist()],
    "worst": list(outcome.worst),
  }
  if outcome.vectors is not None:
    record["map"] = {
      "points": maps.project(outcome.vectors),
      "labels": outcome.labels,
    }
  return record


def _number(value: float) -> float | None:
  """Returns None for NaN and infinity, which JSON cannot express."""
  return value if math.isfinite(value) else None
