# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""bfloat16 products: against float64, and in the intended kernels."""

import re

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np
import pytest
from support import tiny

from nomic_jax.losses.mlm import MLM
from nomic_jax.model import matmul
from nomic_jax.model.encoder import Encoder

LAST_BY_FIRST = (((2,), (0,)), ((), ()))


@pytest.fixture(name="operands", scope="module", params=(64, 63))
def _operands(request):
  """x [1, T, K], kernel [K, N] and a cotangent, of both parities of T."""
  draw = np.random.default_rng(0).normal
  shapes = ((1, request.param, 32), (32, 48), (1, request.param, 48))
  dtypes = (jnp.bfloat16, jnp.float32, jnp.bfloat16)
  return [jnp.asarray(draw(size=s), d) for s, d in zip(shapes, dtypes)]


def _all(product):
  def run(x, kernel, dy):
    y, pull = jax.vjp(
      lambda x, kernel: product(x, kernel, LAST_BY_FIRST), x, kernel
    )
    return y, *pull(dy)

  return run


def test_products_and_gradients_of_bfloat16(operands):
  y, dx, dkernel = jax.jit(_all(matmul.dot_general))(*operands)
  assert (y.dtype, dx.dtype, dkernel.dtype) == (
    jnp.bfloat16,
    jnp.bfloat16,
    jnp.float32,
  )
  x, kernel, dy = (np.asarray(a, "d")[..., :, :] for a in operands)
  rounded = np.asarray(operands[1].astype(jnp.bfloat16), "d")
  tiny.assert_close(y, x @ rounded, 3e-3)  # one rounding: 2^-9 at most
  tiny.assert_close(dx, dy @ rounded.T, 3e-3)
  exact = np.einsum("btk,btn->kn", x, dy)
  tiny.assert_close(dkernel, exact, 1e-6)
  with pytest.raises(AssertionError):  # control: were it rounded once
    tiny.assert_close(dkernel.astype(jnp.bfloat16), exact, 1e-4)


def test_a_bias_and_its_gradient_in_bfloat16(operands):
  _, kernel, dy = operands
  bias = kernel[0]
  y, pull = jax.vjp(jax.jit(matmul.add_bias), dy, bias)
  d_y, d_bias = jax.jit(pull)(dy)
  assert (y.dtype, d_y.dtype, d_bias.dtype) == (
    jnp.bfloat16,
    jnp.bfloat16,
    jnp.float32,
  )
  rows = np.asarray(dy, "d")
  tiny.assert_close(y, rows + np.asarray(bias, "d"), 3e-3)
  np.testing.assert_array_equal(d_y, dy)
  tiny.assert_close(d_bias, rows.sum((0, 1)), 1e-6)
  with pytest.raises(AssertionError):  # control: were it rounded once
    tiny.assert_close(d_bias.astype(jnp.bfloat16), rows.sum((0, 1)), 1e-4)


def test_float32_is_unchanged(operands):
  x, kernel, _ = operands
  x = x.astype(jnp.float32)
  np.testing.assert_array_equal(
    matmul.dot_general(x, kernel, LAST_BY_FIRST), x @ kernel
  )


def test_on_cpu_no_product_of_bfloat16_is_widened():
  def operand_types(product):
    """Of all products in the compiled forward and backward."""
    shapes = (
      ((1, 64, 32), "bfloat16"),
      ((32, 48), "float32"),
      ((1, 64, 48), "bfloat16"),
    )
    text = (
      jax.jit(_all(product))
      .lower(*(jax.ShapeDtypeStruct(*s) for s in shapes))
      .compile()
      .as_text()
    )
    types = dict(re.findall(r"%(\S+) = (\w+)\[", text))
    products = re.findall(r" dot\(%(\S+), %(\S+)\)", text)
    assert len(products) == 3
    return {types[name] for names in products for name in names}

  assert operand_types(matmul.dot_general) == {"bf16"}
  assert "f32" in operand_types(
    lambda x, kernel, numbers: lax.dot_general(
      x, kernel.astype(jnp.bfloat16), numbers
    )
  )  # control


def test_a_loss_in_bfloat16_is_that_of_float32_to_its_precision():
  params, batch = tiny.params(MLM(Encoder(tiny.ARCHITECTURE))), tiny.mlm_batch()
  (loss, grads), (exact, expected) = (
    tiny.jit(
      jax.value_and_grad(
        lambda p, e=Encoder(tiny.ARCHITECTURE, dtype=dtype): MLM(e)(
          p, batch, jax.random.key(0)
        )[0]
      )
    )(params)
    for dtype in ("bfloat16", "float32")
  )
  assert loss != exact
  assert float(loss) == pytest.approx(float(exact), rel=1e-3)
  assert {g.dtype for g in jax.tree.leaves(grads)} == {jnp.dtype("float32")}
  tiny.assert_close(grads, expected, 0.05)
