# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Flash attention on TPUs: the forward pass, from the packed projection.

This is online softmax as in FlashAttention (arXiv 2205.14135), in Pallas. A
grid step handles a block of queries of the heads in a block of lanes. Their
keys and values stay in VMEM for the whole row and are rotated once. Scores are
held transposed, [keys, queries], so that a query's maximum and sum are taken
over sublanes, where they are cheap. Blocks of keys that share no text with the
queries are skipped.
"""

import dataclasses
import functools
import math

import jax
from jax import Array
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
import jax.numpy as jnp
from jaxtyping import Float
from jaxtyping import Float32
from jaxtyping import Int
import numpy as np

from nomic_jax.kernels import blocks
from nomic_jax.kernels import common
from nomic_jax.kernels import flash_tpu_backward
from nomic_jax.kernels import tpu_rows
from nomic_jax.kernels.layout import Angles
from nomic_jax.kernels.layout import Call
from nomic_jax.kernels.tpu_rows import LANES
from nomic_jax.kernels.tpu_rows import Rows


def lacks(call: Call, length: int, dtype: np.dtype | None) -> str:
  """See `nomic_jax.kernels.attention`."""
  layout = call.layout
  if layout.width not in (64, 128, 256) or layout.heads * layout.width % LANES:
    return (
      f"has no layout for {layout}; expected an even number of heads of width "
      "64, or any number of width 128 or 256"
    )
  room = blocks.tpu_room(call, dtype.itemsize if dtype else 4)
  if length > room:
    return (
      f"supports rows of up to {room} tokens on a {call.device}, not {length}"
    )
  return common.lacks(call, dtype, "float32", "bfloat16")


def prepare(
  call: Call,
  segment_ids: Int[Array, "B S"],
  angles: Angles | None,
  dtype: np.dtype,
) -> Rows:
  """Computes what all layers share; see `nomic_jax.kernels.attention`."""
  sizes = blocks.find("pallas_tpu", call, segment_ids.shape[1], dtype)
  return tpu_rows.make(segment_ids, angles, dtype, sizes, call.reach)


def attend(
  call: Call, qkv: Float[Array, "B S columns"], rows: Rows
) -> Float[Array, "B S out"]:
  """See `nomic_jax.kernels.attention`."""
  length, layout = qkv.shape[1], call.layout
  if layout.kv_heads * layout.width % LANES:
    # An odd number of heads of 64: duplicate them to fill blocks of lanes.
    q, k, v = layout.split(qkv)
    k, v = (jnp.repeat(x, 2, axis=2) for x in (k, v))
    qkv = jnp.concatenate([q, k, v], 2).reshape(*qkv.shape[:2], -1)
    call = dataclasses.replace(
      call, layout=dataclasses.replace(layout, kv_heads=2 * layout.kv_heads)
    )
  out = _attend(call, common.padded(qkv, LANES), rows)
  return out[:, :length]


def forward(
  call: Call, qkv: Float[Array, "B S columns"], rows: Rows
) -> tuple[Float[Array, "B S out"], Float32[Array, "B blocks heads S"]]:
  """Computes the output and the log-sum-exps needed by the backward pass.

  Args:
    call: static.
    qkv: [B, S, (H + 2 K) d], with S a multiple of 128.
    rows: the rows of the batch.

  Returns:
    [B, S, H d], and the base-2 logarithm of each query's sum of 2^score,
    float32 [B, H d / L, L / d, S]; 1e30 at padding.
  """
  batch, length, _ = qkv.shape
  d, group = call.layout.width, call.layout.group
  lanes = tpu_rows.lanes(d)
  heads = lanes // d
  q_blocks, kv_blocks = (
    n // heads for n in (call.layout.heads, call.layout.kv_heads)
  )
  count = rows.forward.shape[-1]
  block = length // count
  keys = blocks.find("pallas_tpu", call, length, qkv.dtype)[1]
  span = tpu_rows.span(call.reach, block, length)
  row = lambda first: pl.BlockSpec(
    (1, length, lanes),
    lambda b, g, i, *_: (b, 0, first + jax.lax.div(g, group)),
  )
  part = pl.BlockSpec((1, block, lanes), lambda b, g, i, *_: (b, i, g))
  kernel = functools.partial(
    _kernel,
    layout=call.layout,
    block=block,
    keys=span or keys,
    spans=span is not None,
    part=math.gcd(span or keys, blocks.tpu_tile(call)),
    reach=call.reach,
  )
  return pl.pallas_call(
    kernel,
    grid_spec=pltpu.PrefetchScalarGridSpec(
      num_scalar_prefetch=1,
      grid=(batch, q_blocks, count),
      in_specs=[
        part,
        row(q_blocks),
        row(q_blocks + kv_blocks),
        tpu_rows.spec(rows),
      ],
      out_specs=[
        part,
        pl.BlockSpec((1, 1, heads, block), lambda b, g, i, *_: (b, g, 0, i)),
      ],
      scratch_shapes=[
        pltpu.VMEM((heads, length, tpu_rows.coded(d)), qkv.dtype),
        pltpu.VMEM((lanes, length), qkv.dtype),
        pltpu.VMEM((lanes, block), jnp.float32),
      ],
    ),
    out_shape=[
      jax.ShapeDtypeStruct((batch, length, q_blocks * lanes), qkv.dtype),
      jax.ShapeDtypeStruct((batch, q_blocks, heads, length), jnp.float32),
    ],
    compiler_params=blocks.tpu_params(
      call, ("parallel", "arbitrary", "arbitrary")
    ),
    interpret=call.interpret,
    name=f"flash_forward{call.reach.suffix}",
  )(tpu_rows.prefetched(rows.forward), qkv, qkv, qkv, rows.table)


_attend = common.differentiable(forward, flash_tpu_backward.backward)


def _kernel(
  ranges,
  q_ref,
  k_ref,
  v_ref,
  table,
  out_ref,
  lse_ref,
  key_scratch,
  value_scratch,
  total,
  *,
  layout,
  block,
  keys,
  spans,
  part,
  reach,
):
  """Computes one block of queries of the heads in a block of lanes."""
  b, g, i = (pl.program_id(axis) for axis in range(3))
  d, dtype, length = layout.width, q_ref.dtype, k_ref.shape[1]
  heads = k_ref.shape[2] // d
  dot = functools.partial(common.matmul, dtype)

  @pl.when(i == 0)
  def _():
    step = tpu_rows.step(length)

    def keep(j, _):
      at = pl.ds(pl.multiple_of(j * step, LANES), step)
      own = table[0, :, at]
      k = tpu_rows.rotate(k_ref[0, at, :].T, own, d)
      k = tpu_rows.shared(k, g, layout)
      codes = tpu_rows.key_codes(own, d)
      for h in range(heads):
        key_scratch[h, at, :] = jnp.concatenate(
          [k[h * d : (h + 1) * d].astype(dtype), codes]
        ).T
      value_scratch[:, at] = tpu_rows.shared(v_ref[0, at, :].T, g, layout)
      return 0

    jax.lax.fori_loop(0, length // step, keep, 0)

  own = table[0, :, pl.ds(pl.multiple_of(i * block, LANES), block)]
  q = tpu_rows.rotate(q_ref[0].T, own, d)
  q = (q * (d**-0.5 * np.log2(np.e))).astype(dtype)
  codes = tpu_rows.query_codes(own, d)
  queries = [
    jnp.concatenate([q[h * d : (h + 1) * d], codes]) for h in range(heads)
  ]
  total[...] = jnp.zeros_like(total)

  def score(start, h):
    at = pl.ds(pl.multiple_of(start, LANES), part)
    x = dot(key_scratch[h, at, :], queries[h], ((1,), (0,)))
    return tpu_rows.limited(x, start, i * block, reach)

  def visit(first, carry):
    carry = list(carry)
    parts = [
      (first + at, h) for at in range(0, keys, part) for h in range(heads)
    ]
    after = score(*parts[0])
    for n, (start, h) in enumerate(parts):
      # Compute the next scores before these weights, so that exponentials
      # overlap with a matrix product.
      scores = after
      if n + 1 < len(parts):
        after = score(*parts[n + 1])
      most, weight = carry[h]
      new = jnp.maximum(most, scores.max(axis=0, keepdims=True))
      p = jnp.exp2(scores - new)
      fade = jnp.exp2(most - new)
      rows = slice(h * d, (h + 1) * d)
      at = pl.ds(pl.multiple_of(start, LANES), part)
      total[rows, :] = total[rows, :] * fade + dot(
        value_scratch[rows, at], p.astype(dtype), ((1,), (0,))
      )
      carry[h] = new, weight * fade + p.sum(axis=0, keepdims=True)
    return tuple(carry)

  end = ((jnp.full((1, block), common.LOWEST), jnp.zeros((1, block))),) * heads
  # Without a loop, it overlaps with the code around it.
  if spans:
    end = visit(tpu_rows.first(reach, i * block, keys, length), end)
  elif keys == length:
    end = visit(0, end)
  else:
    end = jax.lax.fori_loop(
      *tpu_rows.visits(ranges, b, i, length // block),
      lambda j, carry: visit(j * keys, carry),
      end,
    )
  real = own[: tpu_rows.BITS].astype(jnp.float32).max(0, keepdims=True) > 0
  for h, (most, weight) in enumerate(end):
    rows = slice(h * d, (h + 1) * d)
    weight = jnp.where(real, weight, 1.0)
    total[rows, :] = jnp.where(real, total[rows, :] / weight, 0.0)
    lse_ref[0, 0, h : h + 1, :] = jnp.where(real, most + jnp.log2(weight), 1e30)
  out_ref[0] = total[...].astype(dtype).T
