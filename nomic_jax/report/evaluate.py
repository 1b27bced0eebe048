# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Scores systems on tasks, and writes tables and pages with the results."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import functools
import json
import pathlib
from typing import Any

import nomic_jax
from nomic_jax.embed.classifier import Classifier
from nomic_jax.errors import one_of
from nomic_jax.errors import UserError
from nomic_jax.evaluation import compare
from nomic_jax.evaluation import curves
from nomic_jax.evaluation import paths
from nomic_jax.evaluation import published
from nomic_jax.evaluation import scoring
from nomic_jax.evaluation import systems
from nomic_jax.evaluation import tasks as tasks_lib
from nomic_jax.evaluation.retrieval import RetrievalTask
from nomic_jax.report import report
from nomic_jax.report import tables
from nomic_jax.search import bm25
from nomic_jax.storage import buckets
from nomic_jax.storage import decoding
from nomic_jax.storage import drawing
from nomic_jax.storage import fingerprints
from nomic_jax.storage import places as places_lib
from nomic_jax.storage import staging
from nomic_jax.storage.files import replacing
from nomic_jax.storage.values import Place

_FEW_QUERIES = 200
# The first and the last token of a text, and one in between.
_FEWEST_TOKENS = 3


@places_lib.expanding("models", "tasks", "output", "data")
def evaluate(
  models: Sequence[str],
  tasks: Sequence[str],
  output: str | None = None,
  baselines: Sequence[str] = (),
  data: str | None = None,
  with_curves: bool = False,
  dims: Sequence[int] = (),
  max_tokens: int | None = None,
  pooled_norm: bool = False,
  hybrid: str | None = None,
  known_from: Sequence[str] = (),
) -> dict:
  """Scores models on tasks, prints tables and writes them to files.

  Results already in `output` for the same weights and the same task are reused,
  also after an interruption. BM25 is fast and always computed.

  The arguments are the flags of `nomic-jax evaluate`, described in
  jobs/evaluate.py; those that may be repeated are sequences here. Without
  `output`, nothing is written. Results in the earlier files `known_from` are
  reused too.

  Returns:
    The content of `output`.

  Raises:
    UserError: for an unknown baseline or task, a missing model, a name used
      twice, an empty task, a dimension that a model does not have, or
      embeddings that are not finite.
  """
  places = paths.named_paths(
    models, "--model", reserved=[*bm25.BASELINES], hub=True
  )
  cuts_of = {
    n: {f"{n}@{dim}": dim for dim in dims} or {n: None} for n in places
  }
  # A model's name stands for the model at each of the dimensions.
  baselines = [b for name in baselines for b in cuts_of.get(name, [name])]
  if hybrid:
    one_of(hybrid, bm25.BASELINES, f"--hybrid={hybrid}: unknown")
  fused = {
    f"{cut}+{hybrid}": (cut, hybrid)
    for cuts in cuts_of.values()
    for cut in (cuts if hybrid else ())
  }
  choices = [
    *bm25.BASELINES,
    *(cut for cuts in cuts_of.values() for cut in cuts),
    *fused,
  ]
  for name in baselines:
    one_of(name, choices, f"--baseline={name}: unknown")
  if not any(tasks) or not (places or baselines):
    raise UserError(
      "nothing to evaluate: specify --tasks=DIR and --model=DIR or "
      "--baseline=bm25"
    )
  if output and not str(output).endswith(".json"):
    raise UserError(f"--output={output}: expected a name that ends in .json")
  if output:
    places_lib.check_file(output)
  if data:
    data = staging.local(data)
  if data and not pathlib.Path(data).is_dir():
    raise UserError(f"--data={data}: no such folder")
  if max_tokens is not None and max_tokens < _FEWEST_TOKENS:
    raise UserError(
      f"--max_tokens={max_tokens}: expected {_FEWEST_TOKENS} or more, which "
      "includes the special tokens around a text"
    )
  # Passed only if set, so that test doubles need not support it.
  load = functools.partial(
    nomic_jax.load, **{"pooled_norm": True} if pooled_norm else {}
  )
  _check_dims(dims, places, load)
  read = tasks_lib.find(tasks, pathlib.Path(data) if data else None)
  for task in read:
    if isinstance(task, RetrievalTask) and len(task.queries) < _FEW_QUERIES:
      few = len(task.queries) < compare.FEWEST
      print(
        f"{task.name}: confidence intervals are "
        f"{'not computed' if few else 'wide'} with only {len(task.queries)} "
        "queries; hold out more with prepare --held_out=0.2"
      )
  prints = {t.name: t.fingerprint() for t in read}
  known = {}
  for place in (*known_from, output):
    known |= _known(place)
  results = []

  def score(name: str, path: str | None, system: Any, curves_too: bool) -> None:
    cuts = cuts_of.get(name, {name: None})

    def variants(whole: Any) -> dict[str, Any]:
      found = {n: whole.at(d) if d else whole for n, d in cuts.items()}
      if hybrid and path:
        for cut in cuts:
          lexical = systems.Lexical(hybrid)
          found[f"{cut}+{hybrid}"] = systems.Hybrid(found[cut], lexical)
      return found

    prints_of = {n: v.fingerprint() for n, v in variants(system).items()}
    added = [{"name": n, "path": path, "tasks": {}} for n in prints_of]
    results.extend(added)
    for task in read:
      if isinstance(system, systems.Lexical) and not task.lexical:
        print(
          f"{name} on {task.name}: skipped, since it can only rank documents"
        )
        continue
      # Texts are embedded once for all dimensions. An mteb task has many texts,
      # so its vectors are cached only if they are needed again.
      keep = path and (task.kind != "mteb" or len(added) > 1 or curves_too)
      cached = contextlib.nullcontext() if not keep else system.caching()  # pyright: ignore[reportAttributeAccessIssue]
      with cached:
        for result, (each, variant) in zip(added, variants(system).items()):
          if isinstance(variant, systems.Hybrid) and not task.lexical:
            continue
          key = fingerprints.of_values(
            prints_of[each], prints[task.name], task.metrics, compare.DRAWS
          )
          result["tasks"][task.name] = scoring.result(
            each, variant, task, key, known, curves_too and result is added[0]
          )
      if output:
        with replacing(_partial(output)) as temporary:
          temporary.write_text(json.dumps({"models": results}))

  for name in dict.fromkeys([*baselines, *([hybrid] if hybrid else ())]):
    if name in bm25.BASELINES:
      score(name, None, systems.Lexical(name), False)
  for name, path in places.items():
    print(f"{name}: {path}")
    model = load(path)
    if isinstance(model, Classifier):
      system = systems.Head(model)
      wrong = [t for t in read if t.kind != "classification"]
      if wrong or model.task != "single":
        raise UserError(
          f"--model={name}: a classifier ({model.task}), which has no vectors "
          f"for {wrong[0].name if wrong else read[0].name}; it can only be "
          "scored on texts with one class each"
        )
    else:
      system = systems.Dense(model)
    with system.limited(max_tokens) if max_tokens else contextlib.nullcontext():
      score(name, str(path), system, with_curves)
  written = {
    "tasks": {
      t.name: {
        "kind": t.kind,
        "path": t.path,
        "size": t.size,
        "metrics": list(t.metrics),
        "group": t.group,
        "published": {**published.of(t.name), **t.published},
        "fingerprint": prints[t.name],
      }
      for t in read
    },
    "baselines": list(baselines),
    "hybrids": fused,
    "models": results,
  }
  if output:
    _write(output, written)
    _partial(output).unlink(missing_ok=True)
  print("\n".join(tables.text(written)))
  return written


