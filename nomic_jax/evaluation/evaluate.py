# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""`nomic-jax evaluate`: one table of how well each model finds answers."""

import json
import pathlib
from typing import Callable, Sequence

import numpy as np

import nomic_jax
from nomic_jax.errors import UserError, nearest
from nomic_jax.evaluation import bm25, retrieval, vectors
from nomic_jax.files import replacing

_WORST = 20  # queries kept per model and task, for people to read
_SHOWN = 3  # documents shown for each of them


def evaluate(
    models: Sequence[str],
    tasks: Sequence[str],
    output: str | None = None,
    baselines: Sequence[str] = (),
) -> dict:
  """Scores models on tasks, prints a table and writes it as JSON.

  What `output` already holds for the same weights and the same task is kept
  rather than computed again; baselines are quick and always computed.

  Args:
    models: model or work directories, each "PATH" or "NAME=PATH".
    tasks: data directories with a `test` split, likewise.
    output: .json file for the scores and each model's worst queries.
    baselines: rankings without a model to compare with, of bm25.BASELINES.

  Returns:
    What is written to `output`.

  Raises:
    UserError: for an unknown baseline, a missing model, a name used twice, an
      empty task, embeddings that are not finite.
  """
  for name in baselines:
    if name not in bm25.BASELINES:
      raise UserError(
          f"--baseline={name}: unknown; expected one of "
          f"{', '.join(bm25.BASELINES)}.{nearest(name, bm25.BASELINES)}"
      )
  paths = named_paths(models, "--model", reserved=[*bm25.BASELINES])
  places = named_paths(tasks, "--tasks")
  if not places or not (paths or baselines):
    raise UserError(
        "nothing to evaluate: give --tasks=DIR and --model=DIR or "
        "--baseline=bm25"
    )
  read = [retrieval.read_task(p, name) for name, p in places.items()]
  prints = {t.name: vectors.text_fingerprint(
      t.queries, t.documents, t.locations) for t in read}
  known = _known(output)

  results = []
  for name in baselines:
    results.append(_result(
        name, None, "", lambda task, name=name: _bm25(task, name), read, prints,
        {},
    ))
  for name, path in paths.items():
    print(f"{name}: {path}")
    model = nomic_jax.load(path)
    results.append(_result(
        name, path, vectors.model_fingerprint(model),
        lambda task, model=model: _dense(model, task),
        read, prints, known,
    ))
  written = {
      "tasks": {
          t.name: {
              "path": str(places[t.name]), "queries": len(t.queries),
              "documents": len(t.documents), "fingerprint": prints[t.name],
          } for t in read
      },
      "models": results,
  }
  if output:
    with replacing(output) as temporary:
      temporary.write_text(json.dumps(written, indent=1) + "\n")
  print("\n".join(table(written)))
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


def table(results: dict) -> list[str]:
  """Returns the lines of one aligned table per task."""
  lines = []
  width = max(len(m["name"]) for m in results["models"])
  for name, task in results["tasks"].items():
    lines += [
        "",
        f"{name}: {task['queries']:,} queries, {task['documents']:,} documents",
        "  ".join([" " * width, *retrieval.METRICS]),
    ]
    for model in results["models"]:
      scores = model["tasks"][name]["scores"]
      cells = [f"{scores[m]:{len(m)}.3f}" for m in retrieval.METRICS]
      lines.append("  ".join([f"{model['name']:{width}}", *cells]))
  return lines[1:]


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
    path: pathlib.Path | None,
    fingerprint: str,
    rank: Callable[[retrieval.RetrievalTask], tuple[np.ndarray, np.ndarray]],
    tasks: Sequence[retrieval.RetrievalTask],
    prints: dict[str, str],
    known: dict[str, dict],
) -> dict:
  """Ranks every task's documents, or takes what is known, as JSON."""
  found = {}
  for task in tasks:
    key = vectors.text_fingerprint(
        fingerprint or name, prints[task.name], retrieval.METRICS
    )
    if key in known:
      print(f"{name} on {task.name}: already in the output file, kept")
      found[task.name] = known[key]
      continue
    scores, rankings = rank(task)
    metrics = retrieval.retrieval_scores(rankings, task.relevant)
    found[task.name] = {
        "fingerprint": key,
        "scores": {m: float(values.mean()) for m, values in metrics.items()},
        "worst": _worst(task, scores, rankings),
    }
  return {"name": name, "path": path and str(path), "tasks": found}


def _bm25(
    task: retrieval.RetrievalTask, baseline: str
) -> tuple[np.ndarray, np.ndarray]:
  index = bm25.Bm25(task.documents, baseline)
  return index.search(task.queries, retrieval.DEPTH)


def _dense(
    model, task: retrieval.RetrievalTask
) -> tuple[np.ndarray, np.ndarray]:
  """Returns (scores, indices) [Q, K] by the inner product of embeddings."""
  from nomic_jax.curate import neighbours

  documents = vectors.encode(
      model, task.documents, "search_document", show_progress=True)
  queries = vectors.encode(
      model, task.queries, "search_query", show_progress=True)
  depth = min(retrieval.DEPTH, len(documents))
  return neighbours.top_k(queries, documents, depth)


def _worst(
    task: retrieval.RetrievalTask, scores: np.ndarray, rankings: np.ndarray
) -> list[dict]:
  """Returns the queries whose answer came last, or not at all.

  Among equals those come first where the model was most sure of another
  document: where scores fall most from the first to the answer, or to the
  last if the answer was not found.
  """
  places = []
  for ranking, relevant in zip(rankings.tolist(), task.relevant):
    answers = set(relevant)
    places.append(next(
        (place for place, d in enumerate(ranking) if d in answers), None))
  missed = rankings.shape[1]
  order = sorted(range(len(places)), key=lambda q: (
      -missed if places[q] is None else -places[q],
      scores[q, -1 if places[q] is None else places[q]] - scores[q, 0],
  ))
  return [
      {
          "query": task.queries[q],
          "answer": _shown(task, q),
          "rank": None if places[q] is None else places[q] + 1,
          "retrieved": [
              {"score": float(score), **_shown(task, d)}
              for score, d in zip(scores[q], rankings[q][:_SHOWN]) if d >= 0
          ],
      }
      for q in order[:_WORST] if places[q] != 0
  ]


def _shown(task: retrieval.RetrievalTask, document: int) -> dict[str, str]:
  return {
      "title": title(task.documents[document]),
      "location": task.locations[document],
  }


def title(document: str) -> str:
  """Returns the document's first line that is not blank, at most 200 long."""
  return next((s.strip() for s in document.splitlines() if s.strip()), "")[:200]
