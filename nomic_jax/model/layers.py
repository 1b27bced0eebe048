# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Layers with BERT's initialization and named axes, and activations."""

from collections.abc import Callable
import functools
from typing import Any

from flax import linen as nn
import jax
from jax import Array
import jax.numpy as jnp
from jax.typing import DTypeLike

from nomic_jax.model import matmul

Initializer = Callable[..., Array]  # of a key, a shape and a dtype


@functools.partial(jax.checkpoint, prevent_cse=False)
def _gelu(x: Array) -> Array:
  """Computes the exact GELU by erf, in float32; backward recomputes from x.

  jax.nn.gelu uses erfc, which is slower, and rounds every step to the dtype.
  """
  y = x.astype(jnp.float32)
  return (y * (0.5 + 0.5 * jax.lax.erf(y * 0.5**0.5))).astype(x.dtype)


ACTIVATIONS = {
  "gelu": _gelu,
  "gelu_tanh": functools.partial(jax.nn.gelu, approximate=True),
  "quick_gelu": lambda x: x * jax.nn.sigmoid(1.702 * x),
  "relu": jax.nn.relu,
  "silu": jax.nn.silu,
  "sigmoid": jax.nn.sigmoid,
  "tanh": jnp.tanh,
}


def normal(stddev: float, cutoff: float | None = None) -> Initializer:
  """A normal distribution, truncated at `cutoff` standard deviations if set."""
  if cutoff is None:
    return nn.initializers.normal(stddev)
  return nn.initializers.truncated_normal(stddev, lower=-cutoff, upper=cutoff)


def dense(
  features: int,
  axes: tuple[str, str],
  bias: bool,
  init: Initializer,
  dtype: DTypeLike,
  name: str,
) -> matmul.Linear:
  """Returns a linear layer.

  Args:
    features: width of the result.
    axes: logical names of the kernel's axes.
    bias: whether it has one.
    init: initializer of the kernel.
    dtype: to compute in.
    name: the name of its parameters.
  """
  zeros = nn.with_logical_partitioning(nn.initializers.zeros, axes[1:])
  return matmul.Linear(
    features,
    dtype,
    nn.with_logical_partitioning(init, axes),
    zeros if bias else None,
    name=name,
  )


def table(
  rows: int,
  width: int,
  init: Initializer,
  name: str,
  axis: str = "rows",
  zero_row: int | None = None,
) -> nn.Embed:
  """Returns an embedding table; row `zero_row` is initialized to zeros."""

  def zeroed(rng, shape, dtype):
    values = init(rng, shape, dtype)
    return values if zero_row is None else values.at[zero_row].set(0)

  boxed = nn.with_logical_partitioning(zeroed, (axis, "embed"))
  return nn.Embed(rows, width, embedding_init=boxed, name=name)


def norm(n: Any, name: str) -> nn.Module:
  """Returns a float32 norm, given an `architecture.Norm`."""
  # PyTorch computes the two-pass variance too; the fast one loses digits.
  common = dict(
    epsilon=n.eps,
    dtype=jnp.float32,
    use_fast_variance=False,
    name=name,
    scale_init=nn.with_logical_partitioning(nn.initializers.ones, ("embed",)),
  )
  if n.kind == "rms":
    return nn.RMSNorm(**common)
  zero = nn.with_logical_partitioning(nn.initializers.zeros, ("embed",))
  return nn.LayerNorm(use_bias=n.bias, bias_init=zero, **common)
