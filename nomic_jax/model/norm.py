# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""LayerNorm of a residual sum, which keeps little for its gradient.

Left to differentiation, the sum and what is made of it are kept in float32,
and written and read as such; so the gradient (Ba et al. 2016) is written out.
Kept are the sum, in its own dtype, and two numbers per token.
"""

import functools
from typing import Any

from flax import linen as nn
import jax
from jax import Array
import jax.numpy as jnp


class AddNorm(nn.Module):
  """LayerNorm(x + y), [..., D], in the dtype of x; computed in float32."""

  eps: float

  @nn.compact
  def __call__(self, x: Array, y: Array) -> Array:
    own = lambda name, init: self.param(
        name, nn.with_logical_partitioning(init, ("embed",)), x.shape[-1:])
    scale = own("scale", nn.initializers.ones)
    bias = own("bias", nn.initializers.zeros)
    return _norm(self.eps, x + y, scale, bias)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _norm(eps: float, x: Array, scale: Array, bias: Array) -> Array:
  return _forward(eps, x, scale, bias)[0]


def _forward(eps: float, x: Array, scale: Array, bias: Array) -> tuple:
  wide = x.astype(jnp.float32)
  mean = wide.mean(-1, keepdims=True)
  # The two-pass variance is what PyTorch computes; the fast one loses digits.
  variance = jnp.square(wide - mean).mean(-1, keepdims=True)
  narrow = jax.lax.rsqrt(variance + eps)
  out = (wide - mean) * (narrow * scale) + bias
  return out.astype(x.dtype), (x, mean, narrow, scale)


def _backward(eps: float, kept: tuple, gradient: Array) -> tuple[Any, ...]:
  del eps
  x, mean, narrow, scale = kept
  unit = (x.astype(jnp.float32) - mean) * narrow
  gradient = gradient.astype(jnp.float32)
  own = gradient * scale
  dx = narrow * (own - own.mean(-1, keepdims=True)
                 - unit * (own * unit).mean(-1, keepdims=True))
  tokens = tuple(range(x.ndim - 1))
  return dx.astype(x.dtype), (gradient * unit).sum(tokens), gradient.sum(tokens)


_norm.defvjp(_forward, _backward)
