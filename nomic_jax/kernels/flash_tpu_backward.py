# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Flash attention on TPU, backward (Pallas).

One kernel for the gradients of queries, keys and values, so that a weight is
recomputed once and not twice. A step of the grid is a row of the heads that
share 128 lanes, which lies in VMEM, and copies its gradients into their
columns of one array. Matrices are transposed, [keys, queries], as forward.
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
from nomic_jax.kernels.layout import Call
from nomic_jax.kernels.tpu_rows import LANES
from nomic_jax.kernels.tpu_rows import Rows

_LN2 = float(np.log(2.0))


def backward(
    call: Call, qkv: Array, rows: Rows, out: Array, lse: Array,
    gradient: Array,
) -> Array:
  """The gradient of qkv [B, S, 3 H d], in its layout and dtype.

  Args:
    call: static.
    qkv: [B, S, 3 H d], S a multiple of 128.
    rows: of the batch.
    out: [B, S, H d], the output.
    lse: as `flash_tpu.forward` returns it.
    gradient: of the output.
  """
  batch, length, columns = qkv.shape
  d = call.layout.width
  groups, heads = columns // (3 * LANES), LANES // d
  *_, queries, keys = blocks.find("pallas_tpu", call, length, qkv.dtype)
  row = lambda column: pl.BlockSpec(
      (1, length, LANES), lambda b, g, *_: (b, 0, column(g)))
  own = lambda g: g
  return pl.pallas_call(
      functools.partial(
          _kernel, d=d, queries=queries, keys=keys, reach=call.reach),
      grid_spec=pltpu.PrefetchScalarGridSpec(
          num_scalar_prefetch=1,
          grid=(batch, groups),
          in_specs=[
              row(own), row(lambda g: groups + g),
              row(lambda g: 2 * groups + g),
              row(own), row(own),
              pl.BlockSpec(
                  (1, 1, heads, length), lambda b, g, *_: (b, g, 0, 0)),
              tpu_rows.spec(rows),
          ],
          out_specs=pl.BlockSpec(memory_space=pl.ANY),
          scratch_shapes=[
              pltpu.VMEM((heads, 2 * d, length), qkv.dtype),  # queries, codes
              pltpu.VMEM((heads, length, 2 * d), qkv.dtype),  # keys, codes
              pltpu.VMEM((2, LANES, length), qkv.dtype),  # keys, do by lane
              pltpu.VMEM((8, length), jnp.float32),  # output · its gradient
              pltpu.VMEM((LANES, length), jnp.float32),  # of queries
              pltpu.VMEM((2, LANES, keys), jnp.float32),  # of a block's k, v
              pltpu.VMEM((3, length, LANES), qkv.dtype),  # of q, k, v
              pltpu.SemaphoreType.DMA((3,)),
          ],
      ),
      out_shape=jax.ShapeDtypeStruct(qkv.shape, qkv.dtype),
      compiler_params=blocks.tpu_params(call, ("parallel", "arbitrary")),
      interpret=call.interpret,
      name="flash_backward",
  )(tpu_rows.prefetched(rows.backward), qkv, qkv, qkv, out, gradient, lse,
    rows.table)


def _kernel(ranges, q_ref, k_ref, v_ref, out_ref, gradient_ref, lse_ref, table,
            result, *scratch, d, queries, keys, reach):
  """A row of the heads in 128 lanes."""
  *scratch, grads, arrived = scratch
  row, group, groups = pl.program_id(0), pl.program_id(1), pl.num_programs(1)
  # Into its columns of one array, where an output of the grid has one block.
  copies = [
      pltpu.make_async_copy(
          grads.at[n],
          result.at[row, :, pl.ds(
              pl.multiple_of((n * groups + group) * LANES, LANES), LANES)],
          arrived.at[n])
      for n in range(3)
  ]
  _prepare(q_ref, k_ref, out_ref, gradient_ref, table, scratch, d)

  @pl.when(group > 0)
  def _():
    for copy in copies:  # the group's before this one
      copy.wait()

  jax.lax.fori_loop(
      0, k_ref.shape[1] // keys,
      functools.partial(
          _block_of_keys, row=row, ranges=ranges, v_ref=v_ref,
          lse_ref=lse_ref, table=table, scratch=scratch, grads=grads, d=d,
          queries=queries, keys=keys, reach=reach,
      ), 0)
  _finish_queries(grads, table, scratch[4], d)
  for copy in copies:
    copy.start()

  @pl.when(group == groups - 1)
  def _():
    for copy in copies:
      copy.wait()


