# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Contrastive batches: order, hosts, resuming, and correct indices."""

import collections
import itertools
import json

import ml_collections
import numpy as np
import pytest
from support import tiny

from nomic_jax.data import loader
from nomic_jax.data import pairs
from nomic_jax.data import records
from nomic_jax.errors import UserError
from nomic_jax.losses.info_nce import InfoNCE

TOKENIZER = tiny.words()
CLS, SEP = (TOKENIZER.token_to_id(t) for t in ("[CLS]", "[SEP]"))
ROWS = 24


def _pairs(source=None, host=0, hosts=1, seed=3, **changes):
  config = ml_collections.ConfigDict(
    dict(
      batch_size=8,
      one_source=False,
      token_dropout=0.0,
      row_length=32,
      slots=4,
      rows_multiple=16,
      query_length=16,
      document_length=32,
      query_prompt="search : ",
      document_prompt="item : ",
      negatives=2,
    )
    | changes
  )
  return iter(
    pairs.batches(source or tiny.rows(), TOKENIZER, config, seed, host, hosts)
  )


def _global(host_batches):
  """The global batch that `loader.to_devices` makes from the hosts' batches."""
  return {
    k: np.concatenate([b[k] for b in host_batches], axis=1)[0]
    for k in host_batches[0]
  }


def _read(batch, slots=4):
  """[(query, positive, [negatives])] as the loss receives them."""

  def text_in(slot):
    row, segment = slot // slots, slot % slots + 1
    ids = batch["ids"][row][batch["segment_ids"][row] == segment]
    assert ids[0] == CLS and ids[-1] == SEP
    return TOKENIZER.decode(ids)

  count = len(batch["query"])
  negatives = batch["candidate"][count:].reshape(count, -1)
  read = []
  for i, query in enumerate(batch["query"]):
    positive = batch["candidate"][batch["positive"][i]]
    read.append(
      (
        text_in(query),
        text_in(positive),
        [text_in(slot) for slot in negatives[i] if slot >= 0],
      )
    )
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


@pytest.mark.parametrize(
  "change",
  [
    {},
    {"one_source": True},
    {"token_dropout": 0.3},
    {
      "one_source": True,
      "source_alpha": 0.5,
      "batch_size": 4,
      "source_weights": {"c": 0},
    },
  ],
)
def test_any_number_of_hosts_gives_the_same_arrays(change):
  make = lambda h, hosts: tiny.take(_pairs(host=h, hosts=hosts, **change), 7)
  alone = [_global([b]) for b in make(0, 1)]
  for hosts in (2, 4):
    for one, *parts in zip(alone, *(make(h, hosts) for h in range(hosts))):
      together = _global(parts)
      assert together.keys() == one.keys()
      for key in one:
        np.testing.assert_array_equal(together[key], one[key])
  if "token_dropout" not in change:
    assert [_number(r) for b in alone for r in _read(b)]
  assert len({n for *_, ns in _read(alone[0]) for n in ns}) > 4


def test_a_wrong_share_would_be_detected():
  """Control: host 1's arrays in place of host 0's."""
  hosts = [next(_pairs(host=h, hosts=2)) for h in (1, 0)]
  with pytest.raises((AssertionError, ValueError, IndexError)):
    [_number(r) for r in _read(_global(hosts))]


def test_every_row_comes_once_an_epoch_in_another_order():
  batches = [_global([b]) for b in tiny.take(_pairs(), 6)]
  order = [_number(r) for b in batches for r in _read(b)]
  first, second = order[:ROWS], order[ROWS:]
  assert sorted(first) == sorted(second) == list(range(ROWS))
  assert first != second and first != sorted(first)
  # Rows of a batch are random: none is a run of neighbouring rows.
  for batch in np.sort(np.reshape(order, (-1, 8)), axis=1):
    assert np.diff(batch).max() > 1 and len({*np.diff(batch)}) > 1
  other = [
    _number(r)
    for b in tiny.take(_pairs(seed=4), 3)
    for r in _read(_global([b]))
  ]
  assert other != first


