# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""MLM batches lose no token; batches become global arrays."""

import itertools
import json

import grain
import jax
import ml_collections
import numpy as np
import pytest
from support import tiny
import tokenizers

from nomic_jax.data import loader
from nomic_jax.data import order
from nomic_jax.data import text
from nomic_jax.errors import UserError
from nomic_jax.mesh import partition

TOKENIZER = tiny.words()
CLS = TOKENIZER.token_to_id("[CLS]")
ROWS = 24


def _text(source=None, host=0, hosts=1, seed=3, **changes):
  config = ml_collections.ConfigDict(
    dict(batch_size=4, micro_batches=2, row_length=24, mask_rate=0.3) | changes
  )
  return iter(
    text.batches(source or tiny.rows(), TOKENIZER, config, seed, host, hosts)
  )


def _rows_of(batches):
  """(ids before masking, segments, positions) of every row in order."""
  for batch in batches:
    ids, segments, positions, masked, labels = (
      batch[k].reshape(-1, batch[k].shape[-1])
      for k in ("ids", "segment_ids", "positions", "masked", "labels")
    )
    for row in range(len(ids)):
      known = labels[row] >= 0
      true = ids[row].copy()
      true[masked[row][known]] = labels[row][known]
      yield true, segments[row], positions[row]


def _documents(batches):
  """The documents in the stream of rows, without a last unfinished one."""
  stream = np.concatenate([ids for ids, *_ in _rows_of(batches)])
  starts = np.flatnonzero(stream == CLS)
  assert starts[0] == 0
  return [tuple(d) for d in np.split(stream, starts[1:])][:-1]


def _encoded(source):
  return [
    tuple(TOKENIZER.encode(r["query"] + "\n" + r["document"]).ids)
    for r in source
  ]


def test_no_token_of_the_text_is_lost():
  expected = _encoded(tiny.rows())
  documents = _documents(tiny.take(_text(), 24))
  first, second = documents[:ROWS], documents[ROWS : 2 * ROWS]
  assert sorted(first) == sorted(second) == sorted(expected)
  assert first != second and first != expected


def test_segments_are_documents_and_rows_are_full():
  crossed = 0
  for ids, segments, positions in _rows_of(tiny.take(_text(), 12)):
    starts = np.flatnonzero(ids == CLS)
    changes = np.flatnonzero(np.diff(segments)) + 1
    np.testing.assert_array_equal(changes, starts[starts > 0])
    assert segments[0] == 1 and set(np.diff(segments)) <= {0, 1}
    crossed += ids[0] != CLS  # continues the document of the row before
    bounds = [0, *changes, len(ids)]
    expected = [np.arange(b - a) for a, b in itertools.pairwise(bounds)]
    np.testing.assert_array_equal(positions, np.concatenate(expected))
  assert crossed > 10


def test_text_resumes_from_a_saved_state_with_the_same_bits():
  tiny.assert_resumes(_text)


class _ConcatThenSplit:
  """Batches of whole rows by Grain's own packing of blocks of 64 documents.

  The chain of earlier versions, whose states are in their checkpoints.
  """

  def __init__(self, source, rows, length, seed):
    def block(number):
      epochs, places = np.divmod(number * 64 + np.arange(64), len(source))
      ids = [
        TOKENIZER.encode(f"{r['query']}\n{r['document']}").ids
        for e, p in zip(epochs, places)
        for r in [source[order.permute(p[None], len(source), seed, e)[0]]]
      ]
      starts = [[1] + [0] * (len(i) - 1) for i in ids]
      return {"ids": np.concatenate(ids), "starts": np.concatenate(starts)}

    cut = grain.experimental.ConcatThenSplitIterDataset(
      grain.MapDataset.range(2**40)
      .map(block)
      .to_iter_dataset(
        grain.ReadOptions(num_threads=1, prefetch_buffer_size=1)
      ),
      length_struct={"ids": length, "starts": length},
    )
    self._batches, self._number = iter(cut.batch(rows)), 0

  def __next__(self):
    self._number += 1
    return next(self._batches)

  def get_state(self):
    return {"parent": self._batches.get_state(), "index_for_rng": self._number}


