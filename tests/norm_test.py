# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The norm of a residual sum, compared with PyTorch in float64."""

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from nomic_jax.model.norm import AddNorm


def _inputs(dtype, tokens=40, width=96):
  rng = np.random.default_rng(0)
  normal = lambda *shape: jnp.asarray(rng.normal(size=shape), "float32")
  x, y, weight = (
    (3 * normal(tokens, width) + 1).astype(dtype) for _ in range(3)
  )
  params = {"scale": normal(width), "bias": normal(width)}
  return params, x, y, weight


@pytest.mark.parametrize(
  "dtype, tolerance", [("float32", 1e-6), ("bfloat16", 8e-3)]
)
def test_values_and_gradients_equal_float64(dtype, tolerance):
  params, x, y, weight = _inputs(dtype)

  def loss(params, x, y):
    out = AddNorm(1e-12).apply({"params": params}, x, y)
    return (out.astype("float32") * weight.astype("float32")).sum(), out

  (_, out), grads = jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)(
    params, x, y
  )

  exact = lambda a: torch.tensor(np.asarray(a, "d"), requires_grad=True)
  # The sum is rounded to the dtype before it is normed.
  total, scale, bias = map(exact, (x + y, params["scale"], params["bias"]))
  expected = torch.nn.functional.layer_norm(
    total, (96,), scale, bias, eps=1e-12
  )
  (expected * torch.tensor(np.asarray(weight, "d"))).sum().backward()
  assert out.dtype == grads[1].dtype == dtype
  for a, e in (
    (out, expected.detach()),
    (grads[0]["scale"], scale.grad),
    (grads[0]["bias"], bias.grad),
    (grads[1], total.grad),
    (grads[2], total.grad),
  ):
    error = np.abs(np.asarray(a, "d") - e.numpy()).max()
    assert error < tolerance * abs(e.numpy()).max(), error


def test_keeps_the_sum_and_two_numbers_a_token():
  params, x, y, _ = _inputs("bfloat16", tokens=1024)

  def kept(norm):
    _, back = jax.vjp(norm, params, x, y)
    return sum(leaf.nbytes for leaf in jax.tree.leaves(back))

  size = kept(lambda p, x, y: AddNorm(1e-12).apply({"params": p}, x, y))
  assert size == x.nbytes + 2 * 4 * 1024 + 4 * 96
  plain = nn.LayerNorm(dtype=jnp.float32, use_fast_variance=False)
  assert (
    kept(lambda p, x, y: plain.apply({"params": p}, x + y).astype(x.dtype))
    > 2 * size
  )  # control
