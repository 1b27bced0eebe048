# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Attention against a loop in float64, one query at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nomic_jax.errors import UserError
from nomic_jax.kernels.attention import attention
from nomic_jax.kernels.attention import check_implementation

# Rows of segment ids: full, two texts and padding, all padding, single tokens.
SEGMENTS = np.array([
    [1] * 12,
    [1] * 5 + [2] * 4 + [0] * 3,
    [0] * 12,
    list(range(1, 9)) + [9] * 4,
])


def _inputs(seed=0, heads=2, width=8):
  rng = np.random.default_rng(seed)
  shape = (*SEGMENTS.shape, heads, width)
  return [rng.normal(size=shape).astype(np.float32) for _ in range(3)]


def _loop(q, k, v, segments):
  out = np.zeros(q.shape)
  rows, length, heads, width = q.shape
  for b in range(rows):
    for i in range(length):
      if not segments[b, i]:
        continue
      seen = [j for j in range(length) if segments[b, j] == segments[b, i]]
      for h in range(heads):
        scores = np.array([q[b, i, h] @ k[b, j, h] for j in seen])
        scores = scores.astype(np.float64) / np.sqrt(width)
        weights = np.exp(scores - scores.max())
        weights /= weights.sum()
        out[b, i, h] = sum(w * v[b, j, h] for w, j in zip(weights, seen))
  return out


@pytest.mark.parametrize("implementation", ["reference"])
def test_forward_equals_a_loop(implementation):
  q, k, v = _inputs()
  got = attention(
      q, k, v, segment_ids=SEGMENTS, implementation=implementation
  )
  np.testing.assert_allclose(got, _loop(q, k, v, SEGMENTS), atol=2e-6)
  assert not np.any(np.asarray(got)[2])  # padding is zeros, not NaN


@pytest.mark.parametrize("implementation", ["reference"])
def test_gradient_equals_differences(implementation):
  q, k, v = (x.astype(np.float64) for x in _inputs(1))
  weight = np.random.default_rng(2).normal(size=q.shape)
  f = lambda q, k, v: (weight * attention(
      q, k, v, segment_ids=SEGMENTS, implementation=implementation)).sum()
  grads = jax.grad(f, (0, 1, 2))(*map(jnp.float32, (q, k, v)))
  assert all(np.isfinite(g).all() for g in grads)
  rng = np.random.default_rng(3)
  for n, grad in enumerate(grads):
    for _ in range(6):
      at = tuple(rng.integers(0, s) for s in q.shape)
      args = [q, k, v]
      values = []
      for h in (1e-5, -1e-5):
        moved = args[n].copy()
        moved[at] += h
        values.append((weight * _loop(
            *(moved if i == n else a for i, a in enumerate(args)), SEGMENTS
        )).sum())
      expected = (values[0] - values[1]) / 2e-5
      np.testing.assert_allclose(grad[at], expected, atol=2e-5)


def test_texts_in_a_row_do_not_see_each_other():
  q, k, v = _inputs(4)
  before = attention(q, k, v, segment_ids=SEGMENTS, implementation="reference")
  k[1, 5:9] += 1
  v[1, 5:9] += 1
  after = attention(q, k, v, segment_ids=SEGMENTS, implementation="reference")
  np.testing.assert_array_equal(before[1, :5], after[1, :5])
  assert np.abs(before[1, 5:9] - after[1, 5:9]).max() > 1e-2  # the control


def test_wrong_use_names_the_mend():
  q, k, v = _inputs()
  with pytest.raises(UserError, match="Did you mean 'reference'"):
    check_implementation("refrence")
  with pytest.raises(ValueError, match="share one shape"):
    attention(q, k[:1], v, segment_ids=SEGMENTS, implementation="reference")
  with pytest.raises(ValueError, match="segment_ids must be"):
    attention(
        q, k, v, segment_ids=SEGMENTS[:, :3], implementation="reference"
    )
