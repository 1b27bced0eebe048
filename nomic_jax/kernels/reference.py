# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Plain JAX attention: the oracle of every kernel, and the CPU's path."""

from typing import Any

import jax
from jax import Array
import jax.numpy as jnp

from nomic_jax.kernels import blockwise

# Longer rows go block by block: at 8,192 tokens and 12 heads all scores
# together are 3 GB, and on a CPU 1,024 tokens at once take twice as long.
_LONG = 512


def prepare(options: Any, segment_ids: Array, angles: Any, dtype: Any) -> Any:
  """What all layers share: here just the arguments."""
  del options, dtype
  return segment_ids, angles


def attend(options: Any, qkv: Array, rows: Any, heads: int) -> Array:
  """See `nomic_jax.kernels.attention`.

  Holds [B, H, S, S] scores, of long rows a block of them. Scores and softmax
  are float32 whatever the inputs are.
  """
  segment_ids, angles = rows
  shape = (*segment_ids.shape, heads, -1)
  q, k, v = (part.reshape(shape) for part in jnp.split(qkv, 3, axis=-1))
  if angles is not None:
    q, k = rotate(q, *angles), rotate(k, *angles)
  if segment_ids.shape[1] > _LONG:
    q *= q.shape[-1] ** -0.5
    out = blockwise.attend(q, k, v, segment_ids, options.window)
  else:
    at = jnp.arange(segment_ids.shape[1])[None]
    seen = mask(segment_ids, segment_ids, at, at, options.window)
    out = softmax_attention(q, k, v, seen)
  out = jnp.where((segment_ids > 0)[:, :, None, None], out, 0)
  return out.reshape(*segment_ids.shape, -1)


def softmax_attention(q: Array, k: Array, v: Array, seen: Array) -> Array:
  """Of q [B, Q, H, d]; k and v [B, S, H, d]; seen bool [B, Q, S]."""
  # Heads before tokens, and the division last and of the few numbers: the way
  # that XLA's CPU backend computes quickest, by far.
  q, k, v = (x.swapaxes(1, 2) for x in (q, k, v))
  scores = jnp.einsum(
      "bhqd,bhkd->bhqk", q * q.shape[-1] ** -0.5, k,
      preferred_element_type=jnp.float32,
  )
  # A large negative number, not -inf: a padded query sees the other padding,
  # so that no row of the softmax is empty and no gradient is NaN.
  scores = jnp.where(seen[:, None], scores, -1e30)
  largest = jax.lax.stop_gradient(scores.max(-1, keepdims=True))
  weights = jnp.exp(scores - largest)
  out = jnp.einsum(
      "bhqk,bhkd->bhqd", weights.astype(v.dtype), v,
      preferred_element_type=jnp.float32,
  )
  out /= weights.sum(-1, keepdims=True)
  return out.astype(v.dtype).swapaxes(1, 2)


def mask(
    ids: Array, key_ids: Array, places: Array, key_places: Array,
    window: int | None,
) -> Array:
  """Which key a query sees, bool [B, Q, S]; padding sees its own.

  Args:
    ids: segments of the queries, int32 [B, Q].
    key_ids: of the keys, [B, S].
    places: of the queries in their row, [1, Q].
    key_places: of the keys, [1, S].
    window: how many places to either side are seen; None: all.
  """
  seen = ids[:, :, None] == key_ids[:, None]
  if window is not None:
    seen &= jnp.abs(places[:, :, None] - key_places[:, None]) <= window
  return seen


def rotate(x: Array, cos: Array, sin: Array) -> Array:
  """Turns the pairs (i, i + d/2) of x [B, S, H, d] by angles [B, S, d/2]."""
  cos, sin = (t[:, :, None].astype(x.dtype) for t in (cos, sin))
  a, b = jnp.split(x, 2, axis=-1)
  return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)