def test_token_dropout_leaves_out_others_each_time_and_alike_on_hosts():
  drop = dict(token_dropout=0.3, document_length=31)
  flat = lambda b: sorted(
    tuple(r[g == n])
    for r, g in zip(b["ids"][0], b["segment_ids"][0])
    for n in range(1, g.max() + 1)
  )
  whole = [flat(b) for b in tiny.take(_pairs(), 3)]
  alone = [flat(b) for b in tiny.take(_pairs(**drop), 6)]
  halves = [
    flat(a) + flat(b)
    for a, b in zip(
      *(tiny.take(_pairs(host=h, hosts=2, **drop), 6) for h in (0, 1))
    )
  ]
  assert [sorted(h) for h in halves] == alone
  assert set(alone[0]) != set(alone[3])
  size = lambda batches: sum(len(t) - 2 for b in batches for t in b)
  assert 0.6 < size(alone[:3]) / size(whole) < 0.8
  ends = {(t[0], t[-1]) for b in alone for t in b}
  assert len(ends) == 1  # [CLS] and [SEP] stay


def test_remaining_rows_differ_in_each_epoch():
  left = []
  iterator = _pairs(tiny.rows(20))
  for _ in range(20):  # epochs of two batches of 8
    seen = [
      _number(r) for b in tiny.take(iterator, 2) for r in _read(_global([b]))
    ]
    assert len(set(seen)) == 16
    left += set(range(20)) - set(seen)
  assert len(left) == 80 and len(set(left)) > 15


def _mixed(batches):
  """How many batches hold rows of more than one source."""
  return sum(
    len({tiny.source_of(_number(r)) for r in _read(_global([b]))}) > 1
    for b in batches
  )


def test_batches_have_one_source_except_at_boundaries():
  iterator = _pairs(batch_size=3, one_source=True)
  orders = []
  for _ in range(4):  # epochs
    batches = tiny.take(iterator, 8)
    assert _mixed(batches) <= 3
    order = [_number(r) for b in batches for r in _read(_global([b]))]
    assert sorted(order) == list(range(ROWS))  # including the smallest source
    orders.append(order)
  assert len(set(map(tuple, orders))) == 4
  assert _mixed(tiny.take(_pairs(batch_size=3), 8)) >= 5  # control
  # The batches of different sources alternate.
  sources = [[tiny.source_of(n) for n in order[::3]] for order in orders]
  assert any(sum(a != b for a, b in itertools.pairwise(s)) > 3 for s in sources)


def test_pairs_resume_from_a_saved_state_with_the_same_bits():
  tiny.assert_resumes(_pairs)


def test_pairs_resume_with_another_number_of_hosts():
  tiny.assert_resumes_on_other_hosts(
    lambda h, hosts: _pairs(host=h, hosts=hosts, one_source=True, batch_size=8),
    counts=(1, 2, 8),
  )


@pytest.mark.slow
def test_pairs_made_in_a_process_are_the_same_and_resume():
  expected = tiny.take(_pairs(), 4)
  iterator = _pairs(workers=1)
  first = tiny.take(iterator, 2)
  state = json.loads(json.dumps(iterator.get_state()))
  next(iterator)
  iterator.set_state(state)
  for batch, other in zip([*first, *tiny.take(iterator, 2)], expected):
    for key in other:
      np.testing.assert_array_equal(batch[key], other[key])


def test_negatives_are_drawn_anew_and_missing_ones_are_absent():
  seen = collections.defaultdict(set)
  for batch in tiny.take(_pairs(), 30):  # 10 epochs
    batch = _global([batch])
    for read in _read(batch):
      number = _number(read)
      assert len(read[2]) == len(set(read[2])) == min(number % 5, 2)
      seen[number].update(read[2])
    assert len(batch["candidate"]) == 8 * 3
  # In ten epochs nearly all negatives of a row occur, and none of another row.
  met = {i: len(texts) for i, texts in seen.items()}
  assert all(met.get(i, 0) <= i % 5 for i in range(ROWS))
  assert sum(met.values()) >= sum(i % 5 for i in range(ROWS)) - 3


def test_every_batch_draws_negatives_of_its_own():
  """Compares which of its six negatives each query of a batch gets."""
  iterator = _pairs(tiny.rows(negatives=lambda i: 6), negatives=1)
  draws = [
    tuple(int(negatives[0].split()[3]) for *_, negatives in _read(_global([b])))
    for b in tiny.take(iterator, 6)
  ]
  assert len(set(draws)) == 6


def test_the_first_negatives_may_be_taken():
  iterator = _pairs(
    tiny.rows(negatives=lambda i: 6), negatives=2, sample_negatives=False
  )
  for _ in range(6):
    for *_, negatives in _read(_global([next(iterator)])):
      assert [int(n.split()[3]) for n in negatives] == [0, 1]


