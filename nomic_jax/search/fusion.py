# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Hybrid search: the rankings of several systems, fused into one.

Ranks are fused instead of scores, since scores of BM25 and of vectors are not
comparable.
"""

from collections.abc import Sequence

import numpy as np

# Of Cormack, Clarke and Buettcher, "Reciprocal Rank Fusion Outperforms
# Condorcet and Individual Rank Learning Methods" (2009).
CONSTANT = 60
DEPTH = 100  # documents that each system ranks, at least


def reciprocal_rank(
  rankings: Sequence[np.ndarray], k: int
) -> tuple[np.ndarray, np.ndarray]:
  """Returns (scores, indices) [Q, k] of the fused rankings, best first.

  A document's score is the sum of 1 / (60 + rank) over the rankings that have
  it, with ranks from 1. Ties are in order of first occurrence in the rankings,
  read one after the other.

  Args:
    rankings: each [Q, K] indices of documents, best first; -1 for none.
    k: number of documents to return; missing ones have index -1 and score 0.
  """
  count = len(rankings[0])
  scores = np.zeros((count, k), np.float32)
  indices = np.full((count, k), -1, np.int64)
  for q in range(count):
    found: dict[int, float] = {}
    for ranking in rankings:
      for rank, document in enumerate(ranking[q].tolist(), 1):
        if document >= 0:
          found[document] = found.get(document, 0.0) + 1 / (CONSTANT + rank)
    # Sorting is stable, and the dict has the earlier ranking's order.
    best = sorted(found, key=found.__getitem__, reverse=True)[:k]
    indices[q, : len(best)] = best
    scores[q, : len(best)] = [found[document] for document in best]
  return scores, indices
