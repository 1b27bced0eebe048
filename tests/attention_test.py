# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Every implementation of attention against PyTorch in float64."""

import math
import re
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from nomic_jax.kernels import blockwise
from nomic_jax.kernels import reference
from nomic_jax.kernels.attention import Attention
from nomic_jax.kernels.specs import SPECS
import tiny

# "blockwise" is what the reference does with long rows, "online" what it does
# with scores so large that their exp might not be finite.
IMPLEMENTATIONS = [
    "reference", "blockwise", "online", "pallas_tpu", "pallas_gpu"]
# bfloat16 has 8 bits: 2^-8 of the largest value, and a few roundings of it.
CASES = [(name, "float32", 2e-6) for name in SPECS] + [
    ("packed", "bfloat16", 2e-2), ("wide", "bfloat16", 2e-2)]


def _torch(spec, qkv, weight):
  """Attention and the gradient of its weighted sum, float64."""
  ids = torch.tensor(spec.segment_ids())
  qkv = torch.tensor(qkv, dtype=torch.float64, requires_grad=True)
  shape = (*ids.shape, 3, spec.heads, spec.width)
  q, k, v = qkv.reshape(shape).permute(2, 0, 3, 1, 4)
  if spec.rotary:  # as a product of complex numbers
    cos, sin = (torch.tensor(t).double()[:, None] for t in spec.angles())
    half = spec.width // 2

    def turn(x):
      x = torch.complex(x[..., :half], x[..., half:]) * torch.complex(cos, sin)
      return torch.cat([x.real, x.imag], -1)

    q, k = turn(q), turn(k)
  seen = ids[:, :, None] == ids[:, None, :]
  if spec.window is not None:
    at = torch.arange(spec.length)
    seen &= (at[:, None] - at).abs() <= spec.window
  out = torch.nn.functional.scaled_dot_product_attention(
      q, k, v, attn_mask=seen[:, None])
  out = out * (ids > 0)[:, None, :, None]
  out = out.permute(0, 2, 1, 3).flatten(2)
  (out * torch.tensor(weight)).sum().backward()
  return out.detach().numpy(), qkv.grad.numpy()


def _case(name, dtype):
  """Inputs as `dtype` rounds them, and what PyTorch makes of them."""
  spec = SPECS[name]
  qkv = jnp.asarray(spec.qkv(), dtype)
  weight = np.random.default_rng(1).normal(
      size=(*qkv.shape[:2], spec.heads * spec.width))
  weight = jnp.asarray(weight, dtype)
  expected = _torch(
      spec, np.asarray(qkv, "d"), np.asarray(weight, "d"))
  return spec, qkv, weight, expected


def _compute(implementation, spec, qkv, weight):
  if implementation in ("blockwise", "online"):
    safe = blockwise._SAFE if implementation == "blockwise" else 0
    with mock.patch.multiple(reference, _LONG=0), \
         mock.patch.multiple(blockwise, _BLOCK=64, _SAFE=safe):
      return _compute("reference", spec, qkv, weight)
  # XLA for CPUs makes of one block 128 wide a product that it cannot compute.
  blocks = (128,) * 4 if implementation == "pallas_tpu" and (
      spec.width == 128 and qkv.dtype == jnp.bfloat16) else None
  attention = Attention(
      implementation, window=spec.window, blocks=blocks,
      interpret=implementation != "reference")

  @tiny.jit
  def both(qkv, weight):
    rows = attention.prepare(spec.segment_ids(), spec.angles(), qkv.dtype)
    out, back = jax.vjp(lambda x: attention(x, rows, spec.heads), qkv)
    return out, back(weight)[0]

  out, gradient = both(qkv, weight)
  assert out.dtype == gradient.dtype == qkv.dtype
  return np.asarray(out, "d"), np.asarray(gradient, "d")


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("name, dtype, tolerance", CASES)
def test_forward_and_gradient_equal_float64(
    name, dtype, tolerance, implementation):
  spec, qkv, weight, expected = _case(name, dtype)
  actual = _compute(implementation, spec, qkv, weight)
  for what, a, e in zip(("out", "gradient"), actual, expected):
    error = np.abs(a - e).max() / np.abs(e).max()
    assert error < tolerance, (what, error)
    assert not a[spec.segment_ids() == 0].any()  # zeros, not NaN


