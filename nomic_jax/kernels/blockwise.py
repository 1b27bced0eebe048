# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Attention over long rows in plain JAX, one block of keys at a time.

This is online softmax as in FlashAttention (arXiv 2205.14135) for devices
without a kernel, above all CPUs: the scores of a block stay in the cache, and
blocks that share no text with the queries are skipped. Scores are [queries,
keys] forward and [keys, queries] backward, so nearly all matrix products
multiply rows by columns as they are stored, which XLA's CPU backend does
fastest.
"""

from collections.abc import Callable
import functools
import math
from typing import cast

import jax
from jax import Array
from jax.ad_checkpoint import checkpoint_name
import jax.numpy as jnp
from jaxtyping import Float
from jaxtyping import Int

from nomic_jax.kernels import common
from nomic_jax.kernels.layout import Reach

# The largest number of tokens in a block of queries or keys. Smaller blocks
# skip more of rows with short texts; larger ones use more cores.
_BLOCK = 512
# The smallest block of layers with a window, which otherwise have blocks as
# large as the window: a query then visits three windows of keys.
_LEAST = 64
# No score exceeds the norm of the longest query times that of the longest key.
# Below this bound exp stays in the range of float32, even summed a million
# times, so the maximum, a fifth of the forward pass, is not needed.
_SAFE = 70.0

_product = functools.partial(jnp.einsum, preferred_element_type=jnp.float32)


def attend(
  q: Float[Array, "B S H d"],
  k: Float[Array, "B S K d"],
  v: Float[Array, "B S K d"],
  segment_ids: Int[Array, "B S"],
  reach: Reach,
) -> Float[Array, "B S H d"]:
  """Computes softmax attention within segments.

  Scores are held for one block at a time, [B, H, n, n] with n at most 512, and
  less in layers with a window.

  Args:
    q: [B, S, H, d], rotated and scaled.
    k: [B, S, K, d], rotated.
    v: [B, S, K, d].
    segment_ids: int32 [B, S].
    reach: which keys a query sees.

  Returns:
    [B, S, H, d] in the dtype of v; arbitrary finite values at padding.
  """
  length, block = q.shape[1], _BLOCK
  if reach.widest is not None:
    block = min(block, max(reach.widest, _LEAST))
  size = math.ceil(length / math.ceil(length / block) / 16) * 16
  q, k, v, ids = (common.padded(x, size) for x in (q, k, v, segment_ids))
  out = cast(Array, _attend(reach, size, q, k, v, ids))
  return out[:, :length]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _attend(
  reach: Reach, size: int, q: Array, k: Array, v: Array, ids: Array
) -> Array:
  out, _ = _forward(reach, size, q, k, v, ids)
  return out


def _attend_fwd(reach: Reach, size: int, *arrays: Array) -> tuple:
  # Named so that rematerialisation can keep them: see model/encoder.py.
  out, lse = checkpoint_name(_forward(reach, size, *arrays), "attention")
  return out, (*arrays, out, lse)


def _forward(
  reach: Reach, size: int, q: Array, k: Array, v: Array, ids: Array
) -> tuple[Array, Array]:
  """Returns the output [B, S, H, d] and log-sum-exps [S/n, B, K, G n]."""
  longest = lambda x: jnp.linalg.norm(x.astype(jnp.float32), axis=-1).max()
  safe = longest(q) * longest(k) < _SAFE
  sweep = functools.partial(_sweep, reach, size)
  return jax.lax.cond(
    safe,
    functools.partial(sweep, False),
    functools.partial(sweep, True),
    q,
    k,
    v,
    ids,
  )


def _sweep(
  reach: Reach,
  size: int,
  online: bool,
  q: Array,
  k: Array,
  v: Array,
  ids: Array,
) -> tuple[Array, Array]:
  """Computes `_forward`; `online` subtracts the running maximum of scores."""
  keys, values = _transposed(_blocks(k, size)), _blocks(v, size)
  group = q.shape[2] // k.shape[2]
  scores = _scores(reach, size, ids, group)

  def block(of_block):
    at, first, after, queries = of_block

    def step(j, carry):
      top, total, out = carry
      s = scores(at, j, queries, keys[j])
      if online:
        before, top = top, jnp.maximum(top, s.max(-1, keepdims=True))
        s -= top
        shrink = jnp.exp(before - top)
        total, out = total * shrink, out * shrink
      weights = jnp.exp(s)
      out += _product("bhqk,bhkd->bhqd", weights.astype(v.dtype), values[j])
      return top, total + weights.sum(-1, keepdims=True), out

    out = jnp.zeros(queries.shape, jnp.float32)
    total = jnp.zeros_like(out[..., :1])
    top = jnp.full_like(total, common.LOWEST if online else 0)
    top, total, out = jax.lax.fori_loop(first, after, step, (top, total, out))
    total = jnp.maximum(total, 1e-37)  # only padding: no block was visited
    return (out / total).astype(v.dtype), (top + jnp.log(total))[..., 0]

  out, lse = jax.lax.map(
    block, (*_visits(ids, size, reach), _blocks(q, size, group))
  )
  return _rows(out, group), lse


def _attend_bwd(
  reach: Reach, size: int, saved: tuple, gradient: Array
) -> tuple:
  q, k, v, ids, out, lse = saved
  dtype, group = q.dtype, q.shape[2] // k.shape[2]
  keys, values = _blocks(k, size), _blocks(v, size)
  transposed_keys = _transposed(keys)
  scores = _scores(reach, size, ids, group, transposed=True)

  def block(carry, of_block):
    at, first, after, q, lse, out, do = of_block
    transposed, transposed_do, lse = (
      _transposed(q),
      _transposed(do),
      lse[:, :, None],
    )
    through = (do.astype(jnp.float32) * out).sum(-1)[:, :, None]

    def step(j, carry):
      dq, dk, dv = carry
      weights = jnp.exp(scores(at, j, keys[j], transposed) - lse)
      dv = dv.at[j].add(_product("bhkq,bhqd->bhkd", weights.astype(dtype), do))
      ds = _product("bhkd,bhdq->bhkq", values[j], transposed_do)
      ds = (weights * (ds - through)).astype(dtype)
      dk = dk.at[j].add(_product("bhkq,bhqd->bhkd", ds, q))
      return dq + _product("bhdk,bhkq->bhdq", transposed_keys[j], ds), dk, dv

    start = jnp.zeros(transposed.shape, jnp.float32), *carry
    dq, *carry = jax.lax.fori_loop(first, after, step, start)
    return tuple(carry), dq.astype(dtype)

  zeros = jnp.zeros(keys.shape, jnp.float32)
  blocks = (
    *_visits(ids, size, reach),
    _blocks(q, size, group),
    lse,
    *(_blocks(x, size, group) for x in (out, gradient)),
  )
  (dk, dv), dq = jax.lax.scan(block, (zeros, zeros), blocks)
  return (
    _rows(_transposed(dq), group),
    _rows(dk.astype(dtype)),
    _rows(dv.astype(dtype)),
    common.no_gradient(ids),
  )


_attend.defvjp(_attend_fwd, _attend_bwd)


def _scores(
  reach: Reach, size: int, ids: Array, group: int, transposed: bool = False
) -> Callable[[Array, Array, Array, Array], Array]:
  """Returns a function that computes the scores of two blocks, masked.

  It takes the indices of the blocks of queries and keys, the queries
  [B, K, G n, d] and the keys [B, K, d, n], and returns float32 [B, K, G n, n].
  If transposed, it takes the keys [B, K, n, d] and then the queries
  [B, K, d, G n], and returns [B, K, n, G n].
  """
  ids = jnp.moveaxis(ids.reshape(ids.shape[0], -1, size), 1, 0)
  offsets = jnp.arange(size)

  def scores(query, key, a, b):
    seen = ids[query][:, :, None] == ids[key][:, None]
    seen &= reach.sees((query * size + offsets)[:, None], key * size + offsets)
    seen = jnp.tile(seen, (1, group, 1))
    seen = _transposed(seen) if transposed else seen
    s = _product("bhid,bhdj->bhij", a, b)
    return jnp.where(seen[:, None], s, common.LOWEST)

  return scores


def _visits(ids: Array, size: int, reach: Reach) -> tuple[Array, Array, Array]:
  """Returns, for each block of queries: index, first and end block of keys."""
  first, after = common.ranges(ids, size, size, reach).swapaxes(0, 1)
  count = first.shape[1]
  # All rows together range from the first block of any to the last of any.
  first = jnp.where(after > 0, first, count).min(0)
  return jnp.arange(count), first, after.max(0)


def _blocks(x: Array, size: int, group: int = 1) -> Array:
  """Splits [B, S, G K, d] into blocks [S / n, B, K, G n, d].

  The heads of a group are concatenated as if they were more tokens.
  """
  batch, length, heads, d = x.shape
  x = x.reshape(batch, -1, size, heads // group, group, d)
  return x.transpose(1, 0, 3, 4, 2, 5).reshape(
    length // size, batch, heads // group, -1, d
  )


def _rows(x: Array, group: int = 1) -> Array:
  """Inverts `_blocks`."""
  count, batch, heads, _, d = x.shape
  x = x.reshape(count, batch, heads, group, -1, d)
  return x.transpose(1, 0, 4, 2, 3, 5).reshape(batch, -1, heads * group, d)


def _transposed(x: Array) -> Array:
  """Swaps the last two axes."""
  return x.swapaxes(-1, -2)
