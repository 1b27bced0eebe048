# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Flash attention on TPUs: the backward pass (Pallas).

One kernel computes the gradients of queries, keys and values, so weights are
recomputed once instead of twice. A grid step handles a row of the heads in a
block of lanes, which stays in VMEM, and copies its gradients into their columns
of one array. Gradients of keys and values that several steps share are summed
in VMEM. Matrices are transposed, [keys, queries], as in the forward pass.
"""

import functools

import jax
from jax import Array
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
import jax.numpy as jnp
from jaxtyping import Float
from jaxtyping import Float32
import numpy as np

from nomic_jax.kernels import blocks
from nomic_jax.kernels import common
from nomic_jax.kernels import tpu_rows
from nomic_jax.kernels.layout import Call
from nomic_jax.kernels.layout import Reach
from nomic_jax.kernels.tpu_rows import LANES
from nomic_jax.kernels.tpu_rows import Rows

_LN2 = float(np.log(2.0))


def backward(
  call: Call,
  qkv: Float[Array, "B S columns"],
  rows: Rows,
  out: Float[Array, "B S out"],
  lse: Float32[Array, "B blocks heads S"],
  gradient: Float[Array, "B S out"],
) -> Float[Array, "B S columns"]:
  """Computes the gradient of qkv, [B, S, (H + 2 K) d] in the dtype of qkv.

  Args:
    call: static.
    qkv: [B, S, (H + 2 K) d], with S a multiple of 128.
    rows: the rows of the batch.
    out: [B, S, H d], the output.
    lse: as returned by `flash_tpu.forward`.
    gradient: the gradient with respect to the output.
  """
  batch, length, _ = qkv.shape
  layout, d = call.layout, call.layout.width
  lanes = tpu_rows.lanes(d)
  heads = lanes // d
  q_blocks, kv_blocks = layout.heads // heads, layout.kv_heads // heads
  *_, queries, keys = blocks.find("pallas_tpu", call, length, qkv.dtype)
  row = lambda column: pl.BlockSpec(
    (1, length, lanes), lambda b, g, *_: (b, 0, column(g))
  )
  own = lambda g: g
  shared = lambda first: lambda g: first + jax.lax.div(g, layout.group)
  # Sums for keys and values cover one block of tokens, or all tokens if several
  # blocks of queries add to them.
  summed = keys if layout.group == 1 else length
  apart = layout.group > 1 and heads > 1
  return pl.pallas_call(
    functools.partial(
      _kernel, layout=layout, queries=queries, keys=keys, reach=call.reach
    ),
    grid_spec=pltpu.PrefetchScalarGridSpec(
      num_scalar_prefetch=1,
      grid=(batch, q_blocks),
      in_specs=[
        row(own),
        row(shared(q_blocks)),
        row(shared(q_blocks + kv_blocks)),
        row(own),
        row(own),
        pl.BlockSpec((1, 1, heads, length), lambda b, g, *_: (b, g, 0, 0)),
        tpu_rows.spec(rows),
      ],
      out_specs=pl.BlockSpec(memory_space=pl.ANY),
      scratch_shapes=[
        pltpu.VMEM((heads, tpu_rows.coded(d), length), qkv.dtype),  # q
        pltpu.VMEM((heads, length, tpu_rows.coded(d)), qkv.dtype),  # k
        pltpu.VMEM((2, lanes, length), qkv.dtype),  # keys, do; lanes first
        pltpu.VMEM((8, length), jnp.float32),  # output · its gradient
        pltpu.VMEM((lanes, length), jnp.float32),  # gradients of queries
        pltpu.VMEM((2, lanes, summed), jnp.float32),  # of keys and values
        # Values in the lanes of the queries that read them.
        *[pltpu.VMEM((1, length, lanes), qkv.dtype)] * apart,
        pltpu.VMEM((3, length, lanes), qkv.dtype),  # results for q, k, v
        pltpu.SemaphoreType.DMA((3,)),
      ],
    ),
    out_shape=jax.ShapeDtypeStruct(qkv.shape, qkv.dtype),
    compiler_params=blocks.tpu_params(call, ("parallel", "arbitrary")),
    interpret=call.interpret,
    name=f"flash_backward{call.reach.suffix}",
  )(
    tpu_rows.prefetched(rows.backward),
    qkv,
    qkv,
    qkv,
    out,
    gradient,
    lse,
    rows.table,
  )


def _kernel(
  ranges,
  q_ref,
  k_ref,
  v_ref,
  out_ref,
  gradient_ref,
  lse_ref,
  table,
  result,
  *scratch,
  layout,
  queries,
  keys,
  reach,
):
  """Computes one row of the heads in a block of lanes."""
  *scratch, grads, arrived = scratch
  row, g, q_blocks = pl.program_id(0), pl.program_id(1), pl.num_programs(1)
  lanes, group = q_ref.shape[2], layout.group
  kv_blocks = layout.kv_heads * layout.width // lanes
  member = jax.lax.rem(g, group)
  columns = [
    g,
    *(q_blocks + n * kv_blocks + jax.lax.div(g, group) for n in range(2)),
  ]
  # Copied into columns of one array, since a grid output has only one block.
  copies = [
    pltpu.make_async_copy(
      grads.at[n],
      result.at[row, :, pl.ds(pl.multiple_of(column * lanes, LANES), lanes)],
      arrived.at[n],
    )
    for n, column in enumerate(columns)
  ]
  # Gradients of queries are copied in each step, those of keys and values when
  # all queries that share them are done.
  own, shared = (copies, []) if group == 1 else (copies[:1], copies[1:])
  wait, start = (lambda copy: copy.wait()), (lambda copy: copy.start())
  values = _prepare(
    q_ref, k_ref, v_ref, out_ref, gradient_ref, table, scratch, layout
  )
  _each(own, wait, g > 0)  # for the previous step
  _each(shared, wait, (g > 0) & (member == 0))
  jax.lax.fori_loop(
    0,
    k_ref.shape[1] // keys,
    functools.partial(
      _block_of_keys,
      row=row,
      member=member,
      ranges=ranges,
      values=values,
      lse_ref=lse_ref,
      table=table,
      scratch=scratch,
      grads=grads,
      layout=layout,
      queries=queries,
      keys=keys,
      reach=reach,
    ),
    0,
  )
  _finish_queries(grads, table, scratch[4], layout.width)
  _each(own, start, None)
  _each(shared, start, member == group - 1)
  _each(copies, wait, g == q_blocks - 1)


def _each(copies, do, condition):
  """Calls `do` for each of the copies, under a condition."""
  if condition is None:
    for copy in copies:
      do(copy)
  elif copies:
    pl.when(condition)(lambda: _each(copies, do, None))


def _prepare(
  q_ref, k_ref, v_ref, out_ref, gradient_ref, table, scratch, layout
):
  """Rotates queries and keys; sums output times gradient over each head.

  Returns:
    A reference to the values, in the lanes of the queries that read them.
  """
  q_codes, k_codes, upright, delta, grad_q, _, *values = scratch
  d, dtype, length = layout.width, q_ref.dtype, q_ref.shape[1]
  size, block = tpu_rows.step(length), pl.program_id(1)

  def step(j, _):
    at = pl.ds(pl.multiple_of(j * size, LANES), size)
    own = table[0, :, at]
    q, k, out, gradient = (
      ref[0, at, :].T for ref in (q_ref, k_ref, out_ref, gradient_ref)
    )
    q = (tpu_rows.rotate(q, own, d) * (d**-0.5 / _LN2)).astype(dtype)
    k = tpu_rows.shared(tpu_rows.rotate(k, own, d), block, layout).astype(dtype)
    upright[0, :, at], upright[1, :, at] = k, gradient
    products = out.astype(jnp.float32) * gradient.astype(jnp.float32)
    for h in range(len(q) // d):
      rows = slice(h * d, (h + 1) * d)
      q_codes[h, :, at] = jnp.concatenate(
        [q[rows], tpu_rows.query_codes(own, d)]
      )
      k_codes[h, at, :] = jnp.concatenate(
        [k[rows], tpu_rows.key_codes(own, d)]
      ).T
      delta[h : h + 1, at] = products[rows].sum(0, keepdims=True)
    for ref in values:
      ref[0, at, :] = tpu_rows.shared(v_ref[0, at, :].T, block, layout).T
    grad_q[:, at] = jnp.zeros((len(q), size), jnp.float32)
    return 0

  jax.lax.fori_loop(0, length // size, step, 0)
  return values[0] if values else v_ref


def _block_of_keys(
  j,
  _,
  *,
  row,
  member,
  ranges,
  values,
  lse_ref,
  table,
  scratch,
  grads,
  layout,
  queries,
  keys,
  reach,
):
  """Computes gradients of a block of keys and values, adds to queries'."""
  q_codes, k_codes, upright, delta, grad_q, sums, *_ = scratch
  d, group, dtype = layout.width, layout.group, q_codes.dtype
  heads = len(q_codes)
  dot = functools.partial(common.matmul, dtype)
  start = pl.multiple_of(j * keys, LANES)
  at = pl.ds(start, keys)
  v = values[0, at, :]
  head = tpu_rows.head_of(v.shape, d)
  of_head = [jnp.where(head == h, v, jnp.zeros_like(v)) for h in range(heads)]
  # The part of `sums` for these keys: all of it, or their tokens.
  summed = slice(None) if group == 1 else at

  def clear():
    sums[:, :, summed] = jnp.zeros((*upright.shape[:2], keys), jnp.float32)

  def own_sum(h):
    """Returns the rows of the key head that query head h reads."""
    if group == 1 or heads == 1:
      return slice(h * d, (h + 1) * d)
    second = jax.lax.convert_element_type(2 * member + h >= group, jnp.int32)
    return pl.ds(pl.multiple_of(second * d, d), d)

  def visit(query, size):
    to = pl.ds(query, size)
    for h in range(heads):
      q = q_codes[h, :, to]
      scores = dot(k_codes[h, at, :], q, ((1,), (0,)))
      scores = tpu_rows.limited(scores, start, query, reach)
      p = jnp.exp2(scores - lse_ref[0, 0, h : h + 1, to])
      dp = dot(of_head[h], upright[1, :, to], ((1,), (0,)))
      ds = (p * (dp - delta[h : h + 1, to])).astype(dtype)
      # All three are transposed, [d, tokens]: a head then takes d rows, whereas
      # lanes would be computed for both heads.
      own, shared = slice(h * d, (h + 1) * d), own_sum(h)
      grad_q[own, to] += dot(upright[0, own, at], ds, ((1,), (0,)))
      sums[0, shared, summed] += dot(q[:d], ds, ((1,), (1,)))
      sums[1, shared, summed] += dot(
        upright[1, own, to], p.astype(dtype), ((1,), (1,))
      )

  def write():
    grad_k = tpu_rows.rotate(
      sums[0, :, summed] * _LN2, table[0, :, at], d, back=True
    )
    grads[1, at, :] = grad_k.astype(dtype).T
    grads[2, at, :] = sums[1, :, summed].astype(dtype).T

  clear() if group == 1 else pl.when(member == 0)(clear)
  length = q_codes.shape[2]
  seen_by = Reach(reach.ahead, reach.back)
  if span := tpu_rows.span(seen_by, keys, length):  # as in the forward pass
    visit(tpu_rows.first(seen_by, start, span, length), span)
  elif queries == length:
    visit(0, queries)
  else:

    def step(i, _):
      visit(pl.multiple_of(i * queries, LANES), queries)
      return 0

    jax.lax.fori_loop(*tpu_rows.visits(ranges, row, j, length // keys), step, 0)
  write() if group == 1 else pl.when(member == group - 1)(write)
  return 0


def _finish_queries(grads, table, grad_q, d):
  """Rotates the gradients of the queries back."""
  length = grads.shape[1]
  size = tpu_rows.step(length)

  def step(j, _):
    at = pl.ds(pl.multiple_of(j * size, LANES), size)
    x = tpu_rows.rotate(grad_q[:, at] * d**-0.5, table[0, :, at], d, back=True)
    grads[0, at, :] = x.astype(grads.dtype).T
    return 0

  jax.lax.fori_loop(0, length // size, step, 0)
