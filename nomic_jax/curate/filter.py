# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Consistency filter: keeps pairs whose document is retrieved by its query.

This follows arXiv 2402.01613, section on consistency filtering. Chunks of rows
are independent: each is decided once (see `decide`) and the result is saved,
and processes share them.
"""

from collections.abc import Iterator
from collections.abc import Sequence
import json
import os

import numpy as np

from nomic_jax.curate import decide
from nomic_jax.curate import groups
from nomic_jax.curate import parts
from nomic_jax.curate import rewrite
from nomic_jax.curate import similarity_report
from nomic_jax.data import dataset
from nomic_jax.data import kinds
from nomic_jax.data.records import Row
from nomic_jax.embed import store as embeddings
from nomic_jax.errors import UserError
from nomic_jax.mesh import processes
from nomic_jax.search import neighbours
from nomic_jax.storage import places


@places.expanding("model", "input", "output")
def filter_pairs(
  model: embeddings.Given,
  input: str | os.PathLike,
  output: str | os.PathLike,
  *,
  k: int = 2,
  chunk_size: int = 1_000_000,
  minimum_similarity: float | None = None,
  margin: float | None = None,
  within_source: bool = False,
  query_prompt: str | None = None,
  document_prompt: str | None = None,
  dtype: str = "float32",
  store: str = "float32",
  examples: int = 3,
) -> dict:
  """Writes the pairs of `input` that `model` finds consistent to `output`.

  After an interruption, the same call resumes without embedding a text again.
  If `output` is complete, it reports that and returns. If several processes
  share a disk, each handles its share of the chunks.

  The arguments are the flags of `nomic-jax filter`, described in
  jobs/filter.py. The model may also be an object, see
  `embedding_model.adapted`. Up to `examples` dropped and kept pairs are
  printed.

  Returns:
    The content of stats.json: arguments, rows, sources, similarity.

  Raises:
    UserError: for invalid arguments, if no pair remains, or for an embedding
      that is not finite.
  """
  rule = decide.Rule(k, minimum_similarity, margin, store)
  _check(rule, chunk_size)
  rewrite.check_places(input, output)
  rewrite.check_kind(input, "filter")
  model = embeddings.locate(model)
  arguments = {
    "job": "filter",
    "model": parts.identity(model),
    "input": parts.identity(input),
    **rule._asdict(),
    "chunk_size": chunk_size,
    "within_source": within_source,
    "query_prompt": query_prompt,
    "document_prompt": document_prompt,
    "dtype": dtype,
  }
  if (stats := parts.finished(output, arguments)) is not None:
    return stats
  source = dataset.open_split(input, "train")
  # Loaded before anything is written, in case it cannot be read.
  path, model = model, embeddings.load(model, dtype)
  chunks = _chunks(
    chunk_size,
    groups.split(
      source,
      model.prompts,
      query_prompt=query_prompt,
      document_prompt=document_prompt,
      kind=lambda name: name if within_source else "",
    ),
  )
  done = parts.shared(output, arguments)
  for chunk in processes.share(chunks):
    if not done.has(chunk.name):
      decide.decide_chunk(model, source, chunk, done, os.fspath(input), rule)
  processes.barrier("filter")
  return parts.finish(
    done,
    lambda: _write(
      source, input, output, done, chunks, arguments, examples, path
    ),
  )


def _check(rule: decide.Rule, chunk_size: int) -> None:
  for name, value, least in (
    ("k", rule.k, 0),
    ("chunk_size", chunk_size, 1),
    ("margin", rule.margin or 0, 0),
  ):
    if value < least:
      raise UserError(f"{name}={value}: expected at least {least}")
  if not rule.k and rule.minimum_similarity is None:
    raise UserError(
      "k=0: keeps every pair; also set minimum_similarity, or a larger k"
    )
  neighbours.check_store(rule.store)


def _chunks(size: int, split: Sequence[groups.Group]) -> list[decide.Chunk]:
  """Splits each group into chunks of equal size, at most `size` rows."""
  pieces = [
    (group, rows)
    for group in split
    for rows in np.array_split(group.rows, -(-len(group.rows) // size))
  ]
  return [
    decide.Chunk(
      f"chunk-{i:05d}", f"chunk {i + 1} of {len(pieces)}", rows, group.prompts
    )
    for i, (group, rows) in enumerate(pieces)
  ]


def _write(
  source: dataset.Source,
  input: str | os.PathLike,
  output: str | os.PathLike,
  done: parts.Parts,
  chunks: Sequence[decide.Chunk],
  arguments: dict,
  examples: int,
  model: embeddings.Given,
) -> dict:
  """Writes the output and returns its stats."""
  # Assigned below.
  decision = np.full(len(source), len(decide.OUTCOMES), np.uint8)
  score = np.full(len(source), np.nan, np.float32)
  nearest = np.full(len(source), -1, np.int64)
  by_source, recalls = {}, []
  for chunk in chunks:
    part = done.load(chunk.name)
    for whole, name in (
      (decision, "decision"),
      (score, "score"),
      (nearest, "nearest"),
    ):
      whole[chunk.rows] = part[name]
    rewrite.add_counts(by_source, json.loads(str(part["counts"])))
    recalls.append(float(part["recall"]))
  kept = np.flatnonzero(decision == decide.KEPT)
  stats = {
    "arguments": arguments,
    "input": os.fspath(input),
    "kind": kinds.of(input).to_json(),
    "rows": rewrite.count_rows(by_source, len(source)),
    "sources": by_source,
    "similarity": {
      outcome: float(np.mean(score[decision == i]))
      for i, outcome in enumerate(decide.OUTCOMES)
      if i != decide.EMPTY and (decision == i).any()
    },
  }
  if arguments["store"] != "float32":
    stats["recall"] = float(np.mean([r for r in recalls if r == r] or [1]))
    rewrite.print_recall(arguments["store"], stats["recall"])
  report = similarity_report.Report(
    source, score, decision, decide.OUTCOMES, nearest, by_source
  )
  print(f"filter: {len(kept):,} of {len(source):,} pairs kept")
  print("\n".join(rewrite.table(by_source)))
  print("\n".join(report.examples(examples)))
  train: Iterator[Row] = (
    {**source[i], "score": float(score[i])} for i in kept.tolist()
  )
  rewrite.write(
    input,
    output,
    train,
    stats=stats,
    others=report.files(),
    inputs={"model": model},
  )
  return stats
