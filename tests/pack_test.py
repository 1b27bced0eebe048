# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Packing loses no text and leaves little padding."""

import numpy as np
import pytest

from nomic_jax.data.pack import pack
from nomic_jax.data.pack import row_shape
from nomic_jax.errors import UserError


def _texts(seed, count, longest):
  rng = np.random.default_rng(seed)
  lengths = np.clip(rng.lognormal(2.5, 1.0, count).astype(int), 1, longest)
  return [list(rng.integers(1, 1000, n)) for n in lengths]


@pytest.mark.parametrize("seed", range(5))
def test_every_text_is_found_whole_where_slot_of_says(seed):
  texts = _texts(seed, 200, 64)
  slots = 6
  packed = pack(texts, 64, slots, rows_multiple=4)
  assert packed.ids.shape[0] % 4 == 0
  assert packed.segment_ids.max() <= slots
  assert len(set(packed.slot_of)) == len(texts)
  for text, slot in zip(texts, packed.slot_of):
    row, segment = slot // slots, slot % slots + 1
    at = np.flatnonzero(packed.segment_ids[row] == segment)
    assert list(packed.ids[row, at]) == text
    assert list(packed.positions[row, at]) == list(range(len(text)))
    assert list(np.diff(at)) == [1] * (len(text) - 1)  # contiguous
  real = sum(map(len, texts))
  assert (packed.segment_ids > 0).sum() == real
  assert (packed.ids[packed.segment_ids == 0] == 0).all()


def test_little_is_padding():
  texts = _texts(0, 2000, 128)
  packed = pack(texts, 128, 64)
  assert (packed.segment_ids > 0).mean() > 0.97
  one_a_row = sum(map(len, texts)) / (len(texts) * 128)
  assert one_a_row < 0.2  # what padding would have cost


def test_slots_limit_the_texts_of_a_row():
  packed = pack([[1]] * 10, 8, 3)
  assert packed.ids.shape[0] == 4


def test_a_text_longer_than_a_row_is_an_error():
  with pytest.raises(UserError, match="9 tokens does not fit rows of 8"):
    pack([[1] * 9], 8, 2)


@pytest.mark.parametrize(
  "mean,longest", [(40, 512), (40, 2048), (90, 2048), (250, 2048)]
)
def test_a_batch_fills_its_rows_whatever_its_lengths(mean, longest):
  rng = np.random.default_rng(mean)
  drawn = rng.lognormal(np.log(mean) - 0.4, 0.9, 16_384)
  lengths = np.clip(np.r_[drawn, np.full(16_384, 12)], 3, longest).astype(int)
  texts, real = [[1] * n for n in lengths], lengths.sum()
  length, slots = row_shape(lengths.tolist(), 2048, 256, 256)
  packed = pack(texts, length, slots, 256)
  assert len(packed.ids) % 256 == 0 and length % 128 == 0
  assert real / packed.ids.size > 0.9
  if mean == 90:  # the share of rows of exactly 2,048
    assert real / pack(texts, 2048, 256, 256).ids.size < 0.9


def test_rows_are_longer_than_configured_only_if_that_saves():
  assert row_shape([60] * 1000, 128, 8, 1) == (128, 8)
  assert row_shape([2048, 1], 2048, 256, 2) == (2048, 256)
