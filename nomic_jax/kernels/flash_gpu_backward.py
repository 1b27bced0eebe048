# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Flash attention on NVIDIA GPUs, backward (Pallas, Triton).

One kernel: a program has a block of tokens of one head and computes the
gradients of its keys and values from the queries that see them, then that of
its queries from the keys that they see. Weights are recomputed in both, which
spares atomic additions and with them an order that changes from run to run.
"""

import functools
from typing import Any

import jax
from jax import Array
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as plgpu
import jax.numpy as jnp
import numpy as np

from nomic_jax.kernels import blocks
from nomic_jax.kernels import common
from nomic_jax.kernels import gpu_rows
from nomic_jax.kernels.gpu_rows import Rows
from nomic_jax.kernels.layout import Call


def backward(
    call: Call, qkv: Array, rows: Rows, out: Array, lse: Array,
    gradient: Array,
) -> Array:
  """The gradient of qkv [B, S, 3, H, d], in its dtype.

  Args:
    call: static.
    qkv: [B, S, 3, H, d], S a multiple of the blocks.
    rows: of the batch.
    out: [B, S, H, d], the output.
    lse: as `flash_gpu.forward` returns it.
    gradient: of the output.
  """
  batch, length, _, heads, d = qkv.shape
  *_, own, visited = blocks.find("pallas_gpu", call, length, qkv.dtype)
  delta = jnp.einsum(
      "bshd,bshd->bhs", out, gradient, preferred_element_type=jnp.float32,
      precision=jax.lax.Precision.HIGHEST)
  tables, table_specs = gpu_rows.specs(
      rows, rows.queries, rows.keys)
  packed = lambda size, at: pl.BlockSpec(
      (None, size, 3, None, d), lambda i, h, b: (b, at(i), 0, h, 0))
  line = pl.BlockSpec((None, None, length), lambda i, h, b: (b, h, 0))
  return pl.pallas_call(
      functools.partial(
          _kernel, own=own, visited=visited, reach=call.reach,
          rotary=rows.cos is not None,
      ),
      grid=(length // own, heads, batch),
      in_specs=[
          packed(length, lambda i: 0),
          pl.BlockSpec(
              (None, length, None, d), lambda i, h, b: (b, 0, h, 0)),
          line, line, *table_specs,
      ],
      out_specs=packed(own, lambda i: i),
      out_shape=jax.ShapeDtypeStruct(qkv.shape, qkv.dtype),
      compiler_params=plgpu.CompilerParams(
          num_warps=4 if d == 64 else 8, num_stages=2),
      interpret=call.interpret,
      name="flash_backward",
  )(qkv, gradient, lse, delta, *tables)


def _kernel(qkv, gradient, lse, delta, query_ranges, key_ranges, ids, *refs,
            own, visited, reach, rotary):
  """One block of tokens of a head."""
  *angles, result = refs
  assert len(angles) == 2 * rotary
  i, dtype, d = pl.program_id(0), qkv.dtype, qkv.shape[-1]
  half, scale = d // 2, d ** -0.5
  here = pl.ds(i * own, own)
  own_ids = ids[here]
  dot = functools.partial(common.matmul, dtype)
  halves = functools.partial(gpu_rows.halves, qkv, angles=angles)
  queries = lambda at: [
      (x * (scale * np.log2(np.e))).astype(dtype)
      for x in halves(gpu_rows.Q, at)]
  keys = lambda at: [x.astype(dtype) for x in halves(gpu_rows.K, at)]
  zeros = lambda *width: jnp.zeros((own, *width), jnp.float32)

  def weights(j, a, b, logarithm, of_keys=False):
    at = pl.ds(j * visited, visited)
    together = gpu_rows.seen(
        own_ids, ids[at], i * own, j * visited, reach, of_keys=of_keys)
    scores = gpu_rows.scores(dtype, a, b)
    return jnp.exp2(jnp.where(together, scores, common.LOWEST) - logarithm)

  def turned_back(x):
    cos, sin = (t[here, :].astype(jnp.float32) for t in angles) if rotary else (
        None, 0.0)
    return gpu_rows.turn(*x, cos, -sin)

  def write(part, start, x):
    result[:, part, pl.ds(start, x.shape[1])] = x.astype(dtype)

  k, v = keys(here), qkv[here, gpu_rows.V, :]

  def visit_queries(j, carry):
    grad_v, *grad_k = carry
    at = pl.ds(j * visited, visited)
    q, do = queries(at), gradient[at, :]
    p = weights(j, k, q, lse[at][None, :], of_keys=True)
    grad_v += dot(p.astype(dtype), do, ((1,), (0,)))
    dp = dot(v, do, ((1,), (1,)))
    ds = (p * (dp - delta[at][None, :])).astype(dtype)
    return grad_v, *(
        g + dot(ds, x, ((1,), (0,))) for g, x in zip(grad_k, q))

  grad_v, *grad_k = jax.lax.fori_loop(
      query_ranges[0, i], query_ranges[1, i], visit_queries,
      (zeros(d), zeros(half), zeros(half)))
  write(gpu_rows.V, 0, grad_v)
  for n, x in enumerate(turned_back([g * np.log(2.0) for g in grad_k])):
    write(gpu_rows.K, n * half, x)

  q, do = queries(here), gradient[here, :]
  logarithm, own_delta = lse[here][:, None], delta[here][:, None]

  def visit_keys(j, carry):
    at = pl.ds(j * visited, visited)
    k, v = keys(at), qkv[at, gpu_rows.V, :]
    p = weights(j, q, k, logarithm)
    ds = (p * (dot(do, v, ((1,), (1,))) - own_delta)).astype(dtype)
    return tuple(g + dot(ds, x, ((1,), (0,))) for g, x in zip(carry, k))

  grad_q = jax.lax.fori_loop(
      key_ranges[0, i], key_ranges[1, i], visit_keys,
      (zeros(half), zeros(half)))
  for n, x in enumerate(turned_back([g * scale for g in grad_q])):
    write(gpu_rows.Q, n * half, x)
