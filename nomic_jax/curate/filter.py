# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Consistency filter: keep pairs whose document its own query finds.

Within a chunk of rows, a pair stays if its document is among the k nearest of
its query (arXiv 2402.01613, section on consistency filtering). Documents with
the same text are one document, and one that ties with the k-th is inside.
"""

import functools
import json
import os
from typing import Any, Callable, Sequence

import numpy as np

from nomic_jax.curate import embeddings
from nomic_jax.curate import neighbours
from nomic_jax.curate import parts
from nomic_jax.curate import rewrite
from nomic_jax.data import dataset
from nomic_jax.errors import UserError
from nomic_jax.progress import Progress

# What can happen to a row; a decision is a place in this list.
OUTCOMES = ("kept", "not among nearest", "similarity", "empty text")
_KEPT, _RANK, _SIMILARITY, _EMPTY = range(len(OUTCOMES))
# Scores closer than this tie: float32 sums of the same products, made in
# another order, differ by about as much for unit vectors.
_TIE = 1e-6


def filter_pairs(
    model: Any,
    input: str | os.PathLike,
    output: str | os.PathLike,
    *,
    k: int = 2,
    chunk_size: int = 1_000_000,
    minimum_similarity: float | None = None,
    margin: float | None = None,
    examples: int = 3,
) -> dict:
  """Writes the pairs of `input` that `model` finds consistent to `output`.

  Killed at any point, the same call goes on without embedding a text again
  that was done; where `output` is complete, it says so and returns.

  Args:
    model: a directory, or an object whose `encode` returns unit vectors.
    input: data directory; `train` is filtered, other splits are copied.
    output: data directory to write; `score` is the cosine of each pair.
    k: how many nearest documents of its query a pair's document may be in.
    chunk_size: most rows that compete with each other; chunks are of equal
      size, so that the last is no easier than the others.
    minimum_similarity: also drop pairs whose cosine is below this.
    margin: also keep pairs whose cosine is at most this below the k-th's.
    examples: how many dropped and how many kept pairs to print.

  Returns:
    What stats.json holds: arguments, rows, sources, similarity.

  Raises:
    UserError: bad arguments, nothing left, an embedding not finite.
  """
  _check(k, chunk_size, margin)
  rewrite.check_places(input, output)
  arguments = {
      "job": "filter", "model": parts.identity(model),
      "input": parts.identity(input), "k": k, "chunk_size": chunk_size,
      "minimum_similarity": minimum_similarity, "margin": margin,
  }
  if (stats := parts.finished(output, arguments)) is not None:
    return stats
  source = dataset.open_split(input, "train")
  load = functools.cache(lambda: embeddings.load(model))
  if not parts.Parts.begun(output):
    load()  # before anything is written, in case it cannot be read
  done = parts.Parts(output, arguments)
  chunks = -(-len(source) // chunk_size)
  bounds = [len(source) * i // chunks for i in range(chunks + 1)]
  for i in range(chunks):
    if not done.has(_name(i)):
      _decide_chunk(
          load, source, range(bounds[i], bounds[i + 1]), done, i,
          f"chunk {i + 1} of {chunks}", os.fspath(input),
          k=k, minimum_similarity=minimum_similarity, margin=margin,
      )
  stats = _finish(source, input, output, done, chunks, arguments, examples)
  done.remove()
  return stats


def _check(k: int, chunk_size: int, margin: float | None) -> None:
  for name, value, least in (
      ("k", k, 1), ("chunk_size", chunk_size, 1), ("margin", margin or 0, 0),
  ):
    if value < least:
      raise UserError(f"{name}={value}: expected at least {least}")


def _name(chunk: int) -> str:
  return f"chunk-{chunk:05d}"


def _decide_chunk(
    load: Callable[[], Any],
    source: dataset.Source,
    rows: range,
    done: parts.Parts,
    chunk: int,
    label: str,
    input: str,
    *,
    k: int,
    minimum_similarity: float | None,
    margin: float | None,
) -> None:
  """Decides the rows of one chunk and keeps the decisions in `done`."""
  pairs = [source[i] for i in rows]
  full = [
      i for i, p in enumerate(pairs)
      if p["query"].strip() and p["document"].strip()
  ]
  decision = np.full(len(pairs), _EMPTY, np.uint8)
  score = np.full(len(pairs), np.nan, np.float32)
  nearest = np.full(len(pairs), -1, np.int64)
  files = []

  def embedded(column: str, prompt: str) -> tuple[np.ndarray, ...]:
    texts, first, of = _distinct([pairs[i][column] for i in full])
    path = done.path(f"{_name(chunk)}-{column}.npy")
    files.extend([path.name, path.name + ".done"])
    vectors = embeddings.embed(
        load, texts, prompt, path, label=f"{label}: {column} embeddings",
        where=lambda t: (
            f"{input}, split train, row {rows[full[first[t]]]}, {column}"),
    )
    return vectors, of, first

  if full:
    queries, query_of, _ = embedded("query", "search_query")
    documents, document_of, first = embedded("document", "search_document")
    with Progress(len(queries), "queries", f"{label}: nearest") as progress:
      best, found = neighbours.Index(documents).search(
          queries, min(k, len(documents)), progress=progress)
    own = embeddings.products(queries, query_of, documents, document_of)
    score[full] = own
    nearest[full] = np.take(np.take(rows, full), first)[found[query_of, 0]]
    decision[full] = _decide(
        own, best[query_of], found[query_of] == document_of[:, None],
        minimum_similarity, margin)
  counts = rewrite.count_sources(
      (p["source"] for p in pairs), (OUTCOMES[d] for d in decision))
  done.save(
      _name(chunk), decision=decision, score=score, nearest=nearest,
      counts=np.array(json.dumps(counts)))
  done.discard(*files)


def _distinct(
    texts: Sequence[str],
) -> tuple[list[str], np.ndarray, np.ndarray]:
  """Returns distinct texts, where each was first, and each text's number."""
  number = {}
  of = np.array([number.setdefault(t, len(number)) for t in texts], np.int64)
  _, first = np.unique(of, return_index=True)
  return list(number), first, of


