# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Flash attention on TPU, backward (Pallas).

One kernel for the gradients of queries, keys and values, so that a weight is
recomputed once and not twice. A row of the heads that share 128 lanes lies
in VMEM; a grid step of three computes, and each writes one of the gradients
into its columns of one array. Matrices are transposed, [keys, queries], as
forward.
"""

import functools
from typing import Any

import jax
from jax import Array
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
import jax.numpy as jnp
import numpy as np

from nomic_jax.kernels import blocks
from nomic_jax.kernels import common
from nomic_jax.kernels import tpu_rows
from nomic_jax.kernels.tpu_rows import LANES
from nomic_jax.kernels.tpu_rows import Rows

_LN2 = float(np.log(2.0))


def backward(
    options: Any, d: int, qkv: Array, rows: Rows, out: Array, lse: Array,
    gradient: Array,
) -> Array:
  """The gradient of qkv [B, S, 3 H d], in its layout and dtype.

  Args:
    options: an `Attention`.
    d: width of a head.
    qkv: [B, S, 3 H d], S a multiple of 128.
    rows: of the batch.
    out: [B, S, H d], the output.
    lse: as `flash_tpu.forward` returns it.
    gradient: of the output.
  """
  batch, length, columns = qkv.shape
  groups, heads = columns // (3 * LANES), LANES // d
  depth = LANES if heads > 1 else 2 * LANES
  *_, queries, keys = blocks.find("pallas_tpu", options, length, qkv.dtype)
  row = lambda column: pl.BlockSpec(
      (1, length, LANES), lambda b, g, phase, *_: (b, 0, column(g)))
  tables, table_specs = tpu_rows.table_specs(rows)
  own = lambda g: g
  return pl.pallas_call(
      functools.partial(
          _kernel, d=d, queries=queries, keys=keys, window=options.window,
          rotary=rows.cos is not None,
      ),
      grid_spec=pltpu.PrefetchScalarGridSpec(
          num_scalar_prefetch=1,
          grid=(batch, groups, 3),
          in_specs=[
              row(own), row(lambda g: groups + g),
              row(lambda g: 2 * groups + g),
              row(own), row(own),
              pl.BlockSpec(
                  (1, 1, heads, length), lambda b, g, *_: (b, g, 0, 0)),
              *table_specs,
          ],
          out_specs=pl.BlockSpec(
              (1, length, LANES),
              lambda b, g, phase, *_: (b, 0, phase * groups + g)),
          scratch_shapes=[
              pltpu.VMEM((heads, length, depth), qkv.dtype),  # queries, codes
              pltpu.VMEM((heads, length, depth), qkv.dtype),  # keys, codes
              pltpu.VMEM((3, LANES, length), qkv.dtype),  # q, k, do by lane
              pltpu.VMEM((8, length), jnp.float32),  # output · its gradient
              pltpu.VMEM((LANES, length), jnp.float32),  # of queries
              pltpu.VMEM((2, LANES, keys), jnp.float32),  # of a block's k, v
              pltpu.VMEM((2, length, LANES), qkv.dtype),  # of keys, of values
          ],
      ),
      out_shape=jax.ShapeDtypeStruct(qkv.shape, qkv.dtype),
      compiler_params=blocks.tpu_params(
          options, ("parallel", "arbitrary", "arbitrary")),
      interpret=options.interpret,
      name="flash_backward",
  )(rows.backward, qkv, qkv, qkv, out, gradient, lse, *tables)


def _kernel(ranges, q_ref, k_ref, v_ref, out_ref, gradient_ref, lse_ref, *refs,
            d, queries, keys, window, rotary):
  """A row of the heads in 128 lanes: computes, then writes dq, dk, dv."""
  tables, refs = refs[:3 if rotary else 1], refs[3 if rotary else 1:]
  result, *scratch = refs
  grads = scratch[-1]
  row, phase = pl.program_id(0), pl.program_id(2)

  @pl.when(phase == 0)
  def _():
    _prepare(q_ref, k_ref, out_ref, gradient_ref, tables, scratch, d)
    jax.lax.fori_loop(
        0, k_ref.shape[1] // keys,
        functools.partial(
            _block_of_keys, row=row, ranges=ranges, v_ref=v_ref,
            gradient_ref=gradient_ref, lse_ref=lse_ref, tables=tables,
            scratch=scratch, d=d, queries=queries, keys=keys, window=window,
        ), 0)
    _finish_queries(result, tables, scratch[4], d)

  @pl.when(phase > 0)
  def _():
    result[0] = grads[phase - 1]


def _prepare(q_ref, k_ref, out_ref, gradient_ref, tables, scratch, d):
  """Turns queries and keys; sums output times gradient over each head.

  `upright` holds queries, keys and the output's gradient, transposed.
  """
  q_codes, k_codes, upright, delta, grad_q, *_ = scratch
  codes, *angles = tables
  dtype, heads = q_ref.dtype, LANES // d

  def step(j, _):
    at = pl.ds(pl.multiple_of(j * LANES, LANES), LANES)
    f32 = lambda ref: ref[0, at, :].astype(jnp.float32)
    q, k = f32(q_ref), f32(k_ref)
    if angles:
      cos, sin = map(f32, angles)
      q, k = (tpu_rows.turn(x, cos, sin, d) for x in (q, k))
    q = q * (d ** -0.5 / _LN2)
    for n, x in enumerate((q, k, f32(gradient_ref))):
      upright[n, :, at] = x.T.astype(dtype)
    own = codes[0, at, :]
    for h in range(heads):
      q_codes[h, at, :] = tpu_rows.with_codes(
          q.astype(dtype), own, h, d)
      k_codes[h, at, :] = tpu_rows.with_codes(
          k.astype(dtype), tpu_rows.key_codes(own), h, d)
    # Line h picks head h's lanes: sums over them come out as a line.
    line = jax.lax.broadcasted_iota(jnp.int32, (8, LANES), 0) == (
        tpu_rows.head_of((8, LANES), d))
    delta[:, at] = common.matmul(
        jnp.float32, line.astype(jnp.float32), f32(out_ref) * f32(gradient_ref),
        ((1,), (1,)))
    grad_q[:, at] = jnp.zeros((LANES, LANES), jnp.float32)
    return 0

  jax.lax.fori_loop(0, q_ref.shape[1] // LANES, step, 0)


def _block_of_keys(
    j, _, *, row, ranges, v_ref, gradient_ref, lse_ref, tables, scratch, d,
    queries, keys, window):
  """Gradients of a block of keys and values, and what it adds to queries'."""
  q_codes, k_codes, upright, delta, grad_q, sums, grads = scratch
  dtype, heads = v_ref.dtype, LANES // d
  dot = functools.partial(common.matmul, dtype)
  start = pl.multiple_of(j * keys, LANES)
  at = pl.ds(start, keys)
  head = tpu_rows.head_of((keys, LANES), d)
  v = v_ref[0, at, :]
  values = [
      jnp.where(head == h, v, jnp.zeros_like(v)) for h in range(heads)
  ]
  sums[...] = jnp.zeros_like(sums)

  def visit(i, _):
    query = pl.multiple_of(i * queries, LANES)
    to = pl.ds(query, queries)
    gradient = gradient_ref[0, to, :]
    for h in range(heads):
      scores = dot(k_codes[h, at, :], q_codes[h, to, :], ((1,), (1,)))
      if window is not None:
        scores = tpu_rows.windowed(scores, start, query, window)
      p = jnp.exp2(scores - lse_ref[0, 0, h:h + 1, to])
      dp = dot(values[h], gradient, ((1,), (1,)))
      ds = (p * (dp - delta[h:h + 1, to])).astype(dtype)
      # All three transposed, [d, tokens]: a head is then as many rows as it
      # is wide, where lanes would be computed for both heads.
      own = slice(h * d, (h + 1) * d)
      grad_q[own, to] += dot(upright[1, own, at], ds, ((1,), (0,)))
      sums[0, own, :] += dot(upright[0, own, to], ds, ((1,), (1,)))
      sums[1, own, :] += dot(
          upright[2, own, to], p.astype(dtype), ((1,), (1,)))
    return 0

  jax.lax.fori_loop(ranges[row, 0, j], ranges[row, 1, j], visit, 0)
  grad_k = sums[0].T * _LN2
  if len(tables) == 3:
    cos, sin = (t[0, at, :].astype(jnp.float32) for t in tables[1:])
    grad_k = tpu_rows.turn(grad_k, cos, -sin, d)
  grads[0, at, :] = grad_k.astype(dtype)
  grads[1, at, :] = sums[1].T.astype(dtype)
  return 0


def _finish_queries(result, tables, grad_q, d):
  """Writes the gradients of the queries, turned back."""
  def step(j, _):
    at = pl.ds(pl.multiple_of(j * LANES, LANES), LANES)
    x = grad_q[:, at].T * d ** -0.5
    if len(tables) == 3:
      cos, sin = (t[0, at, :].astype(jnp.float32) for t in tables[1:])
      x = tpu_rows.turn(x, cos, -sin, d)
    result[0, at, :] = x.astype(result.dtype)
    return 0

  jax.lax.fori_loop(0, result.shape[1] // LANES, step, 0)
