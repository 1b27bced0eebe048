# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Every implementation of attention against float64, on the same shapes."""

import functools
import math
import re
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import tiny
from support.attention_cases import CASES
from support.attention_cases import exact_of
import torch

from nomic_jax.errors import UserError
from nomic_jax.kernels import blockwise
from nomic_jax.kernels import reference
from nomic_jax.kernels.attention import Backend
from nomic_jax.kernels.layout import Layout
from nomic_jax.kernels.layout import Need
from nomic_jax.kernels.layout import Reach

# bfloat16 has 8 bits: a few roundings by 2^-8 of the largest value.
TOLERANCE = {"float32": 3e-6, "bfloat16": 2e-2}


class Implementation:
  """Cases that each implementation must compute, with gradients, or refuse.

  Attributes:
    implementation: its name.
    device: the `device_kind` to choose blocks for.
    dtype: of the inputs.
    lacking: the cases that it must refuse.
  """

  implementation: str
  device: str = ""
  dtype: str = "float32"
  lacking: tuple[str, ...] = ()

  def compute(self, case, qkv, weight, **blocks):
    """Output and gradient, float64."""
    backend = Backend(
      self.implementation,
      self.device,
      **blocks,
      interpret=self.implementation.startswith("pallas"),
    )

    @tiny.jit
    def both(qkv, weight):
      rows = backend.prepare(
        case.segment_ids(), case.angles(), qkv.dtype, case.need
      )
      out, back = jax.vjp(lambda x: backend.attend(x, rows, case.need), qkv)
      return out, back(weight)[0]

    out, gradient = both(qkv, weight)
    assert out.dtype == gradient.dtype == qkv.dtype
    return np.asarray(out, "d"), np.asarray(gradient, "d")

  @pytest.mark.slow
  @pytest.mark.parametrize("name", CASES)
  def test_forward_and_gradient_equal_float64(self, name):
    self.check(CASES[name], self.dtype, name in self.lacking)

  @pytest.mark.slow
  @pytest.mark.parametrize("name", ["packed", "wide", "grouped"])
  def test_bfloat16_differs_from_float64_by_its_rounding(self, name):
    self.check(CASES[name], "bfloat16", name in self.lacking)

  def check(self, case, dtype, lacking):
    lacks = Backend(self.implementation, self.device).lacks(
      case.need, length=case.length, dtype=dtype
    )
    assert bool(lacks) == lacking, lacks
    if lacks:
      with pytest.raises(UserError, match=re.escape(lacks)):
        self.compute(case, case.qkv(), case.weight())
      return
    qkv, weight = (jnp.asarray(x, dtype) for x in (case.qkv(), case.weight()))
    expected = exact_of(case, np.asarray(qkv, "d"), np.asarray(weight, "d"))
    actual = self.compute(case, qkv, weight)
    for what, a, e in zip(("out", "gradient"), actual, expected):
      error = np.abs(a - e).max() / np.abs(e).max()
      assert error < TOLERANCE[dtype], (what, error)
      assert not a[case.segment_ids() == 0].any()  # zeros, not NaN

  def test_texts_in_a_row_do_not_see_each_other(self):
    case = CASES["packed"]
    qkv, weight = case.qkv(), case.weight()
    compute = lambda: self.compute(
      case, jnp.asarray(qkv, self.dtype), jnp.asarray(weight, self.dtype)
    )
    before, _ = compute()
    qkv[0, 100:160] += 1  # the second text
    after, _ = compute()
    changed = (before != after).any(-1)[0]
    np.testing.assert_array_equal(np.flatnonzero(changed), np.arange(100, 160))


class TestReference(Implementation):
  implementation = "reference"


@pytest.mark.slow
class TestBlockwise(Implementation):
  """The reference's implementation for long rows."""

  implementation = "reference"
  safe = blockwise._SAFE

  def compute(self, case, qkv, weight, **blocks):
    with (
      mock.patch.multiple(reference, _LONG=0),
      mock.patch.multiple(blockwise, _BLOCK=64, _SAFE=self.safe),
    ):
      return super().compute(case, qkv, weight, **blocks)


@pytest.mark.slow
class TestOnline(TestBlockwise):
  """The same with scores so large that their exp may overflow."""

  safe = 0


@pytest.mark.slow
class TestPallasTPU(Implementation):
  implementation = "pallas_tpu"

  def compute(self, case, qkv, weight, **blocks):
    # With a single block of 128, XLA creates a product that it lacks on CPUs.
    if case.width == 128 and qkv.dtype == jnp.bfloat16:
      blocks = dict(blocks=(128,) * 4)
    return super().compute(case, qkv, weight, **blocks)


@pytest.mark.slow
class TestPallasGPU(Implementation):
  implementation = "pallas_gpu"


@pytest.mark.slow
class TestCuDNN(Implementation):
  """Tests the arguments with XLA instead of cuDNN, which needs a GPU."""

  implementation = "cudnn"
  device = "NVIDIA H100 80GB HBM3"
  dtype = "bfloat16"

  def compute(self, case, qkv, weight, **blocks):
    xla = jax.nn.dot_product_attention
    with mock.patch.object(
      jax.nn,
      "dot_product_attention",
      lambda *a, implementation: xla(
        *a, implementation={"cudnn": "xla"}[implementation]
      ),
    ):
      return super().compute(case, qkv, weight, **blocks)