def test_prompts_of_a_source_stand_before_its_texts():
  source = records.Listed(
    tiny.rows(), {"b": {"query": "kappa : ", "document": ""}}
  )
  seen = set()
  for query, positive, negatives in itertools.chain.from_iterable(
    _read(_global([b])) for b in tiny.take(_pairs(source), 3)
  ):
    own = query.startswith("kappa : query ")
    assert own or query.startswith("search : query ")
    for text in (positive, *negatives):
      assert text.startswith("item : ") != own
    number = int(query.split()[3])
    assert own == (tiny.source_of(number) == "b")
    seen.add(own)
  assert seen == {True, False}


def test_negatives_may_be_left_unused():
  batch = _global([next(_pairs(negatives=0))])
  assert (batch["candidate"] >= 0).all() and len(batch["candidate"]) == 8
  assert len([_number(r) for r in _read(batch)]) == 8


def test_a_text_is_a_candidate_once_in_a_batch():
  source = tiny.rows(8, negatives=lambda i: 2)
  source[5]["document"] = source[2]["document"]
  source[6]["query"] = source[1]["query"]
  source[4]["negatives"][0] = source[3]["negatives"][1]
  source[7]["negatives"][1] = source[0]["document"]
  batch = _global([next(_pairs(source))])
  texts = collections.Counter()
  for row, column in np.argwhere(batch["content"]):
    ids = batch["ids"][row][batch["segment_ids"][row] == column + 1]
    texts[TOKENIZER.decode(ids)] += 1
  present = batch["candidate"][batch["candidate"] >= 0]
  content = batch["content"].reshape(-1)[present]
  # Neither of a query's two documents is a negative of the other.
  assert len(present) == 8 * 3 - 3 and len(set(content)) == len(present) - 1
  assert sorted(texts.values()) == [1] * 27 + [2]  # a query may come twice
  assert min(content) > 0
  filled = [(batch["segment_ids"] == s + 1).any(1) for s in range(4)]
  np.testing.assert_array_equal(batch["content"] != 0, np.stack(filled, 1))
  # Both queries of the shared document have the same positive.
  read = {}
  for i, (query, positive, _) in enumerate(_read(batch)):
    read[int(query.split()[3])] = positive, batch["positive"][i]
  assert read[5] == read[2] and "document 2" in read[5][0]


def _row(query, document, *negatives):
  return {
    "query": query,
    "document": document,
    "negatives": [*negatives],
    "source": "",
  }


@pytest.mark.parametrize("change", [{}, {"token_dropout": 0.5}])
def test_texts_of_equal_tokens_are_the_same(change):
  """Texts that differ in case, spaces or after truncation; both directions."""
  long = "alpha " * 30
  rows = [
    _row("query 1", "Alpha  Beta"),
    _row("QUERY 1", "alpha beta"),
    _row("query 2", long + "gamma", "kappa"),
    _row("query 3", long + "delta", long + "eta"),
    _row("query 4", "zeta iota", "ZETA iota", "theta"),
  ]
  batch = _global([next(_pairs(rows, batch_size=5, **change))])
  found = {}
  for i, query in enumerate(batch["query"]):
    found[batch["content"].ravel()[query]] = batch["positive"][i]
  assert len(found) == 4  # queries; of five rows two have an equal one
  assert len({*found.values()}) == 3  # documents
  present = batch["candidate"][batch["candidate"] >= 0]
  assert len(present) == 3 + 2  # kappa and theta
  assert len({*batch["content"].ravel()[present]}) == 5


@pytest.mark.slow
def test_documents_that_answer_an_equal_query_are_no_negatives():
  rows = [
    _row("query 1", "alpha", "gamma"),
    _row("query 1", "beta"),
    _row("Query 1", "gamma"),
    _row("query 2", "delta", "Delta"),
  ]
  batch = _global([next(_pairs(rows, batch_size=4))])
  content = batch["content"].ravel()
  table = np.zeros((len(content), 2), "f")
  table[:, 0] = 1  # equal vectors, so the loss counts the negatives
  loss = lambda b: float(
    InfoNCE(tiny.Vectors(), bidirectional=b)(
      {"encoder": {"table": table}},
      loader.nested({k: v for k, v in batch.items() if k != "source"}),
      None,
    )[0]
  )
  # The three rows with the equal query see two documents: their own and that
  # of query 2. Query 2 sees four documents. In the other direction, each sees
  # two queries, as equal ones count once.
  assert loss(False) == pytest.approx(3 * np.log(2) + np.log(4), rel=1e-4)
  both = (3 * np.log(2) + np.log(4) + 4 * np.log(2)) / 2
  assert loss(True) == pytest.approx(both, rel=1e-4)


