# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""What the TPU kernels know about the rows, and how they rotate a block.

A kernel reads and writes blocks [tokens, L lanes] that hold two heads of width
64, one of 128 or one of 256, so no operand is copied or transposed around it.
Inside, a block is transposed, [L, tokens]: the halves of a head are then
separate rows, and rotating them takes only products and sums. If G query heads
share a key and value head, G consecutive blocks of queries read the same block
of keys and values.
"""

from typing import NamedTuple

import jax
from jax import Array
from jax.experimental import pallas as pl
import jax.numpy as jnp
from jaxtyping import Int
import numpy as np

from nomic_jax.kernels import common
from nomic_jax.kernels.layout import Angles
from nomic_jax.kernels.layout import Layout
from nomic_jax.kernels.layout import Reach

LANES = 128
BITS = 16  # in a segment id
_SPAN = 1024  # tokens that a block of a layer with a window visits at once
# Subtracted from a score for each bit in which two segment ids differ. Far
# larger than any score, and a power of two, so exact in bfloat16.
FAR = 2.0**14


class Rows(NamedTuple):
  """Data of a batch of rows; S is rounded up to a multiple of 128.

  Segment ids become codes of two rows per bit: a query holds (b, 1 - b) and a
  key -FAR (1 - b, b), so that their product is 0 within a segment and at most
  -FAR across. A head of width 64 leaves half of the matrix unit's depth idle;
  the codes go there, so the mask costs nothing.
  """

  table: Array  # [B, 2 BITS (+ d), S]: query codes; cos and sin if rotated
  forward: Array  # int32 [B, 2, S/q]: first and end key block of each query's
  backward: Array  # int32 [B, 2, S/k]: first and end query block of each key's


def make(
  segment_ids: Int[Array, "B S"],
  angles: Angles | None,
  dtype: np.dtype,
  blocks: tuple[int, int, int, int],
  reach: Reach,
) -> Rows:
  """Makes the `Rows` of a batch.

  Args:
    segment_ids: int32 [B, S], below 2^16.
    angles: cos and sin, each [B, S, d/2], or None.
    dtype: the dtype of queries and keys.
    blocks: sizes for queries and keys forward, then backward.
    reach: which keys a query sees.
  """
  ids = common.padded(segment_ids, LANES)
  bits = (ids[:, None] >> jnp.arange(BITS)[:, None]) & 1
  rotations = [
    common.padded(a, LANES).swapaxes(1, 2).astype(dtype) for a in angles or ()
  ]
  table = jnp.concatenate(
    [bits.astype(dtype), (1 - bits).astype(dtype), *rotations], axis=1
  )
  q, k, back_q, back_k = blocks
  # One array for all layers, not recomputed in each.
  return jax.lax.optimization_barrier(
    Rows(
      table,
      common.ranges(ids, q, k, reach),
      common.ranges(ids, back_k, back_q, reach, of_keys=True),
    )
  )


def spec(rows: Rows) -> pl.BlockSpec:
  """Returns the spec of the table, an operand common to all heads of a row.

  It is not double-buffered, since long rows leave little VMEM. The next row's
  table is waited for once, for all heads.
  """
  return pl.BlockSpec(
    (1, *rows.table.shape[1:]),
    lambda b, *_: (b, 0, 0),
    pipeline_mode=pl.Buffered(1),
  )


def lanes(width: int) -> int:
  """Returns L, the lanes of a block of heads of that width."""
  return max(width, LANES)


def coded(width: int) -> int:
  """Returns the rows of a head and its codes."""
  return width + min(width, LANES)


def shared(x: Array, block: int | Array, layout: Layout) -> Array:
  """Returns keys or values arranged for the query heads that read them, [L, n].

  Args:
    x: [L, n], which G blocks of queries read.
    block: index of the block of queries.
    layout: the layout of the heads.
  """
  d, group = layout.width, layout.group
  if group == 1 or d >= LANES:
    return x
  first = 2 * jax.lax.rem(block, group)
  return jnp.concatenate(
    [jnp.where(first + h >= group, x[d:], x[:d]) for h in range(2)]
  )


def prefetched(ranges: Array) -> Array:
  """Returns ranges as scalars; SMEM would pad each row to 1 KiB."""
  return ranges.swapaxes(1, 2).reshape(-1)


def visits(
  ranges: Array, row: int | Array, block: int | Array, count: int
) -> tuple[Array, Array]:
  """Returns the first and end block that a block of a row visits."""
  at = 2 * (row * count + block)
  return ranges[at], ranges[at + 1]


def step(length: int) -> int:
  """Returns how many tokens a kernel prepares at a time, to hide latency."""
  return next(n for n in (512, 256, LANES) if length % n == 0)


def rotate(x: Array, table: Array, width: int, back: bool = False) -> Array:
  """Rotates the heads in a block by the angles of its tokens, or back.

  Args:
    x: [L, n].
    table: [:, n], of `Rows`; without angles nothing is rotated.
    width: the width of a head.
    back: whether to use the negative angles.

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
  """Returns the code rows of a head of queries, [64 or 128, n]; see `Rows`."""
  codes = table[: 2 * BITS]
  idle = jnp.zeros(
    (coded(width) - width - 2 * BITS, codes.shape[1]), codes.dtype
  )
  return jnp.concatenate([codes, idle])


def key_codes(table: Array, width: int) -> Array:
  """Returns the code rows of a head of keys, [64 or 128, n]; see `Rows`."""
  codes = query_codes(table, width)
  # The idle rows are multiplied by zeros in the query.
  return (FAR * codes.astype(jnp.float32) - FAR).astype(codes.dtype)


def limited(
  scores: Array, key: int | Array, query: int | Array, reach: Reach
) -> Array:
  """Masks scores [keys, queries] that start at these positions by `reach`."""
  if not reach.limited:
    return scores
  offset = lambda axis: jax.lax.broadcasted_iota(jnp.int32, scores.shape, axis)
  return jnp.where(reach.sees(offset(1) - offset(0), key - query), scores, -FAR)


def span(reach: Reach, block: int, length: int) -> int | None:
  """Returns how many tokens the tokens of a block see, in whole lanes.

  None if they see their whole text, or more than `_SPAN` tokens. Otherwise a
  kernel visits these tokens at once, wherever they begin, without a loop over
  aligned blocks.
  """
  if reach.back is None or reach.ahead is None:
    return None
  seen = sum(-(-n // LANES) * LANES for n in (reach.back, reach.ahead))
  size = min(block + seen, length)
  return size if size <= _SPAN else None


def first(
  reach: Reach, start: int | Array, size: int, length: int
) -> int | Array:
  """Returns the first of the `size` tokens that a block at `start` sees."""
  assert reach.back is not None, "see span"
  before = -(-reach.back // LANES) * LANES
  at = jnp.clip(start - before, 0, length - size)
  return pl.multiple_of(at, LANES)


def head_of(shape: tuple[int, int], width: int) -> Array:
  """Returns the index of the head that each lane belongs to."""
  # `//` would query the local chip, which does not exist when compiling for
  # another machine.
  return jax.lax.div(jax.lax.broadcasted_iota(jnp.int32, shape, 1), width)
