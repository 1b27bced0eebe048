# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Scores with fewer dimensions and bits, and the curves drawn from them."""

import types

import numpy as np
import pytest

from nomic_jax.embed import quantize
from nomic_jax.embed.embedding_model import EmbeddingModel
from nomic_jax.evaluation import curves
from nomic_jax.evaluation import systems
from nomic_jax.evaluation.pairs import StsTask
from nomic_jax.report import tables
from nomic_jax.storage import drawing


class Model(EmbeddingModel):
  """Vectors drawn by text, of any length."""

  width = 64
  prompts, params, matryoshka_dims, max_tokens = {}, {}, (), 99
  tokenizer = types.SimpleNamespace(to_str=lambda: "")

  def __init__(self):
    self.calls = []

  def encode(self, texts, prompt=None, normalize=True, show_progress=False):
    self.calls.append(list(texts))
    assert not normalize
    return np.stack(
      [
        3 * np.random.default_rng(list(t.encode())).normal(size=64) + len(t)
        for t in texts
      ]
    ).astype(np.float32)


TEXTS = [f"text {i}" + "x" * (i % 5) for i in range(30)]


def test_vectors_are_truncated_before_normalization():
  plain = Model().encode(TEXTS, normalize=False)[:, :16]
  found = systems.Dense(Model()).at(16).encode(TEXTS, "")
  np.testing.assert_allclose(
    found, plain / np.linalg.norm(plain, axis=1, keepdims=True), atol=1e-6
  )
  np.testing.assert_array_equal(
    systems.Dense(Model()).at(16).encode(TEXTS, "", normalize=False), plain
  )


def test_int8_is_compared_by_cosine_and_binary_by_hamming_distance():
  plain = Model().encode(TEXTS, normalize=False)
  eight = systems.Dense(Model()).at(None, "int8").encode(TEXTS, "")
  stored = quantize.quantize(plain, "int8").astype(np.float64)
  stored /= np.linalg.norm(stored, axis=1, keepdims=True)
  np.testing.assert_allclose(eight @ eight.T, stored @ stored.T, atol=1e-5)
  bits = systems.Dense(Model()).at(32, "binary").encode(TEXTS, "")
  signs = plain[:, :32] > 0
  hamming = (signs[:, None] != signs[None]).sum(2)
  np.testing.assert_allclose(bits @ bits.T, 1 - hamming / 16, atol=1e-6)


def test_texts_are_embedded_once_while_cached():
  system = systems.Dense(Model())
  with system.caching():
    whole = system.encode(TEXTS[:20] + TEXTS[:3], "")
    some = system.at(16).encode(TEXTS[15:25], "", normalize=False)
  assert system.model.calls == [TEXTS[:20], TEXTS[20:25]]
  np.testing.assert_array_equal(whole[20:], whole[:3])
  np.testing.assert_array_equal(
    some, Model().encode(TEXTS[15:25], normalize=False)[:, :16]
  )
  system.encode(TEXTS[:2], "")
  assert len(system.model.calls) == 3, "nothing is remembered afterwards"


def test_reading_less_keeps_the_limit_and_the_cache():
  system, short = systems.Dense(Model()), Model()

  def reading(tokens):
    short.max_tokens = tokens
    return short

  system.model.reading = reading
  with system.caching():
    found = system.at(16).reading(5).encode(TEXTS[:4], "")
    assert found.shape == (4, 16) and short.max_tokens == 5
    system.at(32).reading(5).encode(TEXTS[:4], "")
    assert short.calls == [TEXTS[:4]] and not system.model.calls
    system.encode(TEXTS[:4], "")
    assert system.model.calls, "the whole text has another vector"


def test_a_curve_falls_with_fewer_dimensions():
  rng = np.random.default_rng(0)
  first, second = (rng.permutation(TEXTS).tolist() for _ in range(2))
  a, b = (systems.Dense(Model()).encode(t, "") for t in (first, second))
  task = StsTask("sts", first, second, (a * b).sum(1).tolist())
  system = systems.Dense(Model())
  with system.caching():
    points = curves.curve(task, system)
  assert len(system.model.calls) == 1
  found = {(p["precision"], p["dim"]): p["score"] for p in points}
  assert found["float32", 64] == pytest.approx(1, abs=2e-3)
  assert found["float32", 64] >= found["int8", 64] > found["binary", 64]
  assert found["float32", 16] < 0.99
  # Of truncated vectors, the curve has no dimension that they lack.
  short = curves.curve(task, system.at(32))
  assert {p["dim"] for p in short} == {32, 16, 8}
  assert short[0]["score"] == found["float32", 32]
  sizes = {(p["precision"], p["dim"]): p["bytes"] for p in points}
  assert [sizes[p, 64] for p in quantize.PRECISIONS] == [256, 64, 8]
  results = {
    "tasks": {"sts": {"metrics": ["Spearman"]}},
    "models": [{"name": "a", "path": "p", "tasks": {"sts": {"curve": points}}}],
  }
  (table,) = tables._of_curves(results)
  assert table.head == ["", "64", "32", "16"] and len(table.rows) == 3
  assert table.rows[2] == [
    "a, binary",
    *(f"{found['binary', dim]:.3f}" for dim in (64, 32, 16)),
  ]
  figure = curves.draw(results)
  drawn = {
    line.get_label(): line.get_xydata().tolist()
    for line in figure.axes[0].get_lines()
  }
  assert drawn["a, int8"] == [[dim, found["int8", dim]] for dim in (64, 32, 16)]
  assert drawing.png(figure)[:4] == b"\x89PNG"


@pytest.mark.parametrize(
  "width, trained, expected",
  [
    (768, (), [768, 384, 192, 96]),
    (768, (512, 256, 128, 64), [768, 512, 256, 128, 64]),
    (384, (), [384, 192, 96]),
    (16, (), [16, 8]),
    (30, (), [30]),
  ],
)
def test_dimensions_to_try(width, trained, expected):
  assert curves.dims(width, trained) == expected
