# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Pieces of embeddings are read like one array, and processes share them."""

import numpy as np
import pytest

from nomic_jax.embed import store as embeddings
from nomic_jax.embed.embedding_model import EmbeddingModel
from nomic_jax.errors import UserError


class Lengths(EmbeddingModel):
  def __init__(self, width=3):
    self.width, self.seen = width, []

  def encode(self, texts, **options):
    self.seen += texts
    return np.array([[len(t)] * self.width for t in texts], np.float32)


def _embed(model, texts, folder, share=(0, 1)):
  embeddings.embed(model, texts, ">", folder, label="x", where=str, share=share)


@pytest.mark.parametrize("count", [1, 4, 5, 11])
def test_a_store_is_like_an_array(tmp_path, monkeypatch, count):
  monkeypatch.setattr(embeddings, "PIECE", 4)
  texts = ["a" * i for i in range(count)]
  models = Lengths(), Lengths()
  for n, model in enumerate(models):
    _embed(model, texts, tmp_path / "store", (n, 2))
  assert sorted(models[0].seen + models[1].seen) == [">" + t for t in texts]
  assert not set(models[0].seen) & set(models[1].seen)
  store = embeddings.Store(tmp_path / "store", count)
  want = np.array([[i + 1] * 3 for i in range(count)], np.float32)
  assert store.shape == want.shape and len(store) == count
  for start in range(-1, count + 2):
    for stop in range(start, count + 3):
      at = slice(max(start, 0), stop)
      np.testing.assert_array_equal(store[at], want[at])
  rows = np.random.default_rng(0).integers(0, count, 20)
  np.testing.assert_array_equal(store[rows], want[rows])


def test_another_width_is_an_error(tmp_path, monkeypatch):
  monkeypatch.setattr(embeddings, "PIECE", 4)
  _embed(Lengths(), ["a"] * 8, tmp_path, (0, 2))
  with pytest.raises(
    UserError, match="vectors of width 3, but the model's have width 5"
  ):
    _embed(Lengths(5), ["a"] * 8, tmp_path)
