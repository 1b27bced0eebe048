# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Contrastive batches: order, hosts, resuming, and indices that are right."""

import collections
import itertools

import ml_collections
import numpy as np
import pytest

from nomic_jax.data import pairs
from nomic_jax.errors import UserError
import tiny

TOKENIZER = tiny.words()
CLS, SEP = (TOKENIZER.token_to_id(t) for t in ("[CLS]", "[SEP]"))
ROWS = 24


def _pairs(source=None, host=0, hosts=1, seed=3, **changes):
  config = ml_collections.ConfigDict(dict(
      batch_size=8, one_source=False, token_dropout=0.0, row_length=32,
      slots=4, rows_multiple=16, query_length=16, document_length=32,
      query_prompt="search : ", document_prompt="item : ", negatives=2,
  ) | changes)
  return iter(pairs.batches(
      source or tiny.rows(), TOKENIZER, config, seed, host, hosts))


def _global(host_batches):
  """What `loader.to_devices` makes of the hosts' batches."""
  return {
      k: np.concatenate([b[k] for b in host_batches], axis=1)[0]
      for k in host_batches[0]
  }


def _read(batch, hosts=1, slots=4):
  """[(query, positive, [negatives])] as the loss would see them."""

  def text_in(slot):
    row, segment = slot // slots, slot % slots + 1
    ids = batch["ids"][row][batch["segment_ids"][row] == segment]
    assert ids[0] == CLS and ids[-1] == SEP
    return TOKENIZER.decode(ids)

  candidates = batch["candidate"].reshape(hosts, -1)
  share = len(batch["query"]) // hosts
  read = []
  for i, query in enumerate(batch["query"]):
    positive = batch["candidate"][batch["positive"][i]]
    own = candidates[i // share, share:].reshape(share, -1)[i % share]
    read.append((text_in(query), text_in(positive),
                 [text_in(slot) for slot in own if slot >= 0]))
  return read


def _number(read):
  """The row that (query, positive, negatives) comes from; all must agree."""
  query, positive, negatives = read
  assert query.startswith("search : query ")
  number = int(query.split()[3])
  assert positive.startswith(f"item : document {number}")
  for negative in negatives:
    assert negative.startswith("item : negative ")
    assert int(negative.split()[5]) == number
  return number


@pytest.mark.parametrize("one_source", [False, True])
def test_hosts_see_the_same_global_batches(one_source):
  make = lambda h, hosts: tiny.take(
      _pairs(host=h, hosts=hosts, one_source=one_source), 7)
  alone = [_read(_global([b])) for b in make(0, 1)]
  together = [
      _read(_global(batches), hosts=4)
      for batches in zip(*(make(h, 4) for h in range(4)))
  ]
  assert alone == together
  assert [_number(r) for b in alone for r in b]  # every index points right
  assert len({n for *_, negatives in alone[0] for n in negatives}) > 4


def test_an_offset_that_is_wrong_would_be_seen():
  """Control: host 1's arrays, numbered as if it were the first."""
  hosts = [next(_pairs(host=h, hosts=2)) for h in (0, 1)]
  assert len({b["ids"].shape for b in hosts}) == 1
  assert _read(_global(hosts), hosts=2)
  lost = dict(hosts[1])
  lost["query"] = lost["query"] - hosts[0]["content"].size
  with pytest.raises((AssertionError, ValueError, IndexError)):
    [_number(r) for r in _read(_global([hosts[0], lost]), hosts=2)]


def test_hosts_that_need_unequal_rows_say_so():
  """One array of the hosts' rows needs as many from each."""
  source = tiny.rows(8)
  for row in source[:4]:
    row["document"] += " kappa" * 20
  hosts = lambda multiple: [
      next(_pairs(source, h, 8, rows_multiple=multiple)) for h in range(8)]
  assert len(_read(_global(hosts(4)), hosts=8)) == 8
  with pytest.raises(UserError, match="rows_multiple: 1 rows do not hold"):
    hosts(1)
  alone = next(_pairs(source, rows_multiple=1))  # one host takes what it needs
  assert alone["ids"].shape[1] > 1


def test_every_row_comes_once_an_epoch_in_another_order():
  batches = [_global([b]) for b in tiny.take(_pairs(), 6)]
  order = [_number(r) for b in batches for r in _read(b)]
  first, second = order[:ROWS], order[ROWS:]
  assert sorted(first) == sorted(second) == list(range(ROWS))
  assert first != second and first != sorted(first)
  # Whom a row meets is chance: no batch is a run of neighbours.
  for batch in np.sort(np.reshape(order, (-1, 8)), axis=1):
    assert np.diff(batch).max() > 1 and len({*np.diff(batch)}) > 2
  other = [_number(r) for b in tiny.take(_pairs(seed=4), 3)
           for r in _read(_global([b]))]
  assert other != first


def test_token_dropout_leaves_out_others_each_time_and_alike_on_hosts():
  drop = dict(token_dropout=0.3, document_length=31)
  flat = lambda b: sorted(
      tuple(r[g == n]) for r, g in zip(b["ids"][0], b["segment_ids"][0])
      for n in range(1, g.max() + 1))
  whole = [flat(b) for b in tiny.take(_pairs(), 3)]
  alone = [flat(b) for b in tiny.take(_pairs(**drop), 6)]
  halves = [
      flat(a) + flat(b) for a, b in zip(*(
          tiny.take(_pairs(host=h, hosts=2, **drop), 6) for h in (0, 1)))]
  assert [sorted(h) for h in halves] == alone
  assert set(alone[0]) != set(alone[3])
  size = lambda batches: sum(len(t) - 2 for b in batches for t in b)
  assert 0.6 < size(alone[:3]) / size(whole) < 0.8
  ends = {(t[0], t[-1]) for b in alone for t in b}
  assert len(ends) == 1  # [CLS] and [SEP] stay


def test_what_does_not_fill_a_batch_is_other_rows_each_epoch():
  left = []
  iterator = _pairs(tiny.rows(20))
  for _ in range(20):  # epochs of two batches of 8
    seen = [
        _number(r) for b in tiny.take(iterator, 2)
        for r in _read(_global([b]))]
    assert len(set(seen)) == 16
    left += set(range(20)) - set(seen)
  assert len(left) == 80 and len(set(left)) > 15


def _mixed(batches):
  """How many batches hold rows of more than one source."""
  return sum(
      len({tiny.source_of(_number(r)) for r in _read(_global([b]))}) > 1
      for b in batches)


def test_batches_are_of_one_source_but_where_sources_meet():
  iterator = _pairs(batch_size=3, one_source=True)
  orders = []
  for _ in range(4):  # epochs
    batches = tiny.take(iterator, 8)
    assert _mixed(batches) <= 3
    order = [_number(r) for b in batches for r in _read(_global([b]))]
    assert sorted(order) == list(range(ROWS))  # the smallest source as well
    orders.append(order)
  assert len(set(map(tuple, orders))) == 4
  assert _mixed(tiny.take(_pairs(batch_size=3), 8)) >= 5  # control
  # Sources come in turns and not one after another: their batches are mixed.
  sources = [[tiny.source_of(n) for n in order[::3]] for order in orders]
  assert any(
      sum(a != b for a, b in itertools.pairwise(s)) > 3 for s in sources)


def test_pairs_go_on_from_a_saved_state_with_the_same_bits():
  tiny.assert_resumes(_pairs)


def test_negatives_are_drawn_anew_and_missing_ones_are_absent():
  seen = collections.defaultdict(set)
  for batch in tiny.take(_pairs(), 30):  # 10 epochs
    batch = _global([batch])
    for read in _read(batch):
      number = _number(read)
      assert len(read[2]) == len(set(read[2])) == min(number % 5, 2)
      seen[number].update(read[2])
    assert len(batch["candidate"]) == 8 * 3
  # In ten epochs nearly all of a row's are met, and never another row's.
  met = {i: len(texts) for i, texts in seen.items()}
  assert all(met.get(i, 0) <= i % 5 for i in range(ROWS))
  assert sum(met.values()) >= sum(i % 5 for i in range(ROWS)) - 3


def test_every_batch_draws_negatives_of_its_own():
  """Which of six each query gets, by its place in the batch."""
  iterator = _pairs(tiny.rows(negatives=lambda i: 6), negatives=1)
  draws = [
      tuple(int(negatives[0].split()[3]) for *_, negatives in
            _read(_global([b]))) for b in tiny.take(iterator, 6)]
  assert len(set(draws)) == 6


def test_negatives_may_be_left_unused():
  batch = _global([next(_pairs(negatives=0))])
  assert (batch["candidate"] >= 0).all() and len(batch["candidate"]) == 8
  assert len([_number(r) for r in _read(batch)]) == 8


def test_content_is_equal_for_equal_texts_only():
  source = tiny.rows(8, negatives=lambda i: 0)
  source[5]["document"] = source[2]["document"]
  source[6]["query"] = source[1]["query"]
  batch = _global([next(_pairs(source))])
  texts = collections.defaultdict(set)
  for row, column in np.argwhere(batch["content"]):
    ids = batch["ids"][row][batch["segment_ids"][row] == column + 1]
    texts[int(batch["content"][row, column])].add(TOKENIZER.decode(ids))
  assert all(len(t) == 1 for t in texts.values())
  assert len(texts) == 14  # 16 texts, two of them twice
  assert min(texts) > 0
  filled = [
      (batch["segment_ids"] == s + 1).any(1) for s in range(4)]
  np.testing.assert_array_equal(batch["content"] != 0, np.stack(filled, 1))


def test_long_texts_are_cut_and_keep_their_end():
  source = tiny.rows(8, negatives=lambda i: 0)
  for row in source:
    row["query"] += " kappa" * 50
  batch = _global([next(_pairs(source, query_length=7))])
  for query in batch["query"]:
    row, segment = query // 4, query % 4 + 1
    ids = batch["ids"][row][batch["segment_ids"][row] == segment]
    assert len(ids) == 7 and ids[0] == CLS and ids[-1] == SEP


def test_sizes_of_pairs_that_do_not_fit_are_named():
  with pytest.raises(UserError, match="8 pairs do not divide over 3.*try 6"):
    _pairs(hosts=3)
  with pytest.raises(UserError, match="25 is more than the 24 rows"):
    _pairs(batch_size=25)
  with pytest.raises(UserError, match="does not fit rows of 8"):
    next(_pairs(row_length=8))
