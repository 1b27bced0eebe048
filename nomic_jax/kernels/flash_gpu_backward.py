# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Flash attention on NVIDIA GPUs: the backward pass (Pallas, Triton).

One kernel: a program handles a block of tokens of one key and value head. It
computes the gradients of keys and values from the queries that see them, over
all query heads that share them, and then the gradients of its queries from the
keys that they see. Both recompute the weights. This avoids atomic additions,
whose order would change from run to run.
"""

import functools

import jax
from jax import Array
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as plgpu
import jax.numpy as jnp
from jaxtyping import Float
from jaxtyping import Float32
import numpy as np

from nomic_jax.kernels import blocks
from nomic_jax.kernels import common
from nomic_jax.kernels import gpu_rows
from nomic_jax.kernels.gpu_rows import Rows
from nomic_jax.kernels.layout import Call


def backward(
  call: Call,
  qkv: Float[Array, "B S columns d"],
  rows: Rows,
  out: Float[Array, "B S H d"],
  lse: Float32[Array, "B H S"],
  gradient: Float[Array, "B S H d"],
) -> Float[Array, "B S columns d"]:
  """Computes the gradient of qkv, [B, S, H + 2 K, d] in the dtype of qkv.

  Args:
    call: static.
    qkv: [B, S, H + 2 K, d]; the blocks divide S.
    rows: the rows of the batch.
    out: [B, S, H, d], the output.
    lse: as returned by `flash_gpu.forward`.
    gradient: the gradient with respect to the output.
  """
  batch, length, _, d = qkv.shape
  layout = call.layout
  *_, own, visited = blocks.find("pallas_gpu", call, length, qkv.dtype)
  delta = jnp.einsum(
    "bshd,bshd->bhs",
    out,
    gradient,
    preferred_element_type=jnp.float32,
    precision=jax.lax.Precision.HIGHEST,
  )
  tables, table_specs = gpu_rows.specs(rows, rows.queries, rows.keys)
  line = pl.BlockSpec((None, layout.group, length), lambda i, h, b: (b, h, 0))
  row, *_ = specs = gpu_rows.heads(layout, length)
  return pl.pallas_call(
    functools.partial(
      _kernel,
      layout=layout,
      own=own,
      visited=visited,
      reach=call.reach,
      rotary=rows.cos is not None,
    ),
    grid=(length // own, layout.kv_heads, batch),
    in_specs=[*specs, row, line, line, *table_specs],
    # The block has all heads; a program writes only its own.
    out_specs=pl.BlockSpec(
      (None, own, *qkv.shape[2:]), lambda i, h, b: (b, i, 0, 0)
    ),
    out_shape=jax.ShapeDtypeStruct(qkv.shape, qkv.dtype),
    compiler_params=plgpu.CompilerParams(
      num_warps=4 if d == 64 else 8, num_stages=2
    ),
    interpret=call.interpret,
    name=f"flash_backward{call.reach.suffix}",
  )(qkv, qkv, qkv, gradient, lse, delta, *tables)


def _kernel(
  q_ref,
  k_ref,
  v_ref,
  gradient,
  lse,
  delta,
  query_ranges,
  key_ranges,
  ids,
  *refs,
  layout,
  own,
  visited,
  reach,
  rotary,
):
  """Computes one block of tokens of a key and value head and its queries."""
  *angles, result = refs
  assert len(angles) == 2 * rotary
  i, head, dtype = pl.program_id(0), pl.program_id(1), q_ref.dtype
  d, group = layout.width, layout.group
  half, scale = d // 2, d**-0.5
  here = pl.ds(i * own, own)
  own_ids = ids[here]
  dot = functools.partial(common.matmul, dtype)
  log2_scale = scale * np.log2(np.e)

  def queries(g, at):
    a, b = gpu_rows.halves(q_ref, g, at, angles)
    return (a * log2_scale).astype(dtype), (b * log2_scale).astype(dtype)

  def keys(at):
    a, b = gpu_rows.halves(k_ref, 0, at, angles)
    return a.astype(dtype), b.astype(dtype)

  zeros = lambda *width: jnp.zeros((own, *width), jnp.float32)

  def each(visit, start):
    """Calls `visit` for each of the query heads."""
    return (
      visit(0, start)
      if group == 1
      else jax.lax.fori_loop(0, group, visit, start)
    )

  def weights(j, a, b, logarithm, of_keys=False):
    at = pl.ds(j * visited, visited)
    together = gpu_rows.seen(
      own_ids, ids[at], i * own, j * visited, reach, of_keys=of_keys
    )
    scores = gpu_rows.scores(dtype, a, b)
    return jnp.exp2(jnp.where(together, scores, common.LOWEST) - logarithm)

  def unrotated(x):
    if not rotary:
      return x
    cos, sin = (t[here, :].astype(jnp.float32) for t in angles)
    a, b = x
    return gpu_rows.rotate(a, b, cos, -sin)

  def write(to, start, x):
    result[:, to, pl.ds(start, x.shape[1])] = x.astype(dtype)

  k, v = keys(here), v_ref[here, 0, :]

  def from_queries(g, carry):
    def visit(j, carry):
      grad_v, *grad_k = carry
      at = pl.ds(j * visited, visited)
      q, do = queries(g, at), gradient[at, g, :]
      p = weights(j, k, q, lse[g, at][None, :], of_keys=True)
      grad_v += dot(p.astype(dtype), do, ((1,), (0,)))
      dp = dot(v, do, ((1,), (1,)))
      ds = (p * (dp - delta[g, at][None, :])).astype(dtype)
      return grad_v, *(
        grad + dot(ds, x, ((1,), (0,))) for grad, x in zip(grad_k, q)
      )

    return jax.lax.fori_loop(
      query_ranges[0, i], query_ranges[1, i], visit, carry
    )

  grad_v, *grad_k = each(from_queries, (zeros(d), zeros(half), zeros(half)))
  write(layout.heads + layout.kv_heads + head, 0, grad_v)
  for n, x in enumerate(unrotated([g * np.log(2.0) for g in grad_k])):
    write(layout.heads + head, n * half, x)

  def from_keys(g, carry):
    q, do = queries(g, here), gradient[here, g, :]
    logarithm, own_delta = lse[g, here][:, None], delta[g, here][:, None]

    def visit(j, carry):
      at = pl.ds(j * visited, visited)
      k, v = keys(at), v_ref[at, 0, :]
      p = weights(j, q, k, logarithm)
      ds = (p * (dot(do, v, ((1,), (1,))) - own_delta)).astype(dtype)
      return tuple(grad + dot(ds, x, ((1,), (0,))) for grad, x in zip(carry, k))

    grad_q = jax.lax.fori_loop(
      key_ranges[0, i], key_ranges[1, i], visit, (zeros(half), zeros(half))
    )
    for n, x in enumerate(unrotated([x * scale for x in grad_q])):
      write(head * group + g, n * half, x)
    return carry

  each(from_keys, 0)
