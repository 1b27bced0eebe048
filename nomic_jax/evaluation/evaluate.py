# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""`nomic-jax evaluate`: how well each system does on each task."""

import json
import math
import pathlib
from typing import Sequence

import nomic_jax
from nomic_jax.errors import UserError, nearest
from nomic_jax.evaluation import bm25
from nomic_jax.evaluation import compare
from nomic_jax.evaluation import systems
from nomic_jax.evaluation import tables
from nomic_jax.evaluation import tasks as tasks_lib
from nomic_jax.evaluation import vectors
from nomic_jax.evaluation.task import Task
from nomic_jax.files import replacing


def evaluate(
    models: Sequence[str],
    tasks: Sequence[str],
    output: str | None = None,
    baselines: Sequence[str] = (),
    data: str | None = None,
) -> dict:
  """Scores models on tasks, prints tables and writes all of it as JSON.

  What `output` already holds for the same weights and the same task is kept
  rather than computed again; BM25 is quick and always computed.

  Args:
    models: model or work directories, each "PATH" or "NAME=PATH".
    tasks: what `tasks.find` takes: names, folders.
    output: .json file for the scores and each system's worst items.
    baselines: what to compare with: of bm25.BASELINES, or names of models.

    data: folder where the data of tasks given by name may lie.

  Returns:
    What is written to `output`.

  Raises:
    UserError: for an unknown baseline or task, a missing model, a name used
      twice, an empty task, embeddings that are not finite.
  """
  paths = named_paths(models, "--model", reserved=[*bm25.BASELINES])
  for name in baselines:
    if name not in bm25.BASELINES and name not in paths:
      raise UserError(
          f"--baseline={name}: unknown; expected one of "
          f"{', '.join([*bm25.BASELINES, *paths])}."
          f"{nearest(name, [*bm25.BASELINES, *paths])}"
      )
  if not any(tasks) or not (paths or baselines):
    raise UserError(
        "nothing to evaluate: give --tasks=DIR and --model=DIR or "
        "--baseline=bm25"
    )
  if data and not pathlib.Path(data).is_dir():
    raise UserError(f"--data={data}: no such folder")
  read = tasks_lib.find(tasks, pathlib.Path(data) if data else None)
  prints = {t.name: t.fingerprint() for t in read}
  known = _known(output)
  results = []
  for name in baselines:
    if name in bm25.BASELINES:
      results.append(_result(
          name, None, systems.Lexical(name), read, prints, known={}))
  for name, path in paths.items():
    print(f"{name}: {path}")
    system = systems.Dense(nomic_jax.load(path))
    results.append(_result(name, str(path), system, read, prints, known))
  written = {
      "tasks": {
          t.name: {
              "kind": t.kind, "path": t.path, "size": t.size,
              "metrics": list(t.metrics), "group": t.group,
              "published": dict(t.published), "fingerprint": prints[t.name],
          } for t in read
      },
      "baselines": list(baselines),
      "models": results,
  }
  if output:
    with replacing(output) as temporary:
      temporary.write_text(json.dumps(written) + "\n")
  print("\n".join(tables.text(written)))
  return written


def named_paths(
    specs: Sequence[str], flag: str, reserved: Sequence[str] = ()
) -> dict[str, pathlib.Path]:
  """Reads "PATH" (named by its last part) and "NAME=PATH", in order.

  Raises:
    UserError: if a path does not exist or a name stands for two things.
  """
  paths = {}
  for spec in specs:
    name, equals, path = spec.partition("=")
    if not equals or "/" in name or pathlib.Path(spec).exists():
      path = spec
      name = pathlib.Path(spec).resolve().name
    if not path or not pathlib.Path(path).exists():
      raise UserError(
          f"{flag}={spec}: no such directory; expected PATH or NAME=PATH"
      )
    if name in paths or name in reserved:
      raise UserError(
          f"{flag}={spec}: the name '{name}' is taken; give another as "
          "NAME=PATH"
      )
    paths[name] = pathlib.Path(path)
  return paths


def _known(output: str | None) -> dict[str, dict]:
  """Returns results per fingerprint of model and task in an earlier file."""
  try:
    earlier = json.loads(pathlib.Path(output or "").read_text())
    return {
        result["fingerprint"]: result
        for model in earlier["models"] for result in model["tasks"].values()
    }
  except (OSError, ValueError, KeyError, TypeError):
    return {}  # no earlier file, or not one of ours: compute all


def _result(
    name: str,
    path: str | None,
    system: systems.Dense | systems.Lexical,
    tasks: Sequence[Task],
    prints: dict[str, str],
    known: dict[str, dict],
) -> dict:
  """Runs every task that the system can, or takes what is known, as JSON."""
  found = {}
  fingerprint = system.fingerprint()
  for task in tasks:
    if isinstance(system, systems.Lexical) and not task.lexical:
      continue
    key = vectors.text_fingerprint(
        fingerprint, prints[task.name], task.metrics, compare.DRAWS)
    if key in known:
      print(f"{name} on {task.name}: already in the output file, kept")
      found[task.name] = known[key]
      continue
    outcome = task.run(system)
    scores = task.scores(outcome.items)
    for metric, value in scores.items():
      if not math.isfinite(value):
        print(f"{name} on {task.name}: no {metric}, since all is alike to it")
    drawn = compare.draws(task, outcome.items)
    main = scores[task.metrics[0]]
    found[task.name] = {
        "fingerprint": key,
        "scores": {m: _number(v) for m, v in scores.items()},
        "interval": [_number(v) for v in compare.interval(main, drawn)],
        "draws": [_number(round(v, 6)) for v in drawn.tolist()],
        "worst": list(outcome.worst),
    }
  return {"name": name, "path": path, "tasks": found}


def _number(value: float) -> float | None:
  """JSON knows no NaN."""
  return value if math.isfinite(value) else None
