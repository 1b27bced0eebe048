# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""What the kernels of all devices share."""

from typing import Any

import jax
from jax import Array
import jax.numpy as jnp
import numpy as np

from nomic_jax.kernels.layout import Reach

LOWEST = -1e30  # of a score, and not -inf, whose differences are NaN
NOBODY = 2**16  # above all segment ids


def ranges(
  ids: Array, own: int, other: int, reach: Reach, *, of_keys: bool = False
) -> Array:
  """Which blocks of `other` tokens a block of `own` tokens has to look at.

  Args:
    ids: int32 [B, S]; `own` and `other` divide S.
    own: tokens in a block that looks.
    other: tokens in a block that is looked at.
    reach: of a query.
    of_keys: whether keys look for the queries that see them, and not queries
      for the keys that they see.

  Returns:
    int32 [B, 2, S/own], the first block and one after the last; both 0 where
    there is nothing but padding.
  """

  def extent(size):  # least and greatest id of a block's texts
    x = ids.reshape(ids.shape[0], -1, size)
    return jnp.where(x > 0, x, NOBODY).min(-1), x.max(-1)

  (low, high), (other_low, other_high) = extent(own), extent(other)
  meet = (low[:, :, None] <= other_high[:, None]) & (
    other_low[:, None] <= high[:, :, None]
  )
  meet &= (high > 0)[:, :, None] & (other_high > 0)[:, None]
  start = jnp.arange(meet.shape[1])[:, None] * own
  other_start = jnp.arange(meet.shape[2]) * other
  before, after = (reach.ahead, reach.back) if of_keys else reach
  if before is not None:
    meet &= start - before < other_start + other
  if after is not None:
    meet &= other_start - after < start + own
  at = jnp.arange(meet.shape[2])
  first = jnp.where(meet, at, meet.shape[2]).min(-1)
  end = jnp.where(meet, at + 1, 0).max(-1)
  return jnp.stack([jnp.minimum(first, end), end], axis=1).astype(jnp.int32)


def matmul(dtype: Any, a: Array, b: Array, contract: Any) -> Array:
  """Contracts a pair of axes; exact products, float32 sums."""
  exact = dtype == jnp.float32
  return jax.lax.dot_general(
    a,
    b,
    (contract, ((), ())),
    preferred_element_type=jnp.float32,
    precision=jax.lax.Precision.HIGHEST if exact else None,
  )


def padded(x: Array, multiple: int) -> Array:
  """X [B, S, ...] with zeros after the row, up to a multiple of tokens."""
  extra = -x.shape[1] % multiple
  return jnp.pad(x, ((0, 0), (0, extra)) + ((0, 0),) * (x.ndim - 2))


def no_gradient(rows: Any) -> Any:
  """The gradient of a kernel's rows: nobody asks for it."""
  return jax.tree.map(
    lambda x: (
      np.zeros(x.shape, jax.dtypes.float0)
      if x.dtype == jnp.int32
      else jnp.zeros_like(x)
    ),
    rows,
  )


def lacks_dtype(dtype: Any, *known: str) -> str:
  """Why a kernel cannot compute in a dtype; "" if it can or it is None."""
  if dtype is None or dtype.name in known:
    return ""
  return f"computes in {' or '.join(known)}, not {dtype.name}"