def test_a_document_of_two_queries_does_not_make_them_one():
  """The document of one query is still a negative of the other."""
  rows = [
    _row("query 1", "alpha"),
    _row("query 1", "beta"),
    _row("query 2", "alpha"),
    _row("query 3", "beta"),
  ]
  batch = _global([next(_pairs(rows, batch_size=4, negatives=0))])
  batch.pop("source")
  table = np.ones((batch["content"].size, 2), "f")
  loss, *_ = tiny.jit(InfoNCE(tiny.Vectors()))(
    {"encoder": {"table": table}}, loader.nested(batch), None
  )
  assert float(loss) == pytest.approx(2 * np.log(2), rel=1e-4)  # of 2 and 3


@pytest.mark.slow
@pytest.mark.parametrize(
  "batch_size, batches, pairs_each",
  [(8, 3, 8), (16, 2, 16), (32, 1, 32), (64, 1, 32)],
)
def test_in_one_pass_every_row_comes_once(batch_size, batches, pairs_each):
  """For any batch size; the padding of the last batch does not count."""
  config = ml_collections.ConfigDict(
    dict(
      batch_size=batch_size,
      one_source=True,
      token_dropout=0.0,
      row_length=32,
      slots=4,
      rows_multiple=16,
      query_length=16,
      document_length=32,
      query_prompt="search : ",
      document_prompt="item : ",
      negatives=2,
    )
  )
  take = lambda host, hosts: list(
    pairs.one_pass(tiny.rows(), TOKENIZER, config, 3, host, hosts)
  )
  alone = take(0, 1)
  assert len(alone) == batches
  seen = []
  for batch, *parts in zip(alone, take(0, 2), take(1, 2), strict=True):
    batch, together = _global([batch]), _global(parts)
    for key in batch:
      np.testing.assert_array_equal(together[key], batch[key])
    counted = np.flatnonzero(batch["query"] >= 0)
    assert len(batch["query"]) == pairs_each
    assert len(batch["candidate"]) == 3 * pairs_each
    query = batch["query"][counted]
    read = _read(batch | {"query": np.maximum(batch["query"], 0)})
    seen += [_number(read[i]) for i in counted]
    del batch["source"]
    if batch_size != 16 or len(counted) == batch_size:
      continue
    table = np.random.default_rng(0).normal(size=(batch["content"].size, 4))
    ask = lambda batch: InfoNCE(tiny.Vectors(), bidirectional=True)(
      {"encoder": {"table": table.astype("f")}}, loader.nested(batch), None
    )
    total, weight, _ = ask(batch)
    assert weight == len(counted)
    short = batch | {"query": query, "positive": batch["positive"][counted]}
    assert float(ask(short)[0]) == pytest.approx(float(total), rel=1e-4)
  assert sorted(seen) == list(range(ROWS))


def test_long_texts_are_truncated_and_keep_their_end():
  source = tiny.rows(8, negatives=lambda i: 0)
  for row in source:
    row["query"] += " kappa" * 50
  batch = _global([next(_pairs(source, query_length=7))])
  for query in batch["query"]:
    row, segment = query // 4, query % 4 + 1
    ids = batch["ids"][row][batch["segment_ids"][row] == segment]
    assert len(ids) == 7 and ids[0] == CLS and ids[-1] == SEP


def test_sizes_of_pairs_that_do_not_fit_are_named():
  with pytest.raises(
    UserError, match="8 pairs do not divide evenly over 3.*try 6"
  ):
    _pairs(hosts=3)
  with pytest.raises(
    UserError, match="6 rows do not divide evenly over 4.*try 4"
  ):
    _pairs(hosts=4, rows_multiple=6)
  with pytest.raises(UserError, match="25 is more than the 24 rows"):
    _pairs(batch_size=25)
  with pytest.raises(UserError, match="does not fit rows of 8"):
    next(_pairs(row_length=8))
