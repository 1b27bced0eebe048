# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Neighbours equal a brute force in float64, ties and devices included."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from nomic_jax.errors import UserError
from nomic_jax.search import neighbours


def _brute_force(queries, documents, k):
  scores = queries.astype(np.float64) @ documents.astype(np.float64).T
  rows = np.argsort(-scores, axis=1, kind="stable")[:, :k]
  return np.take_along_axis(scores, rows, axis=1), rows


def _unit(rng, *shape):
  x = rng.standard_normal(shape).astype(np.float32)
  return x / np.linalg.norm(x, axis=-1, keepdims=True)


def _whole(rng, *shape):
  # Small whole numbers: products are exact and ties are everywhere.
  return rng.integers(-2, 3, shape).astype(np.float32)


@pytest.mark.parametrize(
  "q,c,d,k,query_block,document_block",
  [
    (1, 1, 1, 1, None, None),
    (5, 3, 7, 3, None, None),
    (37, 1000, 16, 2, 8, 64),
    (37, 1000, 16, 50, 16, 100),
    (70, 333, 8, 40, None, 33),
    (16, 97, 4, 97, 16, 32),
    (300, 130, 5, 7, None, None),
  ],
)
@pytest.mark.parametrize("make", [_unit, _whole])
def test_equals_brute_force(make, q, c, d, k, query_block, document_block):
  rng = np.random.default_rng(0)
  queries, documents = make(rng, q, d), make(rng, c, d)
  scores, rows = neighbours.top_k(
    queries,
    documents,
    k,
    query_block=query_block,
    document_block=document_block,
  )
  want_scores, want_rows = _brute_force(queries, documents, k)
  assert scores.dtype == np.float32 and rows.dtype == np.int32
  np.testing.assert_allclose(scores, want_scores, atol=1e-6)
  if make is _whole:
    np.testing.assert_array_equal(rows, want_rows)
  else:  # Rounding may swap neighbours closer than it.
    picked = np.take_along_axis(
      queries.astype(np.float64) @ documents.T, rows, axis=1
    )
    np.testing.assert_allclose(picked, want_scores, atol=1e-6)


def test_all_equal_gives_the_first_rows():
  _, rows = neighbours.top_k(np.ones((3, 4)), np.ones((200, 4)), 9)
  np.testing.assert_array_equal(rows, np.tile(np.arange(9), (3, 1)))


def test_negative_zero_ties_with_zero():
  documents = np.array([[-0.0], [0.0], [-0.0], [-1.0]], np.float32)
  _, rows = neighbours.top_k(np.ones((1, 1), np.float32), documents, 3)
  np.testing.assert_array_equal(rows, [[0, 1, 2]])


def test_index_is_searched_again():
  rng = np.random.default_rng(1)
  documents = _whole(rng, 90, 6)
  index = neighbours.Index(documents)
  for seed in range(2):
    queries = _whole(np.random.default_rng(seed), 11, 6)
    _, rows = index.search(queries, 4)
    np.testing.assert_array_equal(rows, _brute_force(queries, documents, 4)[1])


@pytest.mark.parametrize(
  "store,least,error", [("bfloat16", 0.9, 8e-3), ("int8", 0.85, 2e-2)]
)
def test_smaller_stores_and_their_recall(store, least, error):
  rng = np.random.default_rng(3)
  queries, documents = _unit(rng, 50, 64), _unit(rng, 2000, 64)
  scores, rows = neighbours.top_k(queries, documents, 10, store=store)
  exact_scores, exact = _brute_force(queries, documents, 10)
  hits = np.mean(
    [len({*a} & {*b}) / 10 for a, b in zip(rows.tolist(), exact.tolist())]
  )
  assert least < hits < 1, "it should be good, and not exact"
  assert neighbours.recall(queries, documents, rows) == pytest.approx(hits)
  assert neighbours.recall(queries, documents, exact) == 1
  # The recall of every third query, computed by hand.
  held, index = [], neighbours.Index

  class Index(index):
    def __init__(self, documents, **options):
      held.append(len(documents))
      super().__init__(documents, **options)

  with pytest.MonkeyPatch.context() as small:
    small.setattr(neighbours, "_RECALL_BLOCK", 64)
    small.setattr(neighbours, "Index", Index)
    assert neighbours.recall(queries, documents, rows) == pytest.approx(hits)
  assert sum(held) == len(documents) and max(held) == 64
  some = neighbours.recall(queries[:48], documents, rows[:48], 16)
  assert some == pytest.approx(
    np.mean([len({*rows[i]} & {*exact[i]}) / 10 for i in range(0, 48, 3)])
  )
  np.testing.assert_allclose(scores, exact_scores, atol=error)


