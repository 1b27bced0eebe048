# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Attention of long rows in plain JAX, a block of keys after the other.

Online softmax after FlashAttention (arXiv 2205.14135), for what has no kernel
of its own, above all CPUs: a block's scores stay in the cache, and blocks in
which no text of the queries lies are not visited. Scores lie [queries, keys]
forward and [keys, queries] backward: nearly all products are then of rows with
columns as they lie in memory, the form that XLA's CPU backend multiplies fast.
"""

from collections.abc import Callable
import functools
import math

import jax
from jax import Array
from jax.ad_checkpoint import checkpoint_name
import jax.numpy as jnp

from nomic_jax.kernels import common
from nomic_jax.kernels.layout import Reach

# Tokens of a block at most, of queries and of keys. Smaller ones skip more of
# rows of short texts; XLA shares the work of larger ones out over more cores.
_BLOCK = 512
# No score is larger than the longest query times the longest key. Below this no
# exp is out of float32's range, nor a sum of a million of them, and the search
# for the largest score, a fifth of the forward pass, is left out.
_SAFE = 70.0

_product = functools.partial(jnp.einsum, preferred_element_type=jnp.float32)


def attend(
  q: Array, k: Array, v: Array, segment_ids: Array, reach: Reach
) -> Array:
  """Softmax attention within segments; a block's scores are [B, H, n, n].

  n is 512, or less where that divides a row with less to spare.

  Args:
    q: [B, S, H, d], rotated and scaled.
    k: [B, S, K, d], rotated.
    v: [B, S, K, d].
    segment_ids: int32 [B, S].
    reach: of a token.

  Returns:
    [B, S, H, d] in the dtype of v; anything finite where there is padding.
  """
  length = q.shape[1]
  size = math.ceil(length / math.ceil(length / _BLOCK) / 16) * 16
  q, k, v, ids = (common.padded(x, size) for x in (q, k, v, segment_ids))
  return _attend(reach, size, q, k, v, ids)[:, :length]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _attend(
  reach: Reach, size: int, q: Array, k: Array, v: Array, ids: Array
) -> Array:
  return _forward(reach, size, q, k, v, ids)[0]


def _attend_fwd(reach: Reach, size: int, *arrays: Array) -> tuple:
  # Named, so that rematerialisation may keep them: see model/encoder.py.
  out, lse = checkpoint_name(_forward(reach, size, *arrays), "attention")
  return out, (*arrays, out, lse)


def _forward(
  reach: Reach, size: int, q: Array, k: Array, v: Array, ids: Array
) -> tuple[Array, Array]:
  """Output [B, S, H, d], and each query's log-sum-exp [S/n, B, K, G n]."""
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
  """`_forward`; `online` subtracts the largest score so far from all."""
  keys, values = _turned(_blocks(k, size)), _blocks(v, size)
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
    total = jnp.maximum(total, 1e-37)  # padding alone: no block was visited
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
  turned_keys = _turned(keys)
  scores = _scores(reach, size, ids, group, turned=True)

  def block(carry, of_block):
    at, first, after, q, lse, out, do = of_block
    turned, turned_do, lse = _turned(q), _turned(do), lse[:, :, None]
    through = (do.astype(jnp.float32) * out).sum(-1)[:, :, None]

    def step(j, carry):
      dq, dk, dv = carry
      weights = jnp.exp(scores(at, j, keys[j], turned) - lse)
      dv = dv.at[j].add(_product("bhkq,bhqd->bhkd", weights.astype(dtype), do))
      ds = _product("bhkd,bhdq->bhkq", values[j], turned_do)
      ds = (weights * (ds - through)).astype(dtype)
      dk = dk.at[j].add(_product("bhkq,bhqd->bhkd", ds, q))
      return dq + _product("bhdk,bhkq->bhdq", turned_keys[j], ds), dk, dv

    start = jnp.zeros(turned.shape, jnp.float32), *carry
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
    _rows(_turned(dq), group),
    _rows(dk.astype(dtype)),
    _rows(dv.astype(dtype)),
    common.no_gradient(ids),
  )


_attend.defvjp(_attend_fwd, _attend_bwd)


def _scores(
  reach: Reach, size: int, ids: Array, group: int, turned: bool = False
) -> Callable[[Array, Array, Array, Array], Array]:
  """A function to the scores of a block of queries and one of keys.

  It takes their numbers, the queries [B, K, G n, d] and the keys
  [B, K, d, n], and returns float32 [B, K, G n, n]. If turned, it takes the
  keys [B, K, n, d] and then the queries [B, K, d, G n], and returns
  [B, K, n, G n].
  """
  ids = jnp.moveaxis(ids.reshape(ids.shape[0], -1, size), 1, 0)
  places = jnp.arange(size)

  def scores(query, key, a, b):
    seen = ids[query][:, :, None] == ids[key][:, None]
    seen &= reach.sees((query * size + places)[:, None], key * size + places)
    seen = jnp.tile(seen, (1, group, 1))
    seen = _turned(seen) if turned else seen
    s = _product("bhid,bhdj->bhij", a, b)
    return jnp.where(seen[:, None], s, common.LOWEST)

  return scores


def _visits(ids: Array, size: int, reach: Reach) -> tuple[Array, Array, Array]:
  """Each block of queries, the first of its keys and one after the last."""
  first, after = common.ranges(ids, size, size, reach).swapaxes(0, 1)
  count = first.shape[1]
  # All rows at once go from the first of any of them to the last of any.
  first = jnp.where(after > 0, first, count).min(0)
  return jnp.arange(count), first, after.max(0)


def _blocks(x: Array, size: int, group: int = 1) -> Array:
  """[B, S, G K, d] to [S / n, B, K, G n, d]: a group's heads lie one after
  the other, as if they were more tokens.
  """
  batch, length, heads, d = x.shape
  x = x.reshape(batch, -1, size, heads // group, group, d)
  return x.transpose(1, 0, 3, 4, 2, 5).reshape(
    length // size, batch, heads // group, -1, d
  )


def _rows(x: Array, group: int = 1) -> Array:
  """The way back from `_blocks`."""
  count, batch, heads, _, d = x.shape
  x = x.reshape(count, batch, heads, group, -1, d)
  return x.transpose(1, 0, 4, 2, 3, 5).reshape(batch, -1, heads * group, d)


def _turned(x: Array) -> Array:
  """Rows as columns."""
  return x.swapaxes(-1, -2)
