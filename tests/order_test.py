# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Shuffles are permutations and look random; shares of sources are exact."""

import collections
import pickle

import numpy as np
import pytest

from nomic_jax.data import order
from nomic_jax.data import sources
from nomic_jax.errors import UserError

RUNS = [["a", 40], ["b", 9], ["a", 31], ["c", 20], ["b", 5]]
NAMES = [name for name, length in RUNS for _ in range(length)]


def _make(size=8, seed=1, one_source=True, alpha=1.0, weights=None):
  return order.make(
    sources.layout(RUNS),
    size,
    seed,
    one_source=one_source,
    alpha=alpha,
    weights=weights or {},
  )


@pytest.mark.parametrize("size", [1, 2, 3, 24, 1000, 65_537])
def test_a_shuffle_is_a_permutation(size):
  places = order.permute(np.arange(size), size, 5, 6)
  assert sorted(places) == list(range(size))
  part = np.arange(size)[::3]
  np.testing.assert_array_equal(order.permute(part, size, 5, 6), places[::3])
  if size > 3:
    assert (order.permute(np.arange(size), size, 5, 7) != places).any()


def test_a_shuffle_looks_random():
  """Chi-squared tests of positions, neighbours and moves, for many keys."""
  size, keys = 20, 1500
  drawn = np.stack(
    [order.permute(np.arange(size), size, 3, k) for k in range(keys)]
  )
  for pairs in (
    (np.tile(np.arange(size), keys), drawn.ravel()),  # place to value
    (drawn[:, :-1].ravel(), drawn[:, 1:].ravel()),  # neighbour to neighbour
  ):
    counts = np.zeros((size, size))
    np.add.at(counts, pairs, 1)
    same = counts.sum() / np.count_nonzero(counts)
    chi = ((counts[counts > 0] - same) ** 2 / same).sum()
    freedom = np.count_nonzero(counts)
    assert abs(chi - freedom) < 6 * (2 * freedom) ** 0.5
  big = order.permute(np.arange(100_000), 100_000, 9)
  assert abs(np.corrcoef(np.arange(100_000), big)[0, 1]) < 0.015
  assert abs(np.corrcoef(big[:-1], big[1:])[0, 1]) < 0.015


def test_rows_are_found_by_source():
  layout = sources.layout(RUNS)
  assert layout.names == ["a", "b", "c"] and list(layout.sizes) == [71, 14, 20]
  rows = layout.row_of(np.arange(105))
  assert [NAMES[r] for r in rows] == sorted(NAMES)
  assert sorted(rows) == list(range(105))


@pytest.mark.parametrize("one_source", [True, False])
def test_an_epoch_is_every_row_once(one_source):
  made = _make(size=5, one_source=one_source)
  epochs = [
    np.concatenate([made.rows(n) for n in range(e, e + 21)])
    for e in (0, 21, 42)
  ]
  for rows in epochs:
    assert sorted(rows) == list(range(105))
  assert (epochs[0] != epochs[1]).any() and (epochs[1] != epochs[2]).any()
  mixed = sum(len({NAMES[r] for r in made.rows(n)}) > 1 for n in range(21))
  assert mixed <= 3 if one_source else mixed > 10


@pytest.mark.parametrize(
  "alpha, weights",
  [
    (0.5, {}),
    (0.0, {"a": 1, "b": 2, "c": 1}),
    (1.0, {"c": 0}),
    (0.0, {"a": 0.9, "b": 0.002, "c": 0.098}),
  ],
)
def test_shares_of_sources_are_exact(alpha, weights):
  made = _make(alpha=alpha, weights=weights)
  sizes = {"a": 71, "b": 14, "c": 20}
  share = {n: weights.get(n, 1) * s**alpha for n, s in sizes.items()}
  share = {n: s / sum(share.values()) for n, s in share.items()}
  count, seen = collections.Counter(), collections.defaultdict(list)
  for number in range(2 * made.cycle):
    rows = made.rows(number)
    (source,) = {NAMES[r] for r in rows}
    assert len(set(rows)) == 8
    count[source] += 1
    seen[source].append(rows)
  for name in sizes:
    assert abs(count[name] - 2 * made.cycle * share[name]) <= 1
  # An epoch of a source has no row twice, and epochs have different orders.
  per_epoch = 71 // 8
  for start in range(0, len(seen["a"]) - per_epoch, per_epoch):
    epoch = np.concatenate(seen["a"][start : start + per_epoch])
    assert len(set(epoch)) == len(epoch) == 64
  assert len({int(r) for rows in seen["a"] for r in rows}) == 71


def test_sources_are_interleaved():
  made = _make(alpha=0.0)
  names = [NAMES[made.rows(n)[0]] for n in range(60)]
  assert sum(a != b for a, b in zip(names, names[1:])) > 20


def test_mistakes_are_named():
  with pytest.raises(UserError, match="no source 'd' in the data; it has a, b"):
    _make(weights={"d": 1})
  with pytest.raises(UserError, match="one_source: false, but source_alpha"):
    _make(alpha=0.5, one_source=False)
  with pytest.raises(UserError, match="15 is more than the 14 rows of.*'b'"):
    _make(size=15, alpha=0.5)
  assert _make(size=15, alpha=0.5, weights={"b": 0}).rows(3).size == 15
  for wrong in ({"a": -1}, dict(a=0, b=0, c=0)):
    with pytest.raises(UserError, match="from 0, not all 0"):
      _make(weights=wrong)


def test_a_large_data_set_starts_at_once():
  """With 231M rows, only the runs are in memory."""
  runs = [[f"s{i}", 8_000_000] for i in range(29)]
  made = order.make(
    sources.layout(runs), 16_384, 0, one_source=True, alpha=1.0, weights={}
  )
  rows = made.rows(10_000)
  assert len(set(rows.tolist())) == 16_384
  assert len(set((rows // 8_000_000).tolist())) <= 2


def test_multiples_of_a_batch_give_batches_of_one_source():
  layout = sources.layout([["a", 24], ["b", 8], ["a", 16], ["c", 32]])
  made = order.make(layout, 8, 0, one_source=True, alpha=1.0, weights={})
  names = "a" * 24 + "b" * 8 + "a" * 16 + "c" * 32
  batches = [made.rows(n) for n in range(40)]
  assert all(len({names[r] for r in rows}) == 1 for rows in batches)
  assert sorted(np.concatenate(batches[:10])) == list(range(80))


def test_threads_may_share_an_order():
  """One thread evicts the result of a slow cycle while another waits for it."""
  made = []

  def compute(key):
    made.append(key)
    if key == 0:  # meanwhile, another thread requests more
      assert [recent(k) for k in (1, 2, 3)] == [1, 2, 3]
    return key

  recent = order._Recent(compute)
  assert [recent(k) for k in (0, 0, 3, 3, 0, 1)] == [0, 0, 3, 3, 0, 1]
  assert made == [0, 1, 2, 3, 1]  # the last two are remembered
  assert pickle.loads(pickle.dumps(_make(weights={"a": 2.0}))).rows(0).size == 8
