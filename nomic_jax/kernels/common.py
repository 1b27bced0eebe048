# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Parts that the kernels of all devices share."""

from collections.abc import Callable
from collections.abc import Sequence
import functools
from typing import Any
from typing import cast

import jax
from jax import Array
from jax.ad_checkpoint import checkpoint_name
import jax.numpy as jnp
from jaxtyping import Float
from jaxtyping import Float32
from jaxtyping import Int
from jaxtyping import Int32
from jaxtyping import PyTree
from jaxtyping import Shaped
import numpy as np

from nomic_jax.kernels.layout import Call
from nomic_jax.kernels.layout import Reach

LOWEST = -1e30  # a masked score; not -inf, whose differences are NaN
NO_ID = 2**16  # larger than any segment id


def ranges(
  ids: Int[Array, "B S"],
  own: int,
  other: int,
  reach: Reach,
  *,
  of_keys: bool = False,
) -> Int32[Array, "B 2 blocks"]:
  """Returns which blocks of `other` tokens each block of `own` tokens visits.

  Args:
    ids: int32 [B, S]; `own` and `other` divide S.
    own: number of tokens in a visiting block.
    other: number of tokens in a visited block.
    reach: which keys a query sees.
    of_keys: whether blocks of keys visit the queries that see them, instead of
      blocks of queries visiting the keys that they see.

  Returns:
    int32 [B, 2, S/own], the first visited block and the end (exclusive); both
    are 0 for a block of padding.
  """

  def extent(size):  # smallest and largest id of a block's texts
    x = ids.reshape(ids.shape[0], -1, size)
    return jnp.where(x > 0, x, NO_ID).min(-1), x.max(-1)

  (low, high), (other_low, other_high) = extent(own), extent(other)
  overlap = (low[:, :, None] <= other_high[:, None]) & (
    other_low[:, None] <= high[:, :, None]
  )
  overlap &= (high > 0)[:, :, None] & (other_high > 0)[:, None]
  start = jnp.arange(overlap.shape[1])[:, None] * own
  other_start = jnp.arange(overlap.shape[2]) * other
  before, after = (reach.ahead, reach.back) if of_keys else reach
  if before is not None:
    overlap &= start - before < other_start + other
  if after is not None:
    overlap &= other_start - after < start + own
  at = jnp.arange(overlap.shape[2])
  first = jnp.where(overlap, at, overlap.shape[2]).min(-1)
  end = jnp.where(overlap, at + 1, 0).max(-1)
  return jnp.stack([jnp.minimum(first, end), end], axis=1).astype(jnp.int32)


def matmul(
  dtype: jnp.dtype,
  a: Float[Array, "..."],
  b: Float[Array, "..."],
  contract: tuple[Sequence[int], Sequence[int]],
) -> Float32[Array, "..."]:
  """Contracts one pair of axes with exact products and float32 sums."""
  exact = dtype == jnp.float32
  return jax.lax.dot_general(
    a,
    b,
    (contract, ((), ())),
    preferred_element_type=jnp.float32,
    precision=jax.lax.Precision.HIGHEST if exact else None,
  )


def padded(
  x: Shaped[Array, "B S *rest"], multiple: int
) -> Shaped[Array, "B padded *rest"]:
  """Pads x [B, S, ...] with zeros to a multiple of `multiple` tokens."""
  extra = -x.shape[1] % multiple
  return jnp.pad(x, ((0, 0), (0, extra)) + ((0, 0),) * (x.ndim - 2))


def no_gradient(rows: PyTree) -> PyTree:
  """Returns zero gradients for the rows of a kernel, which are constants."""
  return jax.tree.map(
    lambda x: (
      np.zeros(x.shape, jax.dtypes.float0)
      if x.dtype == jnp.int32
      else jnp.zeros_like(x)
    ),
    rows,
  )


def differentiable(
  forward: Callable[..., tuple[Array, Array]], backward: Callable[..., Array]
) -> Callable[..., Array]:
  """Returns attention, differentiable in qkv, that two kernels compute.

  Args:
    forward: computes the output and the log-sum-exps from call, qkv and rows.
    backward: computes the gradient of qkv from these, what `forward` returned,
      and the gradient of the output.
  """

  @functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
  def attend(call: Call, qkv: Array, rows: PyTree) -> Array:
    out, _ = forward(call, qkv, rows)
    return out

  def attend_fwd(call: Call, qkv: Array, rows: PyTree) -> Any:
    # Named so that rematerialisation can keep them: see model/encoder.py.
    out, lse = checkpoint_name(forward(call, qkv, rows), "attention")
    return out, (qkv, rows, out, lse)

  def attend_bwd(call: Call, saved: Any, gradient: Array) -> Any:
    qkv, rows, out, lse = saved
    grad = backward(call, qkv, rows, out, lse, gradient)
    return grad, no_gradient(rows)

  attend.defvjp(attend_fwd, attend_bwd)
  return cast(Callable[..., Array], attend)


def lacks(call: Call, dtype: np.dtype | None, *known: str) -> str:
  """Returns why kernels cannot compute a call in this dtype; "" if they can.

  Args:
    call: what to compute.
    dtype: the dtype of qkv; None if unknown.
    *known: names of the supported dtypes.
  """
  if call.relative:
    return "adds no relative bias to its scores"
  if dtype is None or dtype.name in known:
    return ""
  return f"computes in {' or '.join(known)}, not {dtype.name}"
