# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Rotary position embedding, with dynamic NTK by each text's own length."""

import jax
from jax import Array
import jax.numpy as jnp

from nomic_jax.model.architecture import Attention
from nomic_jax.model.architecture import Rope


def tables(
  rope: Rope,
  width: int,
  positions: Array,
  segment_ids: Array,
  ntk_length: str = "text",
) -> tuple[Array, Array]:
  """Cosines and sines of every token's rotation angles.

  With `rope.factor` = s, a text of L > L0 = `rope.trained_length` tokens uses
  base · (s·L/L0 − (s−1))^(r/(r−2)), r being the rotated dimensions (dynamic
  NTK; Nomic Embed, section 3). L is the text's own length, so that its
  embedding does not depend on its neighbours; the reference takes the longest
  of the batch.

  Args:
    rope: what to compute.
    width: of a head, d.
    positions: int32 [B, S], from 0 in each text.
    segment_ids: int32 [B, S], which text a token is of.
    ntk_length: "text", or "batch" for the reference's rule.

  Returns:
    cos, sin: float32 [B, S, d/2]; dimensions that are not rotated turn by 0.
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
  """How many dimensions of a head are rotated."""
  return int(width * rope.fraction)


def pairs_apart(attention: Attention, qkv: Array) -> Array:
  """Orders each head of q and k so that pairs are (i, i + d/2).

  That is what kernels rotate. A model whose pairs lie otherwise (interleaved,
  or a rotated fraction) computes the same after it: scores are sums over a
  head's dimensions, in whatever order.

  Args:
    attention: whose `rope` says which pairs there are.
    qkv: [B, S, (H + 2 K) d] of H query heads and K heads of keys and values.
  """
  a = attention
  d, r = a.width, _rotated(a.rope, a.width)
  turned, kept = list(range(r)), list(range(r, d))
  if a.rope.interleaved:
    turned = turned[0::2] + turned[1::2]
  half = len(kept) // 2
  order = turned[: r // 2] + kept[:half] + turned[r // 2 :] + kept[half:]
  if order == sorted(order):
    return qkv
  both, v = jnp.split(qkv, [(a.heads + a.kv_heads) * d], axis=-1)
  heads = both.reshape(*both.shape[:2], -1, d)[..., jnp.array(order)]
  return jnp.concatenate([heads.reshape(both.shape), v], axis=-1)


def _text_lengths(segment_ids: Array) -> Array:
  """Number of tokens of the text each token belongs to, [B, S]."""
  size = segment_ids.shape[1] + 1
  count = lambda row: jnp.zeros(size, jnp.int32).at[row].add(1)[row]
  return jax.vmap(count)(segment_ids)
