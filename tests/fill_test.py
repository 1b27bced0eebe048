# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Packed batches have little padding, all texts, and the same loss."""

import collections

import jax
import ml_collections
import numpy as np
import pytest
from support import tiny

from nomic_jax import losses
from nomic_jax.data import collate
from nomic_jax.data import loader
from nomic_jax.data.pack import pack
from nomic_jax.model.encoder import Encoder

pytestmark = pytest.mark.slow

WORDS = tiny.words()


def _config(**changes):
  return ml_collections.ConfigDict(
    dict(
      row_length=512,
      slots=64,
      rows_multiple=16,
      query_length=512,
      document_length=512,
      token_dropout=0.0,
      negatives=0,
    )
    | changes
  )


def _rows(count, negatives=0, longest=508, document=88):
  """Rows with lengths as in real data: queries 12 tokens, documents 90."""
  rng = np.random.default_rng(1)

  def text(mean, sigma):
    length = int(
      np.clip(rng.lognormal(np.log(mean) - sigma**2 / 2, sigma), 1, longest)
    )
    return rng.integers(5, 96, length).astype(np.uint16).tobytes()

  return [
    {
      "query": text(10, 0.5),
      "document": text(document, 0.9),
      "source": "s",
      "negatives": [text(document, 0.9) for _ in range(negatives)],
    }
    for _ in range(count)
  ]


def _collate(rows, **changes):
  prompts = collections.defaultdict(lambda: {"query": b"", "document": b""})
  return collate.collate(rows, (0, 0), WORDS, _config(**changes), prompts)


def test_nine_slots_of_ten_hold_text_and_none_is_lost():
  rows = _rows(1024)
  batch = _collate(rows)
  real = batch["segment_ids"] > 0
  assert real.mean() > 0.9
  sent = sum(
    len(r[side]) // 2 + 2 for r in rows for side in ("query", "document")
  )
  copies = len(rows) - (batch["candidate"] >= 0).sum()
  assert real.sum() == sent and not copies
  padded = 2 * len(rows) * 512
  assert sent / padded < 0.15  # control: the share without packing


def test_rows_are_as_long_as_leaves_least_empty():
  rows = _rows(4096)
  shape = dict(
    row_length=2048,
    slots=256,
    query_length=2048,
    document_length=2048,
    rows_multiple=64,
  )
  batch = _collate(rows, **shape)
  length, slots = batch["ids"].shape[1], batch["content"].shape[1]
  assert 512 <= length < 2048 and slots == 256 * length // 2048
  assert len(batch["ids"]) % 64 == 0
  real = batch["segment_ids"] > 0
  assert real.mean() > 0.9
  sizes = [len(r[s]) // 2 + 2 for r in rows for s in ("query", "document")]
  assert real.sum() == sum(sizes)
  slot = batch["query"][7]  # slots are numbered in the shorter rows
  row, segment = slot // slots, slot % slots + 1
  ids = batch["ids"][row][batch["segment_ids"][row] == segment]
  text = np.frombuffer(rows[7]["query"], np.uint16)
  np.testing.assert_array_equal(ids[1:-1], text)
  # One long text rules shorter rows out; fewer, longer rows have less padding.
  rows[0]["document"] = np.full(2046, 7, np.uint16).tobytes()
  batch = _collate(rows, **shape)
  length, slots = batch["ids"].shape[1], batch["content"].shape[1]
  assert length > 2048 and slots == 256 * length // 2048
  full = (batch["segment_ids"] > 0).mean()
  sizes[1] = 2048
  alone = pack([[1] * n for n in sizes], 2048, 256, 64).segment_ids > 0
  assert full > 0.9 > alone.mean()  # control: rows of 2,048 alone


def test_the_loss_is_that_of_padded_rows():
  rows = _rows(8, negatives=2, longest=24, document=7)
  rows[5]["document"] = rows[2]["document"]
  batches = [
    _collate(
      rows,
      row_length=32,
      slots=slots,
      negatives=2,
      rows_multiple=multiple,
      query_length=30,
      document_length=30,
    )
    for slots, multiple in ((8, 4), (1, 2))
  ]
  assert len(batches[0]["ids"]) < len(batches[1]["ids"]) / 2
  loss = losses.make(
    ml_collections.ConfigDict(dict(name="info_nce", temperature=0.1)),
    Encoder(tiny.ARCHITECTURE),
  )
  params = tiny.params(loss)

  def value(params, batch):
    total, weight, _ = loss(params, loader.nested(batch), jax.random.key(0))
    return total / weight

  step = tiny.jit(jax.value_and_grad(value))
  arrays = [{k: v for k, v in b.items() if k != "source"} for b in batches]
  found = [step(params, a) for a in arrays]
  np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-5)
  tiny.assert_close(found[0][1], found[1][1], 1e-4)
  arrays[1]["ids"][arrays[1]["segment_ids"] > 0] += 1  # control
  assert abs(step(params, arrays[1])[0] - found[0][0]) > 1e-3
