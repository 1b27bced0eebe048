# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Matrix products in bfloat16 with float32 weights and float32 sums.

The weights stay float32 and are rounded on the way in; their gradient is
summed, and comes back, in float32. Written out rather than left to the
compiler because on CPU it widens a bfloat16 product to float32 unless the
product is in the one form that its bfloat16 kernels take: sums kept in
float32, and the left side multiplied along its last axis.
"""

import functools

import jax
from jax import Array
from jax import lax
from jax.ad_checkpoint import checkpoint_name
import jax.numpy as jnp

_product = functools.partial(
    lax.dot_general, preferred_element_type=jnp.float32
)


def dot_general(
    x: Array, kernel: Array, dimension_numbers: tuple, precision=None
) -> Array:
  """x [..., K] times kernel [K, N], float32, in the dtype of x: [..., N].

  The signature is that of `jax.lax.dot_general`, for `nn.Dense`.
  """
  if x.dtype != jnp.bfloat16:
    return lax.dot_general(x, kernel, dimension_numbers, precision)
  y = _matmul(x.reshape(-1, x.shape[-1]), kernel)
  return y.reshape(*x.shape[:-1], -1)


@jax.custom_vjp
def _matmul(x: Array, kernel: Array) -> Array:
  """bfloat16 [T, K] times float32 [K, N]: bfloat16 [T, N]."""
  y = _product(x, kernel.astype(x.dtype), (((1,), (0,)), ((), ())))
  return y.astype(x.dtype)


def _forward(x: Array, kernel: Array) -> tuple[Array, tuple]:
  # Named, so that rematerialisation may keep it: see model/encoder.py.
  return checkpoint_name(_matmul(x, kernel), "product"), (x, kernel)


def _backward(kept: tuple, dy: Array) -> tuple[Array, Array]:
  x, kernel = kept
  dx = _product(dy, kernel.astype(x.dtype), (((1,), (1,)), ((), ())))
  return dx.astype(x.dtype), lax.platform_dependent(
      x, dy, cpu=_weight_gradient_on_cpu, default=_weight_gradient
  )


def _weight_gradient(x: Array, dy: Array) -> Array:
  return _product(x, dy, (((0,), (0,)), ((), ())))


def _weight_gradient_on_cpu(x: Array, dy: Array) -> Array:
  tokens, width = x.shape
  if tokens % 2:
    return _weight_gradient(x, dy)
  # x transposed, in a way that is not folded into the product again.
  x = x.reshape(tokens // 2, 2, width).transpose(2, 0, 1)
  return _product(x.reshape(width, tokens), dy, (((1,), (0,)), ((), ())))


_matmul.defvjp(_forward, _backward)
