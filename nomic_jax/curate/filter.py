# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Consistency filter: keeps pairs whose document is retrieved by its query.

Within a chunk of rows, a pair is kept if its document is among the k nearest to
its query (arXiv 2402.01613, section on consistency filtering); a tie with the
k-th counts. Documents that are the same to the encoder count as one: equal
tokens after lower-casing and truncation, if the model provides `identities`.
Chunks are independent: each is decided once and the result is saved, and
processes share them.
"""

from collections.abc import Sequence
import json
import os
from typing import NamedTuple

import numpy as np

from nomic_jax.curate import groups
from nomic_jax.curate import parts
from nomic_jax.curate import rewrite
from nomic_jax.curate import similarity_report
from nomic_jax.data import dataset
from nomic_jax.embed import store as embeddings
from nomic_jax.embed.embedding_model import EmbeddingModel
from nomic_jax.errors import UserError
from nomic_jax.mesh import processes
from nomic_jax.search import neighbours
from nomic_jax.storage import places
from nomic_jax.storage.progress import Progress
from nomic_jax.storage.unicode_text import blank

# What can happen to a row; a decision is an index into this list.
OUTCOMES = ("kept", "not among nearest", "similarity", rewrite.EMPTY)
_KEPT, _RANK, _SIMILARITY, _EMPTY = range(len(OUTCOMES))
# Scores closer than this tie: for unit vectors, float32 sums of the same
# products in another order differ by about as much, and proportionally for
# longer vectors.
_TIE = 1e-6
_RECALL_QUERIES = 256  # of the first chunk, if the store is not exact


class Chunk(NamedTuple):
  """Rows that are decided together.

  Attributes:
    name: the name of its part.
    label: for progress messages.
    rows: row numbers.
    prompts: the prompts of their texts.
  """

  name: str
  label: str
  rows: np.ndarray
  prompts: groups.Prompts


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
  _check(k, chunk_size, margin, store, minimum_similarity)
  rewrite.check_places(input, output)
  rewrite.check_no_scores(input, "filter")
  model = embeddings.locate(model)
  arguments = {
    "job": "filter",
    "model": parts.identity(model),
    "input": parts.identity(input),
    "k": k,
    "chunk_size": chunk_size,
    "minimum_similarity": minimum_similarity,
    "margin": margin,
    "within_source": within_source,
    "query_prompt": query_prompt,
    "document_prompt": document_prompt,
    "dtype": dtype,
    "store": store,
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
      _decide_chunk(
        model,
        source,
        chunk,
        done,
        os.fspath(input),
        k=k,
        minimum_similarity=minimum_similarity,
        margin=margin,
        store=store,
      )
  processes.barrier("filter")
  return parts.finish(
    done,
    lambda: _write(
      source, input, output, done, chunks, arguments, examples, path
    ),
  )


def _check(k, chunk_size, margin, store, minimum_similarity) -> None:
  for name, value, least in (
    ("k", k, 0),
    ("chunk_size", chunk_size, 1),
    ("margin", margin or 0, 0),
  ):
    if value < least:
      raise UserError(f"{name}={value}: expected at least {least}")
  if not k and minimum_similarity is None:
    raise UserError(
      "k=0: keeps every pair; also set minimum_similarity, or a larger k"
    )
  neighbours.check_store(store)


def _chunks(size: int, split: Sequence[groups.Group]) -> list[Chunk]:
  """Splits each group into chunks of equal size, at most `size` rows."""
  pieces = [
    (group, rows)
    for group in split
    for rows in np.array_split(group.rows, -(-len(group.rows) // size))
  ]
  return [
    Chunk(
      f"chunk-{i:05d}", f"chunk {i + 1} of {len(pieces)}", rows, group.prompts
    )
    for i, (group, rows) in enumerate(pieces)
  ]


def _decide_chunk(
  model: EmbeddingModel,
  source: dataset.Source,
  chunk: Chunk,
  done: parts.Parts,
  input: str,
  *,
  k: int,
  minimum_similarity: float | None,
  margin: float | None,
  store: str,
) -> None:
  """Decides the rows of one chunk and saves the decisions in `done`."""
  pairs = source.__getitems__(chunk.rows.tolist())
  full = [
    i
    for i, p in enumerate(pairs)
    if not (blank(p["query"]) or blank(p["document"]))
  ]
  decision = np.full(len(pairs), _EMPTY, np.uint8)
  score = np.full(len(pairs), np.nan, np.float32)
  nearest = np.full(len(pairs), -1, np.int64)
  recall = np.nan
  folders = []

  def embedded(
    column: str, prompt: str
  ) -> tuple[embeddings.Store, np.ndarray, np.ndarray]:
    texts, first, of = _distinct(
      [pairs[i][column] for i in full], model, prompt
    )
    # The name has the number of texts, since earlier versions identified equal
    # texts in another way.
    folder = done.path(f"{chunk.name}-{column}-{len(texts)}")
    folders.append(folder.name)
    embeddings.embed(
      model,
      texts,
      prompt,
      folder,
      label=f"{chunk.label}: {column} embeddings",
      where=lambda t: (
        f"{input}, split train, row {chunk.rows[full[first[t]]]}, {column}"
      ),
    )
    return embeddings.Store(folder, len(texts)), of, first

  if full:
    queries, query_of, _ = embedded("query", chunk.prompts.query)
    documents, document_of, first = embedded("document", chunk.prompts.document)
    score_of_pair = embeddings.products(
      queries, query_of, documents, document_of
    )
    score[full] = score_of_pair
    behind = np.zeros(len(score_of_pair), bool)
    if k:
      best, neighbour_rows = _search(queries, documents, k, store, chunk.label)
      if store != "float32":
        recall = neighbours.recall(
          queries, documents, neighbour_rows, _RECALL_QUERIES
        )
      nearest[full] = chunk.rows[
        np.take(full, first[neighbour_rows[query_of, 0]])
      ]
      behind = _behind(
        score_of_pair,
        best[query_of],
        neighbour_rows[query_of] == document_of[:, None],
        margin,
      )
    decision[full] = np.where(
      behind,
      _RANK,
      np.where(
        score_of_pair
        < (-np.inf if minimum_similarity is None else minimum_similarity),
        _SIMILARITY,
        _KEPT,
      ),
    )
  counts = rewrite.count_sources(
    (p["source"] for p in pairs), (OUTCOMES[d] for d in decision)
  )
  done.save(
    chunk.name,
    decision=decision,
    score=score,
    nearest=nearest,
    recall=np.float32(recall),
    counts=np.array(json.dumps(counts)),
  )
  done.discard(*folders)


def _distinct(
  texts: Sequence[str], model: EmbeddingModel, prompt: str
) -> tuple[list[str], np.ndarray, np.ndarray]:
  """Returns distinct texts, the index of each one's first occurrence, and the
  number of each text.

  This does not use `unicode_text.same`, since a cased model gives "Polish" and
  "polish" different vectors, and `score` is that of the pair's own spelling.
  """
  keys = model.identities([prompt + text for text in texts])
  number = {}
  of = np.array([number.setdefault(k, len(number)) for k in keys], np.int64)
  _, first = np.unique(of, return_index=True)
  return [texts[i] for i in first], first, of


def _search(
  queries: embeddings.Store,
  documents: embeddings.Store,
  k: int,
  store: str,
  label: str,
) -> tuple[np.ndarray, np.ndarray]:
  index = neighbours.Index(documents, store=store, local=True)
  with Progress(len(queries), "queries", f"{label}: nearest") as progress:
    return index.search(queries, min(k, len(documents)), progress=progress)


def _behind(
  own: np.ndarray, best: np.ndarray, is_own: np.ndarray, margin: float | None
) -> np.ndarray:
  """Returns which rows have a document that is not among the nearest, [N].

  Args:
    own: [N], the similarity of each pair.
    best: [N, k], similarities of the query's nearest documents, decreasing.
    is_own: [N, k], whether that document is the pair's own.
    margin: as in `filter_pairs`.
  """
  tie = _TIE * np.maximum(np.abs(best[:, -1]), 1)
  near = own >= best[:, -1] - np.maximum(margin or 0, tie)
  return ~is_own.any(axis=1) & ~near


def _write(
  source: dataset.Source,
  input: str | os.PathLike,
  output: str | os.PathLike,
  done: parts.Parts,
  chunks: Sequence[Chunk],
  arguments: dict,
  examples: int,
  model: embeddings.Given,
) -> dict:
  """Writes the output and returns its stats."""
  decision = np.full(len(source), len(OUTCOMES), np.uint8)  # assigned below
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
  if arguments["store"] != "float32":
    stats["recall"] = float(np.mean([r for r in recalls if r == r] or [1]))
    print(
      f"{arguments['store']} store: finds {stats['recall']:.2%} of the nearest "
      "documents that float32 finds, on a sample of queries"
    )
  report = similarity_report.Report(
    source, score, decision, OUTCOMES, nearest, by_source
  )
  print(f"filter: {len(kept):,} of {len(source):,} pairs kept")
  print("\n".join(rewrite.table(by_source)))
  print("\n".join(report.examples(examples)))
  train = ({**source[i], "score": float(score[i])} for i in kept.tolist())
  rewrite.write(
    input,
    output,
    train,
    stats=stats,
    others=report.files(),
    inputs={"model": model},
  )
  return stats
