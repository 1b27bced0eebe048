# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""What the TPU kernels know of the rows, and how they turn a block of them.

A kernel reads and writes blocks [tokens, L lanes], which hold two heads of 64,
one of 128 or one of 256, so that no operand is copied or transposed around it.
Within, a block lies transposed, [L, tokens]: the halves of a head are then rows
of their own, and rotating them takes products and sums alone. G blocks of
queries, one after the other, read the same block of keys and of values, if G
query heads share a head of them.
"""

from typing import Any
from typing import NamedTuple

import jax
from jax import Array
from jax.experimental import pallas as pl
import jax.numpy as jnp

from nomic_jax.kernels import common
from nomic_jax.kernels.layout import Layout
from nomic_jax.kernels.layout import Reach

LANES = 128
BITS = 16  # of a segment id
# Added to a score, in bits, for each bit in which two segment ids differ.
# Far below any score, and a power of two, so exact in bfloat16.
FAR = 2.0**14


class Rows(NamedTuple):
  """Of a batch of rows; S is rounded up to a multiple of 128.

  Segments become codes, 2 rows a bit: a query holds (b, 1 - b) and a key
  -FAR (1 - b, b), so that their product is 0 within a segment and at most
  -FAR across. A head of 64 leaves half of the matrix unit's depth idle; the
  codes lie there, and the mask costs nothing.
  """

  table: Array  # [B, 2 BITS (+ d), S]: a query's codes; cos, sin if turned
  forward: Array  # int32 [B, 2, S/q]: first, after last key block of a query's
  backward: Array  # int32 [B, 2, S/k]: the same of query blocks of a key's


def make(
  segment_ids: Array,
  angles: tuple[Array, Array] | None,
  dtype: Any,
  blocks: tuple[int, int, int, int],
  reach: Reach,
) -> Rows:
  """See `Rows`.

  Args:
    segment_ids: int32 [B, S], below 2^16.
    angles: cos and sin, [B, S, d/2], or None.
    dtype: of queries and keys.
    blocks: of queries and keys forward, of queries and keys backward.
    reach: of a token.
  """
  ids = common.padded(segment_ids, LANES)
  bits = (ids[:, None] >> jnp.arange(BITS)[:, None]) & 1
  turned = [
    common.padded(a, LANES).swapaxes(1, 2).astype(dtype) for a in angles or ()
  ]
  table = jnp.concatenate(
    [bits.astype(dtype), (1 - bits).astype(dtype), *turned], axis=1
  )
  q, k, back_q, back_k = blocks
  # One array for all layers, not made anew in each.
  return jax.lax.optimization_barrier(
    Rows(
      table,
      common.ranges(ids, q, k, reach),
      common.ranges(ids, back_k, back_q, reach, of_keys=True),
    )
  )


def spec(rows: Rows) -> pl.BlockSpec:
  """Of the table as an operand that stays for all heads of a row.

  Held once and not twice, since VMEM is short for long rows: the next row's
  is waited for, once for all its heads.
  """
  return pl.BlockSpec(
    (1, *rows.table.shape[1:]),
    lambda b, *_: (b, 0, 0),
    pipeline_mode=pl.Buffered(1),
  )


def lanes(width: int) -> int:
  """L, of a block of heads of that width."""
  return max(width, LANES)


def coded(width: int) -> int:
  """Rows of a head and the codes beside it."""
  return width + min(width, LANES)


def shared(x: Array, block: Any, layout: Layout) -> Array:
  """A block of keys or values, each query head's in its place: [L, n].

  Args:
    x: [L, n], of which G blocks of queries read.
    block: number of the block of queries.
    layout: of the heads.
  """
  d, group = layout.width, layout.group
  if group == 1 or d >= LANES:
    return x
  first = 2 * jax.lax.rem(block, group)
  return jnp.concatenate(
    [jnp.where(first + h >= group, x[d:], x[:d]) for h in range(2)]
  )


def prefetched(ranges: Array) -> Array:
  """Ranges as scalars: SMEM would pad each row of the batch to 1 KiB."""
  return ranges.swapaxes(1, 2).reshape(-1)


def visits(ranges: Any, row: Any, block: Any, count: int) -> tuple[Any, Any]:
  """First and after last block that a block of a row looks at."""
  at = 2 * (row * count + block)
  return ranges[at], ranges[at + 1]


def step(length: int) -> int:
  """Tokens that a kernel prepares at a time: so many hide their latencies."""
  return next(n for n in (512, 256, LANES) if length % n == 0)


def turn(x: Array, table: Array, width: int, back: bool = False) -> Array:
  """Turns the heads in a block by its tokens' angles, or back.

  Args:
    x: [L, n].
    table: [:, n], of `Rows`; without angles nothing is turned.
    width: of a head.
    back: whether by the negative angles.

  Returns:
    float32 [L, n].
  """
  x = x.astype(jnp.float32)
  if table.shape[0] == 2 * BITS:
    return x
  cos, sin = table[2 * BITS :].astype(jnp.float32).reshape(2, width // 2, -1)
  if back:
    sin = -sin
  halves = x.reshape(-1, 2, width // 2, x.shape[1])
  return jnp.concatenate(
    [half for a, b in halves for half in (a * cos - b * sin, b * cos + a * sin)]
  )


def query_codes(table: Array, width: int) -> Array:
  """The rows beside a head of queries, [64 or 128, n]; see `Rows`."""
  codes = table[: 2 * BITS]
  idle = jnp.zeros(
    (coded(width) - width - 2 * BITS, codes.shape[1]), codes.dtype
  )
  return jnp.concatenate([codes, idle])


def key_codes(table: Array, width: int) -> Array:
  """The rows beside a head of keys, [64 or 128, n]; see `Rows`."""
  codes = query_codes(table, width)
  # The idle rows meet a query's zeros.
  return (FAR * codes.astype(jnp.float32) - FAR).astype(codes.dtype)


def limited(scores: Array, key: Any, query: Any, reach: Reach) -> Array:
  """Scores [keys, queries] from those places on, without those out of reach."""
  if not reach.limited:
    return scores
  place = lambda axis: jax.lax.broadcasted_iota(jnp.int32, scores.shape, axis)
  return jnp.where(reach.sees(place(1) - place(0), key - query), scores, -FAR)


def head_of(shape: tuple[int, int], width: int) -> Array:
  """Which of a block's heads a lane is of."""
  # `//` would ask which chip this is, and there is none where one compiles
  # for another machine.
  return jax.lax.div(jax.lax.broadcasted_iota(jnp.int32, shape, 1), width)
