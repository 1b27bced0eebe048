# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""LayerNorm and RMSNorm of a sum, with a memory-saving gradient.

With automatic differentiation, the sum and values derived from it would be
saved in float32; so the gradient (Ba et al. 2016; Zhang and Sennrich 2019) is
written out. It saves the sum, in its own dtype, and one or two numbers per
token.
"""

import functools

from flax import linen as nn
import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float


class AddNorm(nn.Module):
  """Returns norm(x + y), [..., D], in the dtype of x; computes in float32.

  Attributes:
    eps, kind, bias: as in `architecture.Norm`.
    axis: logical name of the last axis.
  """

  eps: float
  kind: str = "layer"
  bias: bool = True
  axis: str = "embed"

  @nn.compact
  def __call__(
    self, x: Float[Array, "*rows D"], y: Float[Array, "*rows D"] | None = None
  ) -> Float[Array, "*rows D"]:
    """Applies the norm to x + y, or to x alone."""
    parameter = lambda name, init: self.param(
      name, nn.with_logical_partitioning(init, (self.axis,)), x.shape[-1:]
    )
    centred = self.kind == "layer"
    scale = parameter("scale", nn.initializers.ones)
    bias = (
      parameter("bias", nn.initializers.zeros)
      if centred and self.bias
      else None
    )
    return _norm(self.eps, centred, x if y is None else x + y, scale, bias)


# The input, its mean and inverse deviation, the scale; () if there is a bias.
Residuals = tuple[Array, Array | None, Array, Array, tuple[()] | None]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _norm(
  eps: float, centred: bool, x: Array, scale: Array, bias: Array | None
) -> Array:
  return _forward(eps, centred, x, scale, bias)[0]


def _forward(
  eps: float, centred: bool, x: Array, scale: Array, bias: Array | None
) -> tuple[Array, Residuals]:
  wide = x.astype(jnp.float32)
  mean = None
  if centred:
    mean = wide.mean(-1, keepdims=True)
    wide = wide - mean
  # PyTorch computes the two-pass variance too; the fast one loses digits.
  narrow = jax.lax.rsqrt(jnp.square(wide).mean(-1, keepdims=True) + eps)
  out = wide * (narrow * scale)
  if bias is not None:
    out += bias
  shifted = None if bias is None else ()  # its value is not needed
  return out.astype(x.dtype), (x, mean, narrow, scale, shifted)


def _backward(
  eps: float, centred: bool, residuals: Residuals, gradient: Array
) -> tuple[Array, Array, Array | None]:
  del eps
  x, mean, narrow, scale, shifted = residuals
  wide = x.astype(jnp.float32)
  unit = (wide - mean if mean is not None else wide) * narrow
  gradient = gradient.astype(jnp.float32)
  scaled = gradient * scale
  across = scaled - scaled.mean(-1, keepdims=True) if centred else scaled
  dx = narrow * (across - unit * (scaled * unit).mean(-1, keepdims=True))
  tokens = tuple(range(x.ndim - 1))
  return (
    dx.astype(x.dtype),
    (gradient * unit).sum(tokens),
    None if shifted is None else gradient.sum(tokens),
  )


_norm.defvjp(_forward, _backward)
