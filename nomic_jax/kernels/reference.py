# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Attention in plain JAX: the oracle for every kernel, and the CPU path."""

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Bool
from jaxtyping import Float
from jaxtyping import Float32
from jaxtyping import Int
import numpy as np

from nomic_jax.kernels import blockwise
from nomic_jax.kernels import common
from nomic_jax.kernels import relative
from nomic_jax.kernels.layout import Angles
from nomic_jax.kernels.layout import Call
from nomic_jax.kernels.layout import Reach

# Longer rows are computed in blocks: all scores of 8,192 tokens and 12 heads
# take 3 GB, and on a CPU 1,024 tokens at once take twice as long.
_LONG = 512

Rows = tuple[Int[Array, "B S"], Angles | None, Float[Array, "..."] | None]


def lacks(call: Call, length: int, dtype: np.dtype | None) -> str:
  """Returns ""; see `nomic_jax.kernels.attention`."""
  del call, length, dtype
  return ""


def prepare(
  call: Call,
  segment_ids: Int[Array, "B S"],
  angles: Angles | None,
  dtype: np.dtype,
  bias: Float[Array, "..."] | None = None,
) -> Rows:
  """Returns the arguments that all layers share."""
  del call, dtype
  length = segment_ids.shape[1]
  if bias is not None and length <= _LONG:
    bias = relative.square(bias, length)  # once for all layers
  return segment_ids, angles, bias


def attend(
  call: Call, qkv: Float[Array, "B S columns"], rows: Rows
) -> Float[Array, "B S out"]:
  """Computes attention; see `nomic_jax.kernels.attention`.

  Holds [B, H, S, S] scores, or a block of them for long rows. Scores and
  softmax are float32 for any input dtype.
  """
  segment_ids, angles, bias = rows
  q, k, v = call.layout.split(qkv)
  if angles is not None:
    q, k = rotate(q, *angles), rotate(k, *angles)
  if segment_ids.shape[1] <= _LONG:
    out = softmax_attention(q, k, v, mask(segment_ids, call.reach), bias)
  elif bias is None:
    q *= q.shape[-1] ** -0.5
    out = blockwise.attend(q, k, v, segment_ids, call.reach)
  else:
    out = _by_queries(q, k, v, segment_ids, call.reach, bias)
  out = jnp.where((segment_ids > 0)[:, :, None, None], out, 0)
  return out.reshape(*segment_ids.shape, -1)


def _by_queries(
  q: Array, k: Array, v: Array, ids: Array, reach: Reach, bias: Array
) -> Array:
  """Computes `softmax_attention` one block of queries at a time.

  It is for rows longer than any text of a model with a relative bias, such as
  packed ones; it skips no block of keys.
  """
  length = q.shape[1]
  places = jnp.arange(length)
  q, own, at = (
    common.padded(x, _LONG).reshape(x.shape[0], -1, _LONG, *x.shape[2:])
    for x in (q, ids, places[None])
  )

  @jax.checkpoint
  def block(of_block):
    q, own, at = of_block
    seen = (own[:, :, None] == ids[:, None]) & reach.sees(at[:, None], places)
    part = relative.part(bias, at[0], _LONG, length)
    return softmax_attention(q, k, v, seen, part)

  q, own = q.swapaxes(0, 1), own.swapaxes(0, 1)
  out = jax.lax.map(block, (q, own, at[0])).swapaxes(0, 1)
  return out.reshape(out.shape[0], -1, *out.shape[3:])[:, :length]


def softmax_attention(
  q: Float[Array, "B Q H d"],
  k: Float[Array, "B S K d"],
  v: Float[Array, "B S K d"],
  seen: Bool[Array, "B Q S"],
  bias: Float32[Array, "..."] | None = None,
) -> Float[Array, "B Q H d"]:
  """Computes attention of q over k and v.

  Args:
    q: queries.
    k: keys.
    v: values.
    seen: whether a query sees a key.
    bias: to add to the scores; None for no bias.
  """
  # Heads before tokens, and the division last, on few numbers: by far the
  # fastest form on XLA's CPU backend. The queries of heads that share keys are
  # concatenated as if they were more tokens.
  batch, length, heads, d = q.shape
  shared = (batch, k.shape[2], -1, d)
  q, k, v = (x.swapaxes(1, 2) for x in (q, k, v))
  q = q.reshape(shared)
  seen = jnp.tile(seen, (1, heads // k.shape[1], 1))
  scores = jnp.einsum(
    "bhqd,bhkd->bhqk",
    q * q.shape[-1] ** -0.5,
    k,
    preferred_element_type=jnp.float32,
  )
  if bias is not None:
    scores += bias.reshape(k.shape[1], -1, bias.shape[-1])
  # A large negative number, not -inf: a padded query sees other padding, so no
  # row of the softmax is empty and no gradient is NaN.
  scores = jnp.where(seen[:, None], scores, -1e30)
  largest = jax.lax.stop_gradient(scores.max(-1, keepdims=True))
  weights = jnp.exp(scores - largest)
  out = jnp.einsum(
    "bhqk,bhkd->bhqd",
    weights.astype(v.dtype),
    v,
    preferred_element_type=jnp.float32,
  )
  out /= weights.sum(-1, keepdims=True)
  out = out.astype(v.dtype).reshape(batch, heads, length, d)
  return out.swapaxes(1, 2)


def mask(ids: Int[Array, "B S"], reach: Reach) -> Bool[Array, "B S S"]:
  """Returns which keys a query sees, bool [B, S, S]; padding sees padding.

  Args:
    ids: segment ids, int32 [B, S].
    reach: which keys a query sees within its segment.
  """
  at = jnp.arange(ids.shape[1])
  return (ids[:, :, None] == ids[:, None]) & reach.sees(at[:, None], at)


def rotate(
  x: Float[Array, "B S heads d"],
  cos: Float[Array, "B S half"],
  sin: Float[Array, "B S half"],
) -> Float[Array, "B S heads d"]:
  """Rotates the pairs (i, i + d/2) of x [B, S, H, d] by [B, S, d/2]."""
  cos, sin = (t[:, :, None].astype(x.dtype) for t in (cos, sin))
  a, b = jnp.split(x, 2, axis=-1)
  return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)