@pytest.mark.slow
class TestCuDNNBeforeHopper(TestCuDNN):
  device = "NVIDIA A100-SXM4-80GB"
  lacking = ("broad", "broad shared")

  @pytest.mark.slow
  @pytest.mark.parametrize("name", ["broad", "broad shared"])
  def test_forward_and_gradient_equal_float64(self, name):
    super().test_forward_and_gradient_equal_float64(name)


@pytest.mark.parametrize("name", CASES)
def test_float64_equals_pytorch(name):
  case = CASES[name]
  ids, weight = torch.tensor(case.segment_ids()), torch.tensor(case.weight())
  qkv = torch.tensor(case.qkv(), dtype=torch.float64, requires_grad=True)
  heads = qkv.unflatten(-1, (-1, case.width)).transpose(1, 2)
  q, k, v = heads.split([case.heads, *[case.layout.kv_heads] * 2], dim=1)
  if case.rotary:
    cos, sin = (torch.tensor(t).double()[:, None] for t in case.angles())

    def rotated(x):
      a, b = x.chunk(2, -1)
      return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)

    q, k = rotated(q), rotated(k)
  seen = ids[:, :, None] == ids[:, None, :]
  at = torch.arange(case.length)
  away = at[:, None] - at
  if case.window is not None:
    seen &= away.abs() <= case.window
  if case.causal:
    seen &= away >= 0
  out = torch.nn.functional.scaled_dot_product_attention(
    q, k, v, attn_mask=seen[:, None], enable_gqa=True
  )
  out = (out * (ids > 0)[:, None, :, None]).transpose(1, 2).flatten(2)
  (out * weight).sum().backward()
  for a, e in zip(exact_of(case, case.qkv(), case.weight()), (out, qkv.grad)):
    np.testing.assert_allclose(a, e.detach().numpy(), atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [3, 30])
def test_long_rows_with_large_scores(scale, monkeypatch):
  case = CASES["packed"]
  qkv = case.qkv() * np.repeat([scale, scale, 1], 128).astype("f")
  weight = np.ones((*qkv.shape[:2], 128), "f")
  compute = functools.partial(TestBlockwise().compute, case, qkv, weight)
  for a, e in zip(compute(), exact_of(case, qkv, weight)):
    np.testing.assert_allclose(a, e, atol=1e-4 * scale * np.abs(e).max())
  monkeypatch.setattr(TestBlockwise, "safe", np.inf)  # control
  out, _ = compute()
  assert np.isfinite(out).all() == (scale == 3)


def test_long_rows_hold_no_square_of_scores(monkeypatch):
  case = CASES["window"]
  qkv, weight = case.qkv(), np.ones((2, 384, 128), "f")
  square = len(case.texts) * case.heads * case.length**2

  def largest():
    rows = case.segment_ids(), case.angles(), None

    def gradient(qkv):
      out, back = jax.vjp(lambda x: Backend().attend(x, rows, case.need), qkv)
      return out, back(weight)

    program = str(jax.make_jaxpr(gradient)(qkv))
    shapes = re.findall(r":\w+\[([\d,]+)\]", program)
    return max(math.prod(map(int, s.split(","))) for s in shapes)

  assert largest() == square  # control
  monkeypatch.setattr(reference, "_LONG", 128)
  monkeypatch.setattr(blockwise, "_BLOCK", 64)
  assert largest() == qkv.size < square


@pytest.mark.parametrize(
  "causal, spoilt",
  [
    # The third text begins in the third block, which the second text visits.
    (False, range(128, 256)),
    (True, range(192, 256)),
  ],
)
def test_long_rows_visit_only_blocks_that_see_each_other(causal, spoilt):
  """A NaN in a key makes all blocks that visit it NaN, since 0 x NaN is NaN."""
  ids = np.repeat([[1, 2, 3]], (100, 60, 96), 1).astype(np.int32)
  q = np.ones((1, 256, 1, 8), "f")
  v = q.copy()
  v[0, 200] = np.nan
  with mock.patch.multiple(blockwise, _BLOCK=64):
    out = blockwise.attend(q, q, v, ids, Reach.of(None, causal))
  np.testing.assert_array_equal(
    np.flatnonzero(np.isnan(out).any((0, 2, 3))), spoilt
  )


def test_wrong_use_names_the_fix():
  ids, qkv = np.ones((2, 8), np.int32), np.zeros((2, 8, 48), "f")
  need = Need(Layout(2, 2, 8))
  prepare = Backend().prepare
  with pytest.raises(ValueError, match="segment_ids must be .* use ones"):
    prepare(ids[0], None, "f", need)
  with pytest.raises(ValueError, match="segment_ids must be .* got .*; w"):
    prepare(None, None, "f", need)
  for wrong in (qkv[:, :4, :4], qkv[..., :8]):
    with pytest.raises(
      ValueError, match="angles must be .* = .2, 8, 4., but got"
    ):
      prepare(ids, (wrong, wrong), "f", need)
  with pytest.raises(ValueError, match="qkv must be .* 72. for 3 heads of 8"):
    Backend().attend(qkv, prepare(ids, None, "f", need), Need(Layout(3, 3, 8)))
  with pytest.raises(UserError, match="12 query heads cannot share 5 key"):
    Layout(12, 5, 64)
