# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Pools the hidden states of packed rows to one vector per text."""

from collections.abc import Callable

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float
from jaxtyping import Int

from nomic_jax.errors import one_of


def _first(ids: Array, member: Array) -> Array:
  before = jnp.pad(ids, ((0, 0), (1, 0)))[:, :-1]
  return member & (ids != before)[:, :, None]


def _last(ids: Array, member: Array) -> Array:
  after = jnp.pad(ids, ((0, 0), (0, 1)))[:, 1:]
  return member & (ids != after)[:, :, None]


# Name -> the weight of each token in the mean that is the vector of its text,
# [B, S, slots], given segment_ids [B, S] and whether a token is a member of
# each slot, bool [B, S, slots]. It must be 0 outside of the text.
_WEIGHTS: dict[str, Callable[[Array, Array], Array]] = {
  "mean": lambda ids, member: member,
  "cls": _first,
  "last": _last,
  # By position from 1, as causal models are pooled (SGPT, Muennighoff 2022).
  "weighted": lambda ids, member: jnp.cumsum(member, 1) * member,
}
POOLINGS = (*_WEIGHTS, "none")


def pool(
  name: str,
  hidden: Float[Array, "B S D"],
  segment_ids: Int[Array, "B S"],
  slots: int,
) -> Float[Array, "B slots_or_S D"]:
  """Pools each segment of each row.

  A NaN or infinity makes the vector of its segment NaN, and no other.

  Args:
    name: mean, cls (first token), last (last token), weighted (mean weighted
      by position) or none (every token's vector).
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
  weight = _WEIGHTS[name](segment_ids, member).astype(hidden.dtype)
  finite = jnp.isfinite(hidden)
  not_finite = ((weight != 0) & ~finite.all(-1)[:, :, None]).any(1)
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
