# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Attention of long rows in plain JAX, a block of keys after the other.

Online softmax after FlashAttention (arXiv 2205.14135), for what has no kernel
of its own, above all CPUs: a block's scores stay in the cache, and blocks in
which no text of the queries lies are not visited. Scores lie [queries, keys]
forward and [keys, queries] backward: nearly all products are then of rows with
columns as they lie in memory, the form that XLA's CPU backend multiplies fast.
"""

import functools
import math
from typing import Any

import jax
from jax import Array
from jax.ad_checkpoint import checkpoint_name
import jax.numpy as jnp

from nomic_jax.kernels import common

# Tokens of a block at most, of queries and of keys. Smaller ones skip more of
# rows of short texts; XLA shares the work of larger ones out over more cores.
_BLOCK = 512
# No score is larger than the longest query times the longest key. Below this no
# exp is out of float32's range, nor a sum of a million of them, and the search
# for the largest score, a fifth of the forward pass, is left out.
_SAFE = 70.0

_product = functools.partial(
    jnp.einsum, preferred_element_type=jnp.float32)


def attend(
    q: Array, k: Array, v: Array, segment_ids: Array, window: int | None
) -> Array:
  """Softmax attention within segments; a block's scores are [B, H, n, n].

  n is 512, or less where that divides a row with less to spare.

  Args:
    q, k, v: [B, S, H, d], queries and keys turned and q scaled.
    segment_ids: int32 [B, S].
    window: how many places to either side are seen; None: all.

  Returns:
    [B, S, H, d] in the dtype of v; anything finite where there is padding.
  """
  length = q.shape[1]
  size = math.ceil(length / math.ceil(length / _BLOCK) / 16) * 16
  q, k, v, ids = (common.padded(x, size) for x in (q, k, v, segment_ids))
  return _attend(window, size, q, k, v, ids)[:, :length]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _attend(
    window: int | None, size: int, q: Array, k: Array, v: Array, ids: Array
) -> Array:
  return _forward(window, size, q, k, v, ids)[0]


def _attend_fwd(window: int | None, size: int, *arrays: Array) -> tuple:
  # Named, so that rematerialisation may keep them: see model/encoder.py.
  out, lse = checkpoint_name(
      _forward(window, size, *arrays), "attention")
  return out, (*arrays, out, lse)


def _forward(
    window: int | None, size: int, q: Array, k: Array, v: Array, ids: Array
) -> tuple[Array, Array]:
  """Output [B, S, H, d] and each query's log of summed exp, [S/n, B, H, n]."""
  longest = lambda x: jnp.linalg.norm(x.astype(jnp.float32), axis=-1).max()
  safe = longest(q) * longest(k) < _SAFE
  sweep = functools.partial(_sweep, window, size)
  return jax.lax.cond(
      safe, functools.partial(sweep, False), functools.partial(sweep, True),
      q, k, v, ids)


def _sweep(
    window: int | None, size: int, online: bool,
    q: Array, k: Array, v: Array, ids: Array,
) -> tuple[Array, Array]:
  """`_forward`; `online` subtracts the largest score so far from all."""
  keys, values = _turned(_blocks(k, size)), _blocks(v, size)
  scores = _scores(window, size, ids)

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
    top, total, out = jax.lax.fori_loop(
        first, after, step, (top, total, out))
    total = jnp.maximum(total, 1e-37)  # padding alone: no block was visited
    return (out / total).astype(v.dtype), (top + jnp.log(total))[..., 0]

  out, lse = jax.lax.map(block, (*_visits(ids, size, window), _blocks(q, size)))
  return _rows(out), lse


def _attend_bwd(
    window: int | None, size: int, saved: tuple, gradient: Array
) -> tuple:
  q, k, v, ids, out, lse = saved
  dtype = q.dtype
  keys, values = _blocks(k, size), _blocks(v, size)
  turned_keys = _turned(keys)
  scores = _scores(window, size, ids)

  def block(carry, of_block):
    at, first, after, q, lse, out, do = of_block
    turned, turned_do, lse = _turned(q), _turned(do), lse[:, :, None]
    through = (do.astype(jnp.float32) * out).sum(-1)[:, :, None]

    def step(j, carry):
      dq, dk, dv = carry
      weights = jnp.exp(scores(j, at, keys[j], turned) - lse)
      dv = dv.at[j].add(
          _product("bhkq,bhqd->bhkd", weights.astype(dtype), do))
      ds = _product("bhkd,bhdq->bhkq", values[j], turned_do)
      ds = (weights * (ds - through)).astype(dtype)
      dk = dk.at[j].add(_product("bhkq,bhqd->bhkd", ds, q))
      return dq + _product("bhdk,bhkq->bhdq", turned_keys[j], ds), dk, dv

    start = jnp.zeros(turned.shape, jnp.float32), *carry
    dq, *carry = jax.lax.fori_loop(first, after, step, start)
    return tuple(carry), dq.astype(dtype)

  zeros = jnp.zeros(keys.shape, jnp.float32)
  blocks = (
      *_visits(ids, size, window), _blocks(q, size), lse, _blocks(out, size),
      _blocks(gradient, size))
  (dk, dv), dq = jax.lax.scan(block, (zeros, zeros), blocks)
  return (
      _rows(_turned(dq)), _rows(dk.astype(dtype)), _rows(dv.astype(dtype)),
      common.no_gradient(ids))


_attend.defvjp(_attend_fwd, _attend_bwd)


def _scores(window: int | None, size: int, ids: Array) -> Any:
  """A function to the scores of blocks i and j, float32 [B, H, n, n].

  It takes i, j, block i [B, H, n, d] and block j, turned, [B, H, d, n].
  """
  ids = jnp.moveaxis(ids.reshape(ids.shape[0], -1, size), 1, 0)
  places = jnp.arange(size)

  def scores(i, j, of_i, of_j):
    seen = ids[i][:, :, None] == ids[j][:, None]
    if window is not None:
      apart = (i - j) * size + places[:, None] - places
      seen &= jnp.abs(apart) <= window
    s = _product("bhid,bhdj->bhij", of_i, of_j)
    return jnp.where(seen[:, None], s, common.LOWEST)

  return scores


def _visits(
    ids: Array, size: int, window: int | None
) -> tuple[Array, Array, Array]:
  """Each block of queries, the first of its keys and one after the last."""
  first, after = common.ranges(ids, size, size, window).swapaxes(0, 1)
  count = first.shape[1]
  # All rows at once go from the first of any of them to the last of any.
  first = jnp.where(after > 0, first, count).min(0)
  return jnp.arange(count), first, after.max(0)


def _blocks(x: Array, size: int) -> Array:
  """[B, S, H, d] to [S / n, B, H, n, d]."""
  x = x.reshape(x.shape[0], -1, size, *x.shape[2:])
  return x.transpose(1, 0, 3, 2, 4)


def _rows(x: Array) -> Array:
  """The way back from `_blocks`."""
  x = x.transpose(1, 0, 3, 2, 4)
  return x.reshape(x.shape[0], -1, *x.shape[3:])


def _turned(x: Array) -> Array:
  """Rows as columns."""
  return x.swapaxes(-1, -2)
