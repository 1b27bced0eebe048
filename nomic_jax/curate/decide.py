# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Decides which pairs of a chunk are consistent.

A pair is kept if its document is among the k nearest to its query; a tie with
the k-th counts. Documents that are the same to the encoder count as one: equal
tokens after lower-casing and truncation, if the model provides `identities`.
"""

from collections.abc import Sequence
import json
from typing import NamedTuple

import numpy as np

from nomic_jax.curate import groups
from nomic_jax.curate import parts
from nomic_jax.curate import rewrite
from nomic_jax.data import dataset
from nomic_jax.embed import store as embeddings
from nomic_jax.embed.embedding_model import EmbeddingModel
from nomic_jax.search import neighbours
from nomic_jax.storage.progress import Progress
from nomic_jax.storage.unicode_text import blank

# What can happen to a row; a decision is an index into this list.
OUTCOMES = ("kept", "not among nearest", "similarity", rewrite.EMPTY)
KEPT, RANK, SIMILARITY, EMPTY = range(len(OUTCOMES))
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


class Rule(NamedTuple):
  """Which pairs are kept, and how neighbours are found.

  Attributes:
    k: a pair's document must be among this many nearest; 0 for any rank.
    minimum_similarity: the least similarity of a pair; None for any.
    margin: a document this close to the k-th nearest counts as nearest.
    store: of `neighbours.Index`.
  """

  k: int
  minimum_similarity: float | None
  margin: float | None
  store: str


def decide_chunk(
  model: EmbeddingModel,
  source: dataset.Source,
  chunk: Chunk,
  done: parts.Parts,
  input: str,
  rule: Rule,
) -> None:
  """Decides the rows of one chunk and saves the decisions in `done`."""
  pairs = source.__getitems__(chunk.rows.tolist())
  full = [
    i
    for i, p in enumerate(pairs)
    if not (blank(p["query"]) or blank(p["document"]))
  ]
  decision = np.full(len(pairs), EMPTY, np.uint8)
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
    # The name contains the number of texts, since earlier versions identified
    # equal texts in another way.
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
    if rule.k:
      best, neighbour_rows = _search(
        queries, documents, rule.k, rule.store, chunk.label
      )
      if rule.store != "float32":
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
        rule.margin,
      )
    least = rule.minimum_similarity
    decision[full] = np.where(
      behind,
      RANK,
      np.where(
        score_of_pair < (-np.inf if least is None else least), SIMILARITY, KEPT
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
    recall=np.array(recall, np.float32),
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
  return [texts[int(i)] for i in first], first, of


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
    margin: as in `Rule`.
  """
  tie = _TIE * np.maximum(np.abs(best[:, -1]), 1)
  near = own >= best[:, -1] - np.maximum(margin or 0, tie)
  return ~is_own.any(axis=1) & ~near