def _prepare(q_ref, k_ref, out_ref, gradient_ref, table, scratch, d):
  """Turns queries and keys; sums output times gradient over each head."""
  q_codes, k_codes, upright, delta, grad_q, _ = scratch
  dtype, heads, length = q_ref.dtype, LANES // d, q_ref.shape[1]
  size = tpu_rows.step(length)

  def step(j, _):
    at = pl.ds(pl.multiple_of(j * size, LANES), size)
    own = table[0, :, at]
    q, k, out, gradient = (
        ref[0, at, :].T for ref in (q_ref, k_ref, out_ref, gradient_ref))
    q = (tpu_rows.turn(q, own, d) * (d ** -0.5 / _LN2)).astype(dtype)
    k = tpu_rows.turn(k, own, d).astype(dtype)
    upright[0, :, at], upright[1, :, at] = k, gradient
    products = out.astype(jnp.float32) * gradient.astype(jnp.float32)
    for h in range(heads):
      rows = slice(h * d, (h + 1) * d)
      q_codes[h, :, at] = jnp.concatenate(
          [q[rows], tpu_rows.query_codes(own, d)])
      k_codes[h, at, :] = jnp.concatenate(
          [k[rows], tpu_rows.key_codes(own, d)]).T
      delta[h:h + 1, at] = products[rows].sum(0, keepdims=True)
    grad_q[:, at] = jnp.zeros((LANES, size), jnp.float32)
    return 0

  jax.lax.fori_loop(0, length // size, step, 0)


def _block_of_keys(
    j, _, *, row, ranges, v_ref, lse_ref, table, scratch, grads, d, queries,
    keys, reach):
  """Gradients of a block of keys and values, and what it adds to queries'."""
  q_codes, k_codes, upright, delta, grad_q, sums = scratch
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
    for h in range(heads):
      q = q_codes[h, :, to]
      scores = dot(k_codes[h, at, :], q, ((1,), (0,)))
      scores = tpu_rows.limited(scores, start, query, reach)
      p = jnp.exp2(scores - lse_ref[0, 0, h:h + 1, to])
      dp = dot(values[h], upright[1, :, to], ((1,), (0,)))
      ds = (p * (dp - delta[h:h + 1, to])).astype(dtype)
      # All three transposed, [d, tokens]: a head is then as many rows as it
      # is wide, where lanes would be computed for both heads.
      own = slice(h * d, (h + 1) * d)
      grad_q[own, to] += dot(upright[0, own, at], ds, ((1,), (0,)))
      sums[0, own, :] += dot(q[:d], ds, ((1,), (1,)))
      sums[1, own, :] += dot(
          upright[1, own, to], p.astype(dtype), ((1,), (1,)))
    return 0

  if queries == q_codes.shape[2]:  # all: straight on, as forward
    visit(0, 0)
  else:
    blocks_of_keys = v_ref.shape[1] // keys
    jax.lax.fori_loop(
        *tpu_rows.visits(ranges, row, j, blocks_of_keys), visit, 0)
  grad_k = tpu_rows.turn(sums[0] * _LN2, table[0, :, at], d, back=True)
  grads[1, at, :] = grad_k.astype(dtype).T
  grads[2, at, :] = sums[1].astype(dtype).T
  return 0


def _finish_queries(grads, table, grad_q, d):
  """Turns the gradients of the queries back."""
  length = grads.shape[1]
  size = tpu_rows.step(length)

  def step(j, _):
    at = pl.ds(pl.multiple_of(j * size, LANES), size)
    x = tpu_rows.turn(grad_q[:, at] * d ** -0.5, table[0, :, at], d, back=True)
    grads[0, at, :] = x.astype(grads.dtype).T
    return 0

  jax.lax.fori_loop(0, length // size, step, 0)
