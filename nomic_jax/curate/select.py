# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Selects negatives among a query's nearest documents."""

from typing import NamedTuple

import numpy as np

from nomic_jax.curate.corpus import Corpus
from nomic_jax.errors import one_of
from nomic_jax.errors import UserError
from nomic_jax.search import neighbours

SHORT = ("random", "drop", "keep")


class Flags(NamedTuple):
  """How negatives are chosen; see `mine.mine_negatives`."""

  negatives: int
  minimum: int
  depth: int
  skip: int
  margin: float | None
  short: str
  seed: int
  chunk_size: int
  store: str


def check(flags: Flags) -> None:
  """Raises UserError for an invalid flag."""
  for name, least in (
    ("negatives", 1),
    ("minimum", 0),
    ("depth", 0),
    ("skip", 0),
    ("chunk_size", 1),
  ):
    if (value := getattr(flags, name)) < least:
      raise UserError(f"{name}={value}: expected at least {least}")
  if flags.minimum > flags.negatives:
    raise UserError(
      f"minimum={flags.minimum}: expected at most negatives={flags.negatives}"
    )
  least = flags.skip + flags.negatives
  if flags.depth and flags.depth < least:
    raise UserError(
      f"depth={flags.depth}: expected at least skip + negatives = {least}, "
      "or 0 for random negatives only"
    )
  if flags.margin is not None and not 0 < flags.margin <= 1:
    raise UserError(
      f"margin={flags.margin}: expected a fraction of the positive's "
      "similarity, above 0 and at most 1"
    )
  one_of(flags.short, SHORT, f"short={flags.short}: unknown")
  neighbours.check_store(flags.store)


def limits(own: np.ndarray, corpus: Corpus, margin: float | None) -> np.ndarray:
  """Returns the largest allowed similarity of negatives, [queries] float32.

  Args:
    own: [rows], similarity of each pair; ignored where a text is empty.
    corpus: the pairs.
    margin: fraction of the least similar positive; None for no limit.
  """
  of = corpus.query_class
  if margin is None:
    return np.full(len(of), np.inf, np.float32)
  # What answers one spelling of a query answers the others.
  least = np.full(of.max(initial=-1) + 1, np.inf, np.float32)
  full = corpus.query_of >= 0
  np.minimum.at(least, of[corpus.query_of[full]], own[full])
  least = least[of]
  # A fraction of the magnitude, so that a negative limit is also stricter.
  return least - (1 - margin) * np.abs(least)


def choose(
  scores: np.ndarray,
  rows: np.ndarray,
  forbidden: np.ndarray,
  limit: np.ndarray,
  skip: int,
  negatives: int,
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the negatives of some queries.

  Args:
    scores: [Q, depth], similarities of their nearest documents, decreasing.
    rows: [Q, depth], numbers of these documents.
    forbidden: [Q, depth], which of them may never be negatives.
    limit: [Q], the largest allowed similarity.
    skip: how many documents that are not forbidden to skip.
    negatives: how many to return.

  Returns:
    Document numbers [Q, negatives], -1 where there are too few, and scores,
    NaN where there are too few.
  """
  allowed = ~forbidden
  allowed &= np.cumsum(allowed, axis=1) > skip
  allowed &= scores <= limit[:, None]
  # A stable sort moves allowed documents to the front in order.
  at = np.argsort(~allowed, axis=1, kind="stable")[:, :negatives]
  allowed, scores, rows = (
    np.take_along_axis(x, at, axis=1) for x in (allowed, scores, rows)
  )
  missing = negatives - at.shape[1]  # if depth is smaller
  rows = np.pad(
    np.where(allowed, rows, -1), ((0, 0), (0, missing)), constant_values=-1
  )
  scores = np.pad(
    np.where(allowed, scores, np.nan),
    ((0, 0), (0, missing)),
    constant_values=np.nan,
  )
  return rows.astype(np.int32), scores.astype(np.float32)


def fill(rows: np.ndarray, corpus: Corpus, seed: int) -> None:
  """Replaces -1 in `rows` [queries, n] by random documents, in place."""
  count = len(corpus.documents)
  for i in np.flatnonzero((rows < 0).any(axis=1)).tolist():
    rng = np.random.default_rng((seed, i))
    of = corpus.document_class
    taken = corpus.never(i) | set(of[rows[i][rows[i] >= 0]].tolist())
    for j in np.flatnonzero(rows[i] < 0).tolist():
      drawn = int(rng.integers(count))
      while int(of[drawn]) in taken:
        drawn = int(rng.integers(count))
      taken.add(int(of[drawn]))
      rows[i, j] = drawn
