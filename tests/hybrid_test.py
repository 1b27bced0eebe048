# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Reciprocal rank fusion: its formula, and hybrid systems."""

import numpy as np

from nomic_jax.evaluation import systems
from nomic_jax.search import bm25
from nomic_jax.search import fusion


def test_fusion_is_the_sum_of_reciprocal_ranks():
  rng = np.random.default_rng(0)
  rankings = [
    np.stack([rng.permutation(30)[:12] for _ in range(5)]) for _ in range(2)
  ]
  rankings[1][2, 4:] = -1
  scores, indices = fusion.reciprocal_rank(rankings, 8)
  for q in range(5):
    expected = np.zeros(30)
    for ranking in rankings:
      for place, document in enumerate(ranking[q]):
        if document >= 0:
          expected[document] += 1 / (61 + place)
    np.testing.assert_allclose(scores[q], np.sort(expected)[::-1][:8], 1e-6)
    np.testing.assert_allclose(expected[indices[q]], scores[q], 1e-6)


def test_of_equal_scores_the_first_ranking_decides_and_gaps_are_empty():
  one, other = np.array([[3, 1]]), np.array([[1, 3]])
  scores, indices = fusion.reciprocal_rank([one, other], 3)
  assert indices.tolist() == [[3, 1, -1]] and scores[0, 2] == 0
  assert fusion.reciprocal_rank([other, one], 2)[1].tolist() == [[1, 3]]


class _Ranks:
  """A system that ranks documents by `best`, smallest first, for any query."""

  def __init__(self, best):
    self._best = best

  def search(self, queries, documents, k, prompts=()):
    del prompts
    order = sorted(
      range(len(documents)), key=lambda i: self._best(documents[i])
    )
    ranking = np.tile(order[:k], (len(queries), 1))
    return np.zeros(ranking.shape), ranking

  def compare(self, queries, documents, candidates, prompts=()):
    del queries, prompts
    return [
      np.array([-self._best(documents[i]) for i in some]) for some in candidates
    ]


def test_a_hybrid_searches_deeper_than_it_is_asked():
  documents = ["x" * (n % 7) + str(n) for n in range(150)]
  longest, last = (
    _Ranks(lambda d: -len(d)),
    _Ranks(lambda d: -int(d.strip("x"))),
  )
  hybrid = systems.Hybrid(longest, last)
  scores, found = hybrid.search(["q"], documents, 3)
  rankings = [s.search(["q"], documents, 100)[1] for s in (longest, last)]
  np.testing.assert_array_equal(found, fusion.reciprocal_rank(rankings, 3)[1])
  shallow = [ranking[:, :3] for ranking in rankings]
  assert (fusion.reciprocal_rank(shallow, 3)[1] != found).any()  # control
  candidates = [[5, 149, 6, 12]]
  compared = hybrid.compare(["q"], documents, candidates)[0]
  places = [
    np.argsort(
      np.argsort(-s.compare(["q"], documents, candidates)[0], kind="stable")
    )
    for s in (longest, last)
  ]
  np.testing.assert_allclose(compared, sum(1 / (61 + p) for p in places))


def test_bm25_alone_is_what_is_fused():
  documents = ["red lamp", "blue lamp", "green chair"]
  ranks = bm25.Bm25(documents).search(["blue chair"], 3)[1]
  hybrid = systems.Hybrid(_Ranks(lambda d: len(d)), systems.Lexical("bm25"))
  found = hybrid.search(["blue chair"], documents, 3)[1]
  by_length = np.array([[0, 1, 2]])
  np.testing.assert_array_equal(
    found, fusion.reciprocal_rank([by_length, ranks], 3)[1]
  )


def test_candidates_that_share_no_word_are_ranked_as_in_a_search():
  # Reranking lists wrong candidates first, which must not count against the
  # others where BM25 finds nothing.
  documents = ["lamp long", "lamp longer", "chair longest", "red", "blue sea"]
  hybrid = systems.Hybrid(_Ranks(lambda d: -len(d)), systems.Lexical("bm25"))
  for query in ("nothing known", "lamp", "red blue"):
    (scores,) = hybrid.compare([query], documents, [list(range(5))])
    found, order = hybrid.search([query], documents, 5)
    np.testing.assert_allclose(scores[order[0]], found[0], 1e-6)
  assert order[0].tolist()[0] != np.argmax([len(d) for d in documents])
