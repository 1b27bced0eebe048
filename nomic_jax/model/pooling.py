# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Pools the hidden states of packed rows to one vector per text."""

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float
from jaxtyping import Int

from nomic_jax.errors import one_of

POOLINGS = ("mean", "cls", "last", "none")


def pool(
  name: str,
  hidden: Float[Array, "B S D"],
  segment_ids: Int[Array, "B S"],
  slots: int,
) -> Float[Array, "B slots_or_S D"]:
  """Pools each segment of each row.

  A NaN or infinity makes the vector of its segment NaN, and no other.

  Args:
    name: mean, cls (first token), last (last token) or none (every token's
      vector).
    hidden: float32 [B, S, D].
    segment_ids: int32 [B, S]; texts are 1..slots, each contiguous.
    slots: the maximum number of texts in a row.

  Returns:
    float32 [B, slots, D]; zeros where a row has no such segment. With pooling
    none [B, S, D], the vectors of tokens, with zeros at padding.
  """
  check_pooling(name)
  if name == "none":
    return jnp.where((segment_ids > 0)[:, :, None], hidden, 0)
  member = segment_ids[:, :, None] == jnp.arange(1, slots + 1)
  if name == "cls":
    before = jnp.pad(segment_ids, ((0, 0), (1, 0)))[:, :-1]
    member &= (segment_ids != before)[:, :, None]
  elif name == "last":
    after = jnp.pad(segment_ids, ((0, 0), (0, 1)))[:, 1:]
    member &= (segment_ids != after)[:, :, None]
  weight = member.astype(hidden.dtype)
  finite = jnp.isfinite(hidden)
  not_finite = (member & ~finite.all(-1)[:, :, None]).any(1)
  # The sum over tokens as a matmul: no scatter, and rows stay on their device.
  total = jnp.einsum(
    "bsk,bsd->bkd",
    weight,
    jnp.where(finite, hidden, 0),
    precision=jax.lax.Precision.HIGHEST,
  )
  total = jnp.where(not_finite[:, :, None], jnp.nan, total)
  return total / jnp.maximum(weight.sum(1), 1.0)[:, :, None]


def check_pooling(name: str) -> str:
  """Returns `name`, or raises UserError listing the poolings."""
  one_of(name, POOLINGS, f"pooling '{name}' is unknown")
  return name


def plain_layer_norm(
  x: Float[Array, "*rows D"], eps: float = 1e-5
) -> Float[Array, "*rows D"]:
  """Applies LayerNorm over the last axis, without scale and bias."""
  centred = x - x.mean(-1, keepdims=True)
  return centred * jax.lax.rsqrt((centred**2).mean(-1, keepdims=True) + eps)


def normalize(x: Float[Array, "*rows D"]) -> Float[Array, "*rows D"]:
  """Divides by the Euclidean norm; zero vectors stay zero."""
  square = (x**2).sum(-1, keepdims=True)
  return x * jax.lax.rsqrt(jnp.maximum(square, 1e-24))
