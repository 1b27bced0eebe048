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
    cos, sin: float32 [B, S, 1, r/2].
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
  return jnp.cos(angle)[:, :, None], jnp.sin(angle)[:, :, None]


def rotated(config: EncoderConfig) -> int:
  """How many dimensions of a head rotate."""
  return int(config.head_width * config.rotary_fraction)


def rotate(
    x: Array, cos: Array, sin: Array, interleaved: bool = False
) -> Array:
  """Rotates the first dimensions of x [B, S, H, d]; the rest pass through.

  Pairs are (i, i + r/2), or (2i, 2i + 1) when `interleaved`.
  """
  r = 2 * cos.shape[-1]
  turned, kept = x[..., :r], x[..., r:]
  if interleaved:
    a, b = turned[..., 0::2], turned[..., 1::2]
  else:
    a, b = jnp.split(turned, 2, axis=-1)
  cos, sin = cos.astype(x.dtype), sin.astype(x.dtype)
  a, b = a * cos - b * sin, b * cos + a * sin
  if interleaved:
    turned = jnp.stack([a, b], axis=-1).reshape(turned.shape)
  else:
    turned = jnp.concatenate([a, b], axis=-1)
  return jnp.concatenate([turned, kept], axis=-1) if kept.shape[-1] else turned


def _text_lengths(segment_ids: Array) -> Array:
  """Number of tokens of the text each token belongs to, [B, S]."""
  size = segment_ids.shape[1] + 1
  count = lambda row: jnp.zeros(size, jnp.int32).at[row].add(1)[row]
  return jax.vmap(count)(segment_ids)