def _write(output: str, results: dict) -> None:
  """Writes the .json file and the readable files made from it."""
  beside = buckets.as_path(output).with_suffix
  with replacing(output) as temporary:
    temporary.write_text(json.dumps(results) + "\n")
  with replacing(beside(".md")) as temporary:
    temporary.write_text(
      decoding.safe(tables.markdown(results)), encoding="utf-8"
    )
  if any(
    "curve" in result
    for model in results["models"]
    for result in model["tasks"].values()
  ):
    with replacing(beside(".png")) as temporary:
      temporary.write_bytes(drawing.png(curves.draw(results)))
  report.report([], str(output), str(beside(".html")))


def _partial(output: str) -> Place:
  """Returns where results are kept until all are complete."""
  return buckets.as_path(output).with_suffix(".partial.json")


def _known(output: str | None) -> dict[str, dict]:
  """Returns results by fingerprint of system and task from earlier files."""
  results = {}
  for path in (buckets.as_path(output), _partial(output)) if output else ():
    try:
      results |= {
        result["fingerprint"]: result
        for model in json.loads(path.read_text())["models"]
        for result in model["tasks"].values()
      }
    except (OSError, ValueError, KeyError, TypeError):
      pass  # no earlier file, or not one of ours: compute everything
  return results


def _check_dims(
  dims: Sequence[int],
  places: Mapping[str, pathlib.Path],
  load: Callable[[pathlib.Path], Any],
) -> None:
  """Checks before the long work that all models have these dimensions."""
  for name, path in places.items() if dims else ():
    width = load(path).width
    wrong = [dim for dim in dims if not 0 < dim <= width]
    if wrong:
      raise UserError(
        f"--dim={wrong[0]}: {name} has vectors of {width} dimensions; "
        f"expected numbers from 1 to {width}"
      )
