# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Rotary position embedding, with dynamic NTK by each text's own length."""

from jax import Array
import jax
import jax.numpy as jnp

from nomic_jax.model.config import EncoderConfig


def tables(
    config: EncoderConfig, positions: Array, segment_ids: Array,
    ntk_length: str = "text",
) -> tuple[Array, Array]:
  """Cosines and sines of every token's rotation angles.

  With `config.rotary_factor` = s, a text of L > L0 = `config.trained_length`
  tokens uses base · (s·L/L0 − (s−1))^(r/(r−2)), r being the rotated
  dimensions (dynamic NTK; Nomic Embed, section 3). L is the text's own
  length, so that its embedding does not depend on its neighbours; the
  reference takes the longest of the batch.

  Args:
    config: the encoder.
    positions: int32 [B, S], from 0 in each text.
    segment_ids: int32 [B, S], which text a token is of.
    ntk_length: "text", or "batch" for the reference's rule.

  Returns:
    cos, sin: float32 [B, S, d/2]; dimensions that do not rotate turn by 0.
  """
  r = rotated(config)
  base = jnp.float32(config.rotary_base)
  if config.rotary_factor:
    s, trained = config.rotary_factor, config.trained_length
    length = _text_lengths(segment_ids).astype(jnp.float32)
    if ntk_length == "batch":
      length = jnp.where(segment_ids > 0, length, 0).max(keepdims=True)
    stretch = jnp.maximum(s * length / trained - (s - 1), 1.0)
    base = base * stretch ** (r / (r - 2))
  exponent = -jnp.arange(0, r, 2, dtype=jnp.float32) / r
  frequency = base[..., None] ** exponent
  angle = positions[..., None].astype(jnp.float32) * frequency
  still = (config.head_width - r) // 2
  angle = jnp.pad(angle, ((0, 0), (0, 0), (0, still)))
  return jnp.cos(angle), jnp.sin(angle)


def rotated(config: EncoderConfig) -> int:
  """How many dimensions of a head rotate."""
  return int(config.head_width * config.rotary_fraction)


def pairs_apart(config: EncoderConfig, qkv: Array) -> Array:
  """Orders each head of q and k so that pairs are (i, i + d/2).

  That is what kernels turn. A model whose pairs lie otherwise (interleaved,
  or a rotated fraction) is as good after it: scores are sums over a head's
  dimensions, in whatever order.

  Args:
    config: the encoder.
    qkv: [B, S, 3 H d].
  """
  d, r = config.head_width, rotated(config)
  turned, kept = list(range(r)), list(range(r, d))
  if config.rotary_interleaved:
    turned = turned[0::2] + turned[1::2]
  half = len(kept) // 2
  order = turned[:r // 2] + kept[:half] + turned[r // 2:] + kept[half:]
  if order == sorted(order):
    return qkv
  q, k, v = jnp.split(qkv, 3, axis=-1)
  heads = (*qkv.shape[:2], config.heads, d)
  q, k = (
      x.reshape(heads)[..., jnp.array(order)].reshape(x.shape) for x in (q, k)
  )
  return jnp.concatenate([q, k, v], axis=-1)


def _text_lengths(segment_ids: Array) -> Array:
  """Number of tokens of the text each token belongs to, [B, S]."""
  size = segment_ids.shape[1] + 1
  count = lambda row: jnp.zeros(size, jnp.int32).at[row].add(1)[row]
  return jax.vmap(count)(segment_ids)