def _decide(
    own: np.ndarray,
    best: np.ndarray,
    is_own: np.ndarray,
    minimum_similarity: float | None,
    margin: float | None,
) -> np.ndarray:
  """Returns the decision of each row.

  Args:
    own: [N], the pair's own similarity.
    best: [N, k], the similarities of its query's nearest documents, falling.
    is_own: [N, k], whether that document is the pair's own.
    minimum_similarity: as in `filter_pairs`.
    margin: as in `filter_pairs`.
  """
  decision = np.full(len(own), _KEPT, np.uint8)
  if minimum_similarity is not None:
    decision[own < minimum_similarity] = _SIMILARITY
  behind = max(margin or 0, _TIE)
  decision[~is_own.any(axis=1) & (own < best[:, -1] - behind)] = _RANK
  return decision


def _finish(
    source: dataset.Source,
    input: str | os.PathLike,
    output: str | os.PathLike,
    done: parts.Parts,
    chunks: int,
    arguments: dict,
    examples: int,
) -> dict:
  """Writes the output and returns its stats."""
  loaded = [done.load(_name(i)) for i in range(chunks)]
  decision, score, nearest = (
      np.concatenate([part[name] for part in loaded])
      for name in ("decision", "score", "nearest"))
  by_source = {}
  for part in loaded:
    for name, counts in json.loads(str(part["counts"])).items():
      into = by_source.setdefault(name, {})
      for outcome, n in counts.items():
        into[outcome] = into.get(outcome, 0) + n
  kept = np.flatnonzero(decision == _KEPT)
  stats = {
      "arguments": arguments,
      "input": os.fspath(input),
      "rows": rewrite.count_rows(by_source, len(source)),
      "sources": by_source,
      "similarity": {
          outcome: float(np.mean(score[decision == i]))
          for i, outcome in enumerate(OUTCOMES)
          if i != _EMPTY and (decision == i).any()
      },
  }
  print(f"filter: {len(kept):,} of {len(source):,} pairs kept")
  rewrite.print_sources(by_source)
  _print_examples(source, decision, score, nearest, examples)
  train = ({**source[i], "score": float(score[i])} for i in kept.tolist())
  rewrite.write(input, output, train, kept=len(kept), stats=stats)
  return stats


def _print_examples(source, decision, score, nearest, count: int) -> None:
  rng = np.random.default_rng(0)
  for title, rows in (
      ("kept", np.flatnonzero(decision == _KEPT)),
      ("dropped", np.flatnonzero(decision != _KEPT)),
  ):
    for i in rng.permutation(rows)[:count].tolist():
      row = source[i]
      why = "" if title == "kept" else f" ({OUTCOMES[decision[i]]})"
      print(f"{title}{why}, similarity {score[i]:.3f}: row {i} "
            f"{row['location']}")
      print(f"  query     {rewrite.short(row['query'])}")
      print(f"  document  {rewrite.short(row['document'])}")
      if title == "dropped" and nearest[i] >= 0:
        print("  nearest   "
              + rewrite.short(source[int(nearest[i])]["document"]))