@pytest.mark.parametrize("length", [7, 24, 600])
def test_rows_are_grains_and_its_saved_states_resume(length):
  """A row of 600 tokens exceeds a block; one of 7 is less than a document."""
  grains = _ConcatThenSplit(tiny.rows(), 4, length, seed=3)
  make = lambda: _text(row_length=length)
  iterator, differ = make(), 0
  for _ in range(7):
    state = json.loads(json.dumps(grains.get_state()))
    resumed = make()
    resumed.set_state(state)
    batch, again, packed = next(iterator), next(resumed), next(grains)
    found = list(_rows_of([batch]))
    np.testing.assert_array_equal([r[0] for r in found], packed["ids"])
    np.testing.assert_array_equal(
      [r[1] for r in found], text.segments_of(packed["starts"])[0]
    )
    for key in batch:
      np.testing.assert_array_equal(again[key], batch[key])
    assert resumed.get_state() == iterator.get_state()
    differ += (batch["ids"] != next(resumed)["ids"]).any()
  assert differ == 7  # control


def test_text_resumes_with_another_number_of_hosts():
  tiny.assert_resumes_on_other_hosts(
    lambda h, hosts: _text(batch_size=16, host=h, hosts=hosts), counts=(1, 2, 8)
  )


def test_text_batches_have_micro_batches_and_room_for_the_masked():
  batch = next(_text())
  assert batch["ids"].shape == batch["positions"].shape == (2, 2, 24)
  assert batch["masked"].shape == batch["labels"].shape == (2, 2, 8)
  hidden = batch["ids"] == TOKENIZER.token_to_id("[MASK]")
  assert 0.1 < hidden.mean() < 0.35


def test_any_number_of_hosts_gives_the_same_rows_and_masks():
  alone = tiny.take(_text(batch_size=8), 5)
  for hosts in (2, 4):
    parts = [
      tiny.take(_text(batch_size=8, host=h, hosts=hosts), 5)
      for h in range(hosts)
    ]
    for one, *shares in zip(alone, *parts):
      for key in one:
        np.testing.assert_array_equal(
          np.concatenate([s[key] for s in shares], axis=1), one[key]
        )
  assert (alone[0]["masked"][0, 0] != alone[0]["masked"][0, 1]).any()
  assert (alone[0]["masked"] != alone[1]["masked"]).any()


def test_masks_are_others_for_another_seed():
  one = tiny.rows(1)  # one row, so the order does not matter
  first, other = (next(_text(one, seed=seed)) for seed in (3, 4))
  true = [next(_rows_of([b]))[0] for b in (first, other)]
  np.testing.assert_array_equal(*true)
  assert (first["masked"] != other["masked"]).any()


def test_boundaries_may_be_disabled_as_in_the_reference():
  kept = tiny.take(_text(), 3)
  for batch, other in zip(kept, tiny.take(_text(document_boundaries=False), 3)):
    np.testing.assert_array_equal(batch["ids"], other["ids"])
    assert (other["segment_ids"] == 1).all()
    assert (other["positions"] == np.arange(24)).all()
    assert batch["segment_ids"].max() > 1