@pytest.mark.parametrize("scale", [3, 30])
def test_long_rows_with_large_scores(scale, monkeypatch):
  spec = SPECS["packed"]
  qkv = spec.qkv() * np.repeat([scale, scale, 1], 128).astype("f")
  weight = np.ones((*qkv.shape[:2], 128), "f")
  actual = _compute("blockwise", spec, qkv, weight)
  expected = _torch(spec, qkv, weight)
  for a, e in zip(actual, expected):
    np.testing.assert_allclose(a, e, atol=1e-4 * scale * np.abs(e).max())
  monkeypatch.setattr(blockwise, "_SAFE", np.inf)  # control
  out, _ = _compute("blockwise", spec, qkv, weight)
  assert np.isfinite(out).all() == (scale == 3)


def test_long_rows_hold_no_square_of_scores(monkeypatch):
  spec = SPECS["window"]
  qkv, weight = spec.qkv(), np.ones((2, 384, 128), "f")
  square = len(spec.texts) * spec.heads * spec.length**2

  def largest():
    rows = spec.segment_ids(), spec.angles()
    attention = Attention(window=spec.window)

    def gradient(qkv):
      out, back = jax.vjp(lambda x: attention(x, rows, spec.heads), qkv)
      return out, back(weight)

    program = str(jax.make_jaxpr(gradient)(qkv))
    shapes = re.findall(r":\w+\[([\d,]+)\]", program)
    return max(math.prod(map(int, s.split(","))) for s in shapes)

  assert largest() == square  # control
  monkeypatch.setattr(reference, "_LONG", 128)
  monkeypatch.setattr(blockwise, "_BLOCK", 64)
  assert largest() == qkv.size < square


def test_long_rows_visit_only_blocks_that_share_a_text():
  """A key that is not a number spoils the blocks that look at it, by 0 x NaN.
  """
  ids = np.repeat([[1, 2, 3]], (100, 60, 96), 1).astype(np.int32)
  q = np.ones((1, 256, 1, 8), "f")
  v = q.copy()
  v[0, 200] = np.nan
  with mock.patch.multiple(blockwise, _BLOCK=64):
    out = blockwise.attend(q, q, v, ids, None)
  # The third text begins in the third block, whose second text sees it too.
  spoilt = np.isnan(out).any((0, 2, 3))
  np.testing.assert_array_equal(np.flatnonzero(spoilt), np.arange(128, 256))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_texts_in_a_row_do_not_see_each_other(implementation):
  spec = SPECS["packed"]
  qkv, weight = spec.qkv(), np.ones((3, 384, 128), "f")
  before, _ = _compute(implementation, spec, qkv, weight)
  qkv[0, 100:160] += 1  # the second text
  after, _ = _compute(implementation, spec, qkv, weight)
  changed = (before != after).any(-1)[0]
  np.testing.assert_array_equal(np.flatnonzero(changed), np.arange(100, 160))


def test_wrong_use_names_the_mend():
  ids, qkv = np.ones((2, 8), np.int32), np.zeros((2, 8, 48), "f")
  with pytest.raises(ValueError, match="segment_ids must be .* has ones"):
    Attention().prepare(ids[0], None, "f")
  with pytest.raises(ValueError, match="segment_ids must be .* got None; a"):
    Attention().prepare(None, None, "f")
  with pytest.raises(ValueError, match="angles must be"):
    Attention().prepare(ids, (qkv[:, :4], qkv[:, :4]), "f")
  with pytest.raises(ValueError, match="qkv must be"):
    Attention()(qkv, Attention().prepare(ids, None, "f"), heads=3)
