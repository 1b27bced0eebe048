# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Plain JAX attention: the oracle of every kernel, and the CPU's path."""

from typing import Any

import jax
from jax import Array
import jax.numpy as jnp


def prepare(options: Any, segment_ids: Array, angles: Any, dtype: Any) -> Any:
  """What all layers share: here just the arguments."""
  del options, dtype
  return segment_ids, angles


def attend(options: Any, qkv: Array, rows: Any, heads: int) -> Array:
  """See `nomic_jax.kernels.attention`. Holds [B, H, S, S] scores.

  Scores and softmax are float32 whatever the inputs are.
  """
  segment_ids, angles = rows
  shape = (*segment_ids.shape, heads, -1)
  q, k, v = (part.reshape(shape) for part in jnp.split(qkv, 3, axis=-1))
  if angles is not None:
    q, k = rotate(q, *angles), rotate(k, *angles)
  out = softmax_attention(q, k, v, mask(segment_ids, options.window))
  out = jnp.where((segment_ids > 0)[:, :, None, None], out, 0)
  return out.reshape(*segment_ids.shape, -1)


def softmax_attention(q: Array, k: Array, v: Array, seen: Array) -> Array:
  """[B, S, H, d] each, and which key a query sees, bool [B, S, S]."""
  scale = q.shape[-1] ** -0.5
  scores = jnp.einsum(
      "bqhd,bkhd->bhqk", q * scale, k, preferred_element_type=jnp.float32
  )
  # A large negative number, not -inf: a padded query sees the other padding,
  # so that no row of the softmax is empty and no gradient is NaN.
  scores = jnp.where(seen[:, None], scores, -1e30)
  weights = jax.nn.softmax(scores, axis=-1).astype(v.dtype)
  return jnp.einsum("bhqk,bkhd->bqhd", weights, v)


def mask(segment_ids: Array, window: int | None) -> Array:
  """Which key a query sees, bool [B, queries S, keys S]; padding its own."""
  seen = segment_ids[:, :, None] == segment_ids[:, None, :]
  if window is not None:
    at = jnp.arange(segment_ids.shape[1])
    seen &= jnp.abs(at[:, None] - at) <= window
  return seen


def rotate(x: Array, cos: Array, sin: Array) -> Array:
  """Turns the pairs (i, i + d/2) of x [B, S, H, d] by angles [B, S, d/2]."""
  cos, sin = (t[:, :, None].astype(x.dtype) for t in (cos, sin))
  a, b = jnp.split(x, 2, axis=-1)
  return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)
