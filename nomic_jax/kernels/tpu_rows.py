# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""What the TPU kernels know of the rows, and how they turn a block of them.

Both are laid out for blocks of 128 lanes, which hold two heads of 64 or one
of 128, so that no operand is copied or transposed around a kernel.
"""

from typing import Any, NamedTuple

import jax
from jax import Array
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
import jax.numpy as jnp

from nomic_jax.kernels import common

LANES = 128
BITS = 16  # of a segment id
# Added to a score, in bits, for each bit in which two segment ids differ.
# Far below any score, and a power of two, so exact in bfloat16.
FAR = 2.0 ** 14


class Rows(NamedTuple):
  """Of a batch of rows; S is rounded up to a multiple of 128.

  Segments become codes, 2 lanes a bit: a query holds (b, 1 - b) and a key
  -FAR (1 - b, b), so that their product is 0 within a segment and at most
  -FAR across; `key_codes` makes the second of the first. A head of 64 leaves
  half of the matrix unit's depth idle; the codes lie there, and the mask costs
  nothing.
  """

  ids: Array  # int32 [B, 1, S]
  codes: Array  # [B, S, 128], of queries, the same in both halves
  cos: Array | None  # [B, S, 128], of each lane
  sin: Array | None  # [B, S, 128], minus sin in the first half of a head
  forward: Array  # int32 [B, 2, S/q]: first, after last key block of a query's
  backward: Array  # int32 [B, 2, S/k]: the same of query blocks of a key's


def make(
    segment_ids: Array, angles: tuple[Array, Array] | None, dtype: Any,
    blocks: tuple[int, int, int, int], window: int | None,
) -> Rows:
  """See `Rows`.

  Args:
    segment_ids: int32 [B, S], below 2^16.
    angles: cos and sin, [B, S, d/2], or None.
    dtype: of queries and keys.
    blocks: of queries and keys forward, of queries and keys backward.
    window: see `nomic_jax.kernels.attention.Attention`.
  """
  ids = common.padded(segment_ids, LANES)
  bits = (ids[:, :, None] >> jnp.arange(BITS)) & 1
  codes = jnp.concatenate([bits, 1 - bits], axis=-1)
  idle = ((0, 0), (0, 0), (0, LANES // 2 - 2 * BITS))
  codes = jnp.tile(jnp.pad(codes, idle), 2).astype(dtype)
  cos = sin = None
  if angles is not None:
    cos, sin = (common.padded(a, LANES) for a in angles)
    heads = LANES // (2 * cos.shape[-1])
    cos = jnp.tile(jnp.concatenate([cos, cos], -1), heads).astype(dtype)
    sin = jnp.tile(jnp.concatenate([-sin, sin], -1), heads).astype(dtype)
  q, k, back_q, back_k = blocks
  # The compiler would make the second half of codes and angles in each layer.
  return jax.lax.optimization_barrier(Rows(
      ids[:, None], codes, cos, sin, common.ranges(ids, q, k, window),
      common.ranges(ids, back_k, back_q, window),
  ))


def turn(x: Array, cos: Array, sin: Array, width: int) -> Array:
  """Turns the heads in a block, float32 [n, 128], as `Rows` lays out angles.

  With `-sin` it turns back.
  """
  half = width // 2
  if width == LANES:
    other = pltpu.roll(x, half, 1)
  else:
    other = jnp.where(
        jax.lax.rem(_lane(x.shape), width) < half,
        pltpu.roll(x, LANES - half, 1), pltpu.roll(x, half, 1),
    )
  return x * cos + other * sin


def key_codes(codes: Array) -> Array:
  """A key's codes from a query's; see `Rows`."""
  return (FAR * codes.astype(jnp.float32) - FAR).astype(codes.dtype)


def table_specs(rows: Rows) -> tuple[list[Array], list[pl.BlockSpec]]:
  """Codes and angles, as operands that stay for all heads of a row.

  Held once and not twice, since VMEM is short for long rows: the next row's
  are waited for, once for all its heads.
  """
  tables = [x for x in (rows.codes, rows.cos, rows.sin) if x is not None]
  spec = pl.BlockSpec(
      (1, *rows.codes.shape[1:]), lambda b, *_: (b, 0, 0),
      pipeline_mode=pl.Buffered(1),
  )
  return tables, [spec] * len(tables)


def with_codes(x: Array, codes: Array, head: int, width: int) -> Array:
  """One head of a block, its segment codes beside it.

  Args:
    x: [n, 128].
    codes: [n, 128].
    head: which of the block's.
    width: d.

  Returns:
    [n, 128], or [n, 256] for a head of 128.
  """
  if width == LANES:
    return jnp.concatenate([x, codes], axis=-1)
  return jnp.where(head_of(x.shape, width) == head, x, codes)


def windowed(scores: Array, key: Any, query: Any, window: int) -> Array:
  """Scores [keys, queries] from those places on, without the far ones."""
  place = lambda axis: jax.lax.broadcasted_iota(jnp.int32, scores.shape, axis)
  far = jnp.abs(place(0) - place(1) + (key - query)) > window
  return jnp.where(far, -FAR, scores)


def head_of(shape: tuple[int, int], width: int) -> Array:
  """Which of a block's heads a lane is of."""
  # `//` would ask which chip this is, and there is none where one compiles
  # for another machine.
  return jax.lax.div(_lane(shape), width)


def _lane(shape: tuple[int, int]) -> Array:
  return jax.lax.broadcasted_iota(jnp.int32, shape, 1)