def test_a_store_must_exist():
  with pytest.raises(UserError, match="store=bfloat61.*mean 'bfloat16'"):
    neighbours.top_k(np.ones((1, 1)), np.ones((1, 1)), 1, store="bfloat61")


def test_many_groups_of_groups():
  # 40,000 documents: two levels above the groups; ties across all of them.
  rng = np.random.default_rng(4)
  documents = rng.integers(-1, 2, (40_000, 8)).astype(np.float32)
  queries = rng.integers(-1, 2, (9, 8)).astype(np.float32)
  for k in (1, 3, 50):
    _, rows = neighbours.top_k(queries, documents, k)
    np.testing.assert_array_equal(rows, _brute_force(queries, documents, k)[1])


def test_no_queries():
  scores, rows = neighbours.top_k(np.ones((0, 4)), np.ones((9, 4)), 3)
  assert scores.shape == rows.shape == (0, 3)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite_names_the_row(value):
  good, bad = np.ones((9, 4), np.float32), np.ones((9, 4), np.float32)
  bad[6, 2] = value
  with pytest.raises(UserError, match="queries, row 6"):
    neighbours.top_k(bad, good, 2)
  with pytest.raises(UserError, match="documents, row 6"):
    neighbours.top_k(good, bad, 2)


def test_impossible_arguments():
  vectors = np.ones((3, 4), np.float32)
  for k in (0, 4):
    with pytest.raises(UserError, match=f"k={k}: expected 1 to 3"):
      neighbours.top_k(vectors, vectors, k)
  with pytest.raises(UserError, match="width 4 and documents 5"):
    neighbours.top_k(vectors, np.ones((3, 5), np.float32), 1)


_EIGHT = """
import sys, jax, numpy as np
from nomic_jax.search import neighbours
assert len(jax.local_devices()) == 8, jax.local_devices()
x = np.load(sys.argv[1])
scores, rows = neighbours.top_k(
    x["queries"], x["documents"], int(x["k"]), document_block=64)
np.savez(sys.argv[2], scores=scores, rows=rows)
"""


def test_eight_devices_equal_one(tmp_path):
  rng = np.random.default_rng(2)
  # Duplicates on different devices, a share that does not divide by eight,
  # and fewer documents per device than neighbours asked for.
  documents = np.concatenate([_unit(rng, 300, 24)] * 2)[:533]
  queries, k = _unit(rng, 45, 24), 90
  np.savez(tmp_path / "in.npz", queries=queries, documents=documents, k=k)
  flags = "--xla_force_host_platform_device_count=8"
  root = str(pathlib.Path(neighbours.__file__).parents[2])
  subprocess.run(
    [sys.executable, "-c", _EIGHT, tmp_path / "in.npz", tmp_path / "out.npz"],
    check=True,
    env=os.environ
    | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": root},
  )
  eight = np.load(tmp_path / "out.npz")
  scores, rows = neighbours.top_k(queries, documents, k)
  np.testing.assert_array_equal(eight["rows"], rows)
  np.testing.assert_allclose(eight["scores"], scores, atol=1e-6)
