# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Flash attention on NVIDIA GPUs: the forward pass, from the packed projection.

A Pallas kernel for Triton, after FlashAttention-2 (arXiv 2307.08691). A program
handles a block of queries of one head and visits the blocks of keys that
contain one of its texts. It reads q, k and v directly from the projection's
output.
"""

import functools

import jax
from jax import Array
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as plgpu
import jax.numpy as jnp
from jaxtyping import Float
from jaxtyping import Float32
from jaxtyping import Int
import numpy as np

from nomic_jax.kernels import blocks
from nomic_jax.kernels import common
from nomic_jax.kernels import flash_gpu_backward
from nomic_jax.kernels import gpu_rows
from nomic_jax.kernels.gpu_rows import Rows
from nomic_jax.kernels.layout import Angles
from nomic_jax.kernels.layout import Call


def lacks(call: Call, length: int, dtype: np.dtype | None) -> str:
  """See `nomic_jax.kernels.attention`."""
  del length
  if call.layout.width not in (64, 128, 256):
    return (
      f"has no layout for {call.layout}; expected a width of 64, 128 or 256"
    )
  return common.lacks(call, dtype, "float32", "bfloat16")


def prepare(
  call: Call,
  segment_ids: Int[Array, "B S"],
  angles: Angles | None,
  dtype: np.dtype,
) -> Rows:
  """Computes what all layers share; see `nomic_jax.kernels.attention`."""
  sizes = blocks.find("pallas_gpu", call, segment_ids.shape[1], dtype)
  return gpu_rows.make(
    segment_ids, angles, dtype, sizes, blocks.MULTIPLE["pallas_gpu"], call.reach
  )


def attend(
  call: Call, qkv: Float[Array, "B S columns"], rows: Rows
) -> Float[Array, "B S out"]:
  """See `nomic_jax.kernels.attention`."""
  batch, length, _ = qkv.shape
  qkv = common.padded(qkv, blocks.MULTIPLE["pallas_gpu"])
  qkv = qkv.reshape(*qkv.shape[:2], -1, call.layout.width)
  out = _attend(call, qkv, rows)
  return out[:, :length].reshape(batch, length, -1)


def forward(
  call: Call, qkv: Float[Array, "B S columns d"], rows: Rows
) -> tuple[Float[Array, "B S H d"], Float32[Array, "B H S"]]:
  """Computes the output and the log-sum-exps needed by the backward pass.

  Args:
    call: static.
    qkv: [B, S, H + 2 K, d]; the blocks divide S.
    rows: the rows of the batch.

  Returns:
    [B, S, H, d], and the base-2 logarithm of each query's sum of 2^score,
    float32 [B, H, S]; 1e30 at padding.
  """
  batch, length, _, d = qkv.shape
  heads, kv_heads = call.layout.heads, call.layout.kv_heads
  queries, keys, *_ = blocks.find("pallas_gpu", call, length, qkv.dtype)
  tables, table_specs = gpu_rows.specs(rows, rows.forward)
  row = lambda first, share: pl.BlockSpec(
    (None, length, 1, d),
    lambda i, h, b: (b, 0, first + jax.lax.div(h, share), 0),
  )
  share = call.layout.group
  return pl.pallas_call(
    functools.partial(
      _kernel,
      queries=queries,
      keys=keys,
      reach=call.reach,
      rotary=rows.cos is not None,
    ),
    grid=(length // queries, heads, batch),
    in_specs=[
      row(0, 1),
      row(heads, share),
      row(heads + kv_heads, share),
      *table_specs,
    ],
    out_specs=[
      pl.BlockSpec((None, queries, None, d), lambda i, h, b: (b, i, h, 0)),
      pl.BlockSpec((None, None, queries), lambda i, h, b: (b, h, i)),
    ],
    out_shape=[
      jax.ShapeDtypeStruct((batch, length, heads, d), qkv.dtype),
      jax.ShapeDtypeStruct((batch, heads, length), jnp.float32),
    ],
    compiler_params=plgpu.CompilerParams(
      num_warps=4 if d == 64 else 8, num_stages=2
    ),
    interpret=call.interpret,
    name=f"flash_forward{call.reach.suffix}",
  )(qkv, qkv, qkv, *tables)


_attend = common.differentiable(forward, flash_gpu_backward.backward)


def _kernel(
  q_ref, k_ref, v_ref, ranges, ids, *refs, queries, keys, reach, rotary
):
  """Computes one block of queries of a head."""
  *angles, out_ref, lse_ref = refs
  assert len(angles) == 2 * rotary
  i, dtype, d = pl.program_id(0), q_ref.dtype, q_ref.shape[-1]
  here = pl.ds(i * queries, queries)
  scale = d**-0.5 * np.log2(np.e)
  a, b = gpu_rows.halves(q_ref, 0, here, angles)
  q = a * scale, b * scale
  own_ids = ids[here]

  def visit(j, carry):
    total, most, weight = carry
    at = pl.ds(j * keys, keys)
    k = gpu_rows.halves(k_ref, 0, at, angles)
    scores = jnp.where(
      gpu_rows.seen(own_ids, ids[at], i * queries, j * keys, reach),
      gpu_rows.scores(dtype, q, k),
      common.LOWEST,
    )
    new = jnp.maximum(most, scores.max(axis=1))
    # Before the first visible key all of p is 1, but `fade` then becomes 0.
    p = jnp.exp2(scores - new[:, None])
    fade = jnp.exp2(most - new)
    total = total * fade[:, None] + common.matmul(
      dtype, p.astype(dtype), v_ref[at, 0, :], ((1,), (0,))
    )
    return total, new, weight * fade + p.sum(axis=1)

  total, most, weight = jax.lax.fori_loop(
    ranges[0, i],
    ranges[1, i],
    visit,
    (
      jnp.zeros((queries, d), jnp.float32),
      jnp.full((queries,), common.LOWEST, jnp.float32),
      jnp.zeros((queries,), jnp.float32),
    ),
  )
  real = own_ids > 0
  weight = jnp.where(real, weight, 1.0)
  out = jnp.where(real[:, None], total / weight[:, None], 0.0)
  out_ref[...] = out.astype(dtype)
  lse_ref[...] = jnp.where(real, most + jnp.log2(weight), -common.LOWEST)
