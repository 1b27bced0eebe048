# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""What the GPU kernels know about the rows, and how they read a block.

A head is held as two halves of its dimensions. Rotation is then arithmetic
between registers without data movement, and scores are the sum of two matrix
products, each half as deep.
"""

from typing import Any
from typing import NamedTuple

import jax
from jax import Array
from jax.experimental import pallas as pl
import jax.numpy as jnp
from jaxtyping import Bool
from jaxtyping import Float
from jaxtyping import Float32
from jaxtyping import Int
import numpy as np

from nomic_jax.kernels import common
from nomic_jax.kernels.layout import Angles
from nomic_jax.kernels.layout import Layout
from nomic_jax.kernels.layout import Reach

Halves = tuple[Float[Array, "n half"], Float[Array, "n half"]]


class Rows(NamedTuple):
  """Data of a batch of rows; S is rounded up to a multiple of the blocks."""

  ids: Array  # int32 [B, S]
  cos: Array | None  # [B, S, d/2]
  sin: Array | None  # [B, S, d/2]
  forward: Array  # int32 [B, 2, S/q]: see `common.ranges`
  keys: Array  # int32 [B, 2, S/own]: keys that own queries see, backward
  queries: Array  # int32 [B, 2, S/own]: queries that see own keys


def make(
  segment_ids: Int[Array, "B S"],
  angles: Angles | None,
  dtype: np.dtype,
  blocks: tuple[int, int, int, int],
  multiple: int,
  reach: Reach,
) -> Rows:
  """Makes the `Rows` of a batch.

  Args:
    segment_ids: int32 [B, S].
    angles: cos and sin, each [B, S, d/2], or None.
    dtype: the dtype of queries and keys.
    blocks: sizes for queries and keys forward, own and visited tokens backward.
    multiple: rows are padded to a multiple of this; the blocks divide it.
    reach: which keys a query sees.
  """
  ids = common.padded(segment_ids, multiple)
  cos, sin = (
    (None, None)
    if angles is None
    else (common.padded(a, multiple).astype(dtype) for a in angles)
  )
  queries, keys, own, visited = blocks
  return Rows(
    ids,
    cos,
    sin,
    common.ranges(ids, queries, keys, reach),
    common.ranges(ids, own, visited, reach),
    common.ranges(ids, own, visited, reach, of_keys=True),
  )


def specs(rows: Rows, *ranges: Array) -> tuple[list[Array], list[pl.BlockSpec]]:
  """Returns ranges, ids and angles as operands, whole rows, and their specs."""
  operands = [x for x in (*ranges, *rows[:3]) if x is not None]

  def whole(x):
    rest = (0,) * (x.ndim - 1)
    return pl.BlockSpec((None, *x.shape[1:]), lambda i, h, b: (b, *rest))

  return operands, [whole(x) for x in operands]


def heads(
  layout: Layout, length: int
) -> tuple[pl.BlockSpec, pl.BlockSpec, pl.BlockSpec]:
  """Returns specs of rows of q, k and v in [B, S, H + 2 K, d].

  A program, which has one key and value head, sees all query heads that share
  it: [S, H / K, d] for q, [S, 1, d] for k and v.
  """
  whole = lambda count, first: pl.BlockSpec(
    (None, length, count, layout.width), lambda i, h, b: (b, 0, first + h, 0)
  )
  keys = layout.heads
  return (
    whole(layout.group, 0),
    whole(1, keys),
    whole(1, keys + layout.kv_heads),
  )


def halves(ref: Any, head: Any, at: Any, angles: Any) -> Halves:
  """Returns a block of queries or keys, rotated, as two float32 halves.

  Args:
    ref: [S, heads, d].
    head: index of the head.
    at: slice of tokens.
    angles: references to cos and sin [S, d/2], or empty.
  """
  half = ref.shape[-1] // 2
  a, b = (
    ref[at, head, pl.ds(start, half)].astype(jnp.float32) for start in (0, half)
  )
  if not angles:
    return a, b
  cos, sin = (t[at, :].astype(jnp.float32) for t in angles)
  return rotate(a, b, cos, sin)


def rotate(
  a: Float[Array, "n half"],
  b: Float[Array, "n half"],
  cos: Float[Array, "n half"] | None,
  sin: Float[Array, "n half"] | None,
) -> Halves:
  """Rotates by the angles; -sin inverts it; None does nothing."""
  if cos is None or sin is None:
    return a, b
  return a * cos - b * sin, b * cos + a * sin


def scores(
  dtype: jnp.dtype,
  a: tuple[Float[Array, "n half"], Float[Array, "n half"]],
  b: tuple[Float[Array, "m half"], Float[Array, "m half"]],
) -> Float32[Array, "n m"]:
  """Returns the products of all pairs of tokens, float32 [n, m]."""
  first, second = (
    common.matmul(dtype, x.astype(dtype), y.astype(dtype), ((1,), (1,)))
    for x, y in zip(a, b)
  )
  return first + second


def seen(
  own_ids: Int[Array, " n"],
  other_ids: Int[Array, " m"],
  own: int | Array,
  other: int | Array,
  reach: Reach,
  *,
  of_keys: bool = False,
) -> Bool[Array, "n m"]:
  """Returns which queries see which keys, bool [n, m].

  Args:
    own_ids: int32 [n].
    other_ids: int32 [m].
    own: position in the row of the first of the n tokens.
    other: position of the first of the m tokens.
    reach: which keys a query sees.
    of_keys: whether the n tokens are keys and the m tokens are queries.
  """
  together = own_ids[:, None] == other_ids[None, :]
  if not reach.limited:
    return together
  a, b = (
    start + jax.lax.broadcasted_iota(jnp.int32, together.shape, axis)
    for axis, start in enumerate((own, other))
  )
  return together & (reach.sees(b, a) if of_keys else reach.sees(a, b))