def test_packed_rows_of_token_ids_stay_whole():
  rng = np.random.default_rng(0)
  rows = [[*rng.integers(5, 100, 24)] for _ in range(ROWS)]
  for i, row in enumerate(rows):
    row[i % 24] = CLS
  source = [{"query": "", "document": "", "ids": row} for row in rows]
  batches = tiny.take(_text(source, document_boundaries=False), ROWS // 4)
  found = sorted(tuple(ids) for ids, *_ in _rows_of(batches))
  assert found == sorted(map(tuple, rows))
  for ids, segments, _ in _rows_of(tiny.take(_text(source), ROWS // 4)):
    # The continuation of a document is a document of its own until [CLS].
    assert segments.max() == (2 if ids[0] != CLS else 1)


def test_text_without_a_query_is_the_document_alone():
  source = tiny.rows()
  for row in source:
    row["query"] = ""
  expected = [tuple(TOKENIZER.encode(r["document"]).ids) for r in source]
  assert sorted(_documents(tiny.take(_text(source), 14))[:ROWS]) == (
    sorted(expected)
  )


def test_unknown_words_are_not_to_be_predicted():
  """Otherwise text of unknown tokens would be learnt at once."""
  unknown = TOKENIZER.token_to_id("[UNK]")
  rows = [
    r | {"document": "ไทย ".join(r["document"].split(" "))} for r in tiny.rows()
  ]
  seen = labels = 0
  for batch in tiny.take(_text(rows), 12):
    seen += np.sum(batch["ids"] == unknown)
    labels += np.sum(batch["labels"] >= 0)
    assert not (batch["labels"] == unknown).any()
  assert seen > 50 and labels > 50


def test_sizes_of_text_batches_that_do_not_fit_are_named():
  with pytest.raises(UserError, match="5 rows do not divide.*try 4"):
    _text(batch_size=5)
  with pytest.raises(UserError, match="3 hosts x 2 micro-batches; try 6"):
    _text(hosts=3)
  for rate in (0.0, 1.0, 30):
    with pytest.raises(UserError, match=f"mask_rate: {rate}; expected"):
      _text(mask_rate=rate)


def test_documents_without_tokens_are_skipped():
  bare = tokenizers.Tokenizer(
    tokenizers.models.WordLevel(
      {"a": 0, "[MASK]": 1, "[PAD]": 2, "[UNK]": 3}, unk_token="[UNK]"
    )
  )
  bare.add_special_tokens(["[MASK]", "[PAD]", "[UNK]"])
  config = ml_collections.ConfigDict(
    dict(batch_size=2, micro_batches=1, row_length=4, mask_rate=0.3)
  )
  rows = lambda *texts: [{"query": "", "document": t} for t in texts]
  make = lambda source: iter(text.batches(source, bare, config, 0, 0, 1))
  iterator = make(rows("", "a", ""))
  for _ in range(30):
    assert {int(i) for ids, *_ in _rows_of([next(iterator)]) for i in ids} == {
      0
    }
  with pytest.raises(UserError, match="its texts have no tokens"):
    next(make(rows("", "")))


def test_several_hosts_are_advised_to_tokenise_ahead():
  config = lambda **c: ml_collections.ConfigDict(
    dict(kind="text", path="gs://b/data", tokenised=False) | c
  )
  told = loader.advice(config(), 64)
  assert "each of 64 hosts" in told and "--input=gs://b/data" in told
  assert not loader.advice(config(), 1)
  assert not loader.advice(config(tokenised=True), 64)
  assert not loader.advice(config(kind="pairs"), 64)


def test_unknown_kinds_are_named():
  config = ml_collections.ConfigDict(dict(kind="pair"))
  with pytest.raises(UserError, match="no kind 'pair'.*mean 'pairs'"):
    loader.make(config, TOKENIZER, 0)


def _sharding(data, fsdp, tensor):
  config = ml_collections.ConfigDict(dict(data=data, fsdp=fsdp, tensor=tensor))
  return partition.batch_sharding(partition.make_mesh(config, jax.devices()))


def test_batches_become_global_arrays():
  batch = {"ids": np.arange(2 * 4 * 3).reshape(2, 4, 3)}
  for sizes in ((4, 1, 2), (2, 2, 2), (1, 1, 8)):  # tensor splits no rows
    array = loader.to_devices(batch, _sharding(*sizes))["inputs"]["ids"]
    np.testing.assert_array_equal(array, batch["ids"])
  assert array.sharding.num_devices == 8
  with pytest.raises(
    UserError, match="4 rows, which do not divide evenly over 8"
  ):
    loader.to_devices(batch, _sharding(2, 4, 1))


def test_padding_is_distinguished_from_text():
  batch = {"segment_ids": np.array([[[1, 1, 2, 0], [1, 0, 0, 0]]])}
  assert loader.tokens_in(batch) == (4, 8)
