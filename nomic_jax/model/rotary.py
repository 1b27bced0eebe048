# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Rotary position embedding, with dynamic NTK scaling by length of text."""

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float
from jaxtyping import Float32
from jaxtyping import Int

from nomic_jax.model.architecture import Attention
from nomic_jax.model.architecture import Rope


def tables(
  rope: Rope,
  width: int,
  positions: Int[Array, "B S"],
  segment_ids: Int[Array, "B S"],
  ntk_length: str = "text",
) -> tuple[Float32[Array, "B S half"], Float32[Array, "B S half"]]:
  """Returns cosines and sines of the rotation angles of every token.

  With `rope.factor` = s, a text of L > L0 = `rope.trained_length` tokens uses
  the base b · (s·L/L0 − (s−1))^(r/(r−2)), where b is `rope.base` and r the
  number of rotated dimensions (dynamic NTK; Nomic Embed, section 3). L is the
  text's own length, so that an embedding does not depend on the texts beside
  it; contrastors uses the longest of the batch.

  Args:
    rope: what to compute.
    width: the width of a head, d.
    positions: int32 [B, S], from 0 in each text.
    segment_ids: int32 [B, S], the text of each token.
    ntk_length: "text", or "batch" for the rule of contrastors.

  Returns:
    cos, sin: float32 [B, S, d/2]; the angle of dimensions that are not rotated
    is 0.
  """
  r = _rotated(rope, width)
  base = jnp.float32(rope.base)
  if rope.factor:
    s, trained = rope.factor, rope.trained_length
    length = _text_lengths(segment_ids).astype(jnp.float32)
    if ntk_length == "batch":
      length = jnp.where(segment_ids > 0, length, 0).max(keepdims=True)
    stretch = jnp.maximum(s * length / trained - (s - 1), 1.0)
    base = base * stretch ** (r / (r - 2))
  exponent = -jnp.arange(0, r, 2, dtype=jnp.float32) / r
  frequency = base[..., None] ** exponent
  angle = positions[..., None].astype(jnp.float32) * frequency
  angle = jnp.pad(angle, ((0, 0), (0, 0), (0, (width - r) // 2)))
  return jnp.cos(angle), jnp.sin(angle)


def _rotated(rope: Rope, width: int) -> int:
  """Returns the number of dimensions of a head that are rotated."""
  return int(width * rope.fraction)


def pairs_apart(
  attention: Attention, qkv: Float[Array, "B S columns"]
) -> Float[Array, "B S columns"]:
  """Reorders each head of q and k so that pairs are (i, i + d/2).

  Kernels rotate such pairs. For a model with other pairs (interleaved, or a
  rotated fraction) the result is the same, since scores are sums over a head's
  dimensions in any order.

  Args:
    attention: its `rope` determines the pairs.
    qkv: [B, S, (H + 2 K) d] of H query heads and K heads of keys and values.
  """
  a, rope = attention, attention.rope
  if rope is None:
    return qkv
  d, r = a.width, _rotated(rope, a.width)
  rotated, others = list(range(r)), list(range(r, d))
  if rope.interleaved:
    rotated = rotated[0::2] + rotated[1::2]
  half = len(others) // 2
  order = rotated[: r // 2] + others[:half] + rotated[r // 2 :] + others[half:]
  if order == sorted(order):
    return qkv
  both, v = jnp.split(qkv, [(a.heads + a.kv_heads) * d], axis=-1)
  heads = both.reshape(*both.shape[:2], -1, d)[..., jnp.array(order)]
  return jnp.concatenate([heads.reshape(both.shape), v], axis=-1)


def _text_lengths(segment_ids: Array) -> Array:
  """Returns the length of each token's text, [B, S]."""
  size = segment_ids.shape[1] + 1
  count = lambda row: jnp.zeros(size, jnp.int32).at[row].add(1)[row]
  return jax.vmap(count)(segment_ids)
