# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Retrieval metrics, compared with a plain loop; BM25 on hand-made text."""

import math

import numpy as np
import pytest

from nomic_jax.evaluation import retrieval
from nomic_jax.search import bm25


def _by_loop(ranking, relevant):
  """The textbook definitions, for one query."""
  gains = [float(d in relevant) for d in ranking if d >= 0]
  gained = sum(g / math.log2(i + 2) for i, g in enumerate(gains[:10]))
  ideal = sum(1 / math.log2(i + 2) for i in range(min(len(relevant), 10)))
  first = next((i for i, g in enumerate(gains[:10]) if g), None)
  return {
    "nDCG@10": gained / ideal,
    "MRR@10": 0.0 if first is None else 1 / (first + 1),
    "recall@100": sum(gains[:100]) / len(relevant),
    "recall@10": sum(gains[:10]) / len(relevant),
    "MAP@100": sum(
      sum(gains[: i + 1]) / (i + 1) for i, g in enumerate(gains[:100]) if g
    )
    / len(relevant),
  }


def test_scores_are_those_of_the_definitions():
  rng = np.random.default_rng(0)
  rankings = np.stack([rng.permutation(150) for _ in range(40)])
  relevant = [
    rng.choice(150, size=size, replace=False).tolist()
    for size in rng.integers(1, 14, size=40)
  ]
  scores = retrieval.retrieval_scores(rankings, relevant)
  for q in range(40):
    expected = _by_loop(rankings[q].tolist(), set(relevant[q]))
    for metric in retrieval.METRICS:
      assert scores[metric][q] == pytest.approx(expected[metric], abs=1e-6)
  reversed_scores = retrieval.retrieval_scores(rankings[:, ::-1], relevant)
  assert not np.allclose(scores["nDCG@10"], reversed_scores["nDCG@10"])


def test_reciprocal_rank_ends_after_ten():
  ranking = np.arange(100)[None]
  tenth = retrieval.retrieval_scores(ranking, [[9]])
  eleventh = retrieval.retrieval_scores(ranking, [[10]])
  assert tenth["MRR@10"][0] == pytest.approx(0.1)
  assert eleventh["MRR@10"][0] == 0
  assert eleventh["recall@100"][0] == 1


def test_a_query_without_hits_scores_zero():
  scores = retrieval.retrieval_scores(np.array([[-1, -1], [1, -1]]), [[0], [1]])
  for metric in retrieval.METRICS:
    assert scores[metric].tolist() == [0, 1]


def test_grades_weigh_in_the_gain():
  ranking = np.array([[0, 1]])
  low_first = retrieval.retrieval_scores(ranking, [{0: 1, 1: 2}])
  assert low_first["nDCG@10"][0] == pytest.approx(
    (1 + 2 / math.log2(3)) / (2 + 1 / math.log2(3))
  )
  assert low_first["recall@10"][0] == 1


def test_a_query_is_not_its_own_answer():
  scores = np.array([[3.0, 2, 1], [3, 2, 1], [3, 2, 1]])
  rankings = np.array([[4, 7, 1], [4, 7, 1], [-1, -1, -1]])
  kept, left = retrieval.without(scores, rankings, [7, -1, -1])
  assert left.tolist() == [[4, 1], [4, 7], [-1, -1]]
  assert kept.tolist() == [[3, 1], [3, 2], [3, 2]]


def test_copies_share_relevance():
  queries = ["a", "b", "a", "c"]
  documents = ["x", "x", "y", "z"]
  assert retrieval.relevance(queries, documents) == [
    [0, 1, 2],
    [0, 1],
    [0, 1, 2],
    [3],
  ]


def test_tokens_are_the_words_inside_identifiers():
  text = "parseHTTPHeaders(the raw_bytes, _x2) of queries"
  assert bm25.words(text) == [
    "parse",
    "http",
    "headers",
    "the",
    "raw",
    "bytes",
    "x",
    "2",
    "of",
    "queries",
  ]
  assert bm25.stems(text) == [
    "parse",
    "http",
    "header",
    "raw",
    "byte",
    "x",
    "2",
    "query",
  ]
  assert bm25.stems("process status goes s") == [
    "process",
    "status",
    "goe",
    "s",
  ]


@pytest.mark.parametrize("baseline", bm25.BASELINES)
def test_bm25_finds_words_and_nothing_without_them(baseline):
  index = bm25.Bm25(
    ["def read_csv(path)", "def write_csv(path, rows)", "class Socket"],
    baseline,
  )
  scores, indices = index.search(["write rows", "socket", "nothing"], 10)
  assert indices.shape == scores.shape == (3, 3)
  assert indices[0, 0] == 1 and indices[1, 0] == 2
  assert indices[0, 1:].tolist() == [-1, -1]
  assert indices[2].tolist() == [-1, -1, -1]


@pytest.mark.parametrize("first, count", [(0x4E00, 3000), (0x0E01, 46)])
@pytest.mark.parametrize("name", bm25.BASELINES)
def test_bm25_finds_pieces_of_scripts_without_spaces(first, count, name):
  rng = np.random.default_rng(0)
  documents = [
    "".join(map(chr, first + rng.integers(0, count, 60))) for _ in range(200)
  ]
  _, found = bm25.Bm25(documents, name).search(
    [document[5:17] for document in documents] + [chr(first + 7)], 5
  )
  assert np.mean(found[:-1, 0] == np.arange(200)) > 0.99
  assert found[-1, 0] >= 0 and chr(first + 7) in documents[found[-1, 0]]


@pytest.mark.parametrize("baseline", bm25.BASELINES)
def test_documents_without_any_word_are_not_found(baseline):
  index = bm25.Bm25(["!!!", "", "?"], baseline)
  scores, found = index.search(["lamp", "!!!", ""], 2)
  assert (found == -1).all() and not scores.any()
  assert index.scores("lamp").tolist() == [0, 0, 0]
