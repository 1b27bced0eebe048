# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Linear layers in bfloat16 with float32 weights and float32 accumulation.

Weights stay float32 and are rounded when used; their gradient is accumulated
and returned in float32. The products are written out instead of being left to
the compiler because on CPU it widens a bfloat16 product to float32 unless the
product has the one form that its bfloat16 kernels support: float32
accumulation, with the left operand contracted along its last axis.
"""

from collections.abc import Callable
import functools
from typing import Any

from flax import linen as nn
import jax
from jax import Array
from jax import lax
from jax.ad_checkpoint import checkpoint_name
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Float

_product = functools.partial(
  lax.dot_general, preferred_element_type=jnp.float32
)


class Linear(nn.Module):
  """Maps x [..., K] to [..., features]; params kernel [K, features] and bias.

  Attributes:
    features: width of the result.
    dtype: the dtype of the result; x is cast to it.
    kernel_init, bias_init: of the parameters; a bias_init of None: no bias.
  """

  features: int
  dtype: DTypeLike
  kernel_init: Callable[..., Any]
  bias_init: Callable[..., Any] | None

  @nn.compact
  def __call__(
    self, x: Float[Array, "*rows K"]
  ) -> Float[Array, "*rows features"]:
    """Applies the layer to x [..., K]."""
    kernel = self.param(
      "kernel", self.kernel_init, (x.shape[-1], self.features)
    )
    numbers = (((x.ndim - 1,), (0,)), ((), ()))
    y = dot_general(x.astype(self.dtype), kernel, numbers)
    if self.bias_init is None:
      return y
    return add_bias(y, self.param("bias", self.bias_init, (self.features,)))


def add_bias(
  y: Float[Array, "*rows N"], bias: Float[Array, " N"]
) -> Float[Array, "*rows N"]:
  """Returns y [..., N] plus bias [N], float32, in the dtype of y."""
  if y.dtype != jnp.bfloat16:
    return y + bias
  return _add_bias(y.reshape(-1, y.shape[-1]), bias).reshape(y.shape)


@jax.custom_vjp
def _add_bias(y: Array, bias: Array) -> Array:
  return (y + bias).astype(y.dtype)


def _bias_gradient(dy: Array) -> Array:
  return dy.astype(jnp.float32).sum(0)


def _bias_gradient_on_cpu(dy: Array) -> Array:
  """Sums by a product; adding bfloat16 rows takes longer than the layer."""
  ones = jnp.ones((1, dy.shape[0]), dy.dtype)
  return _product(ones, dy, (((1,), (0,)), ((), ())))[0]


_add_bias.defvjp(
  lambda y, bias: (_add_bias(y, bias), None),
  lambda _, dy: (
    dy,
    lax.platform_dependent(
      dy, cpu=_bias_gradient_on_cpu, default=_bias_gradient
    ),
  ),
)


def dot_general(
  x: Array,
  kernel: Array,
  dimension_numbers: lax.DotDimensionNumbers,
  precision: lax.PrecisionLike = None,
) -> Array:
  """Returns x [..., K] times kernel [K, N], float32, in the dtype of x.

  The signature is that of `jax.lax.dot_general`.
  """
  if x.dtype != jnp.bfloat16:
    return lax.dot_general(x, kernel, dimension_numbers, precision)
  y = _matmul(x.reshape(-1, x.shape[-1]), kernel)
  return y.reshape(*x.shape[:-1], -1)


@jax.custom_vjp
def _matmul(x: Array, kernel: Array) -> Array:
  """Multiplies bfloat16 [T, K] with float32 [K, N] to bfloat16 [T, N]."""
  y = _product(x, kernel.astype(x.dtype), (((1,), (0,)), ((), ())))
  return y.astype(x.dtype)


def _forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
  # Named, so that rematerialization can save it: see model/encoder.py.
  return checkpoint_name(_matmul(x, kernel), "product"), (x, kernel)


def _backward(residuals: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
  x, kernel = residuals
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
  # Transpose x in a way that XLA does not fold into the product again.
  x = x.reshape(tokens // 2, 2, width).transpose(2, 0, 1)
  return _product(x.reshape(width, tokens), dy, (((1,), (0,)), ((), ())))


_matmul.defvjp(_forward, _backward)
