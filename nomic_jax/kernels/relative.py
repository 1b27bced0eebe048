# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Expands a bias by distance to a matrix of queries and keys.

Texts are contiguous, so the distance between two tokens of a text is the
difference of their positions in the row.
"""

import jax
from jax import Array
import jax.numpy as jnp


def square(bias: Array, length: int) -> Array:
  """Expands a bias by distance [H, 2 S - 1] to [H, S, S]."""
  return _toeplitz(bias, length)


def part(bias: Array, first: Array, queries: int, length: int) -> Array:
  """Returns the rows of `square` for a block of queries: [H, queries, S].

  Args:
    bias: float32 [H, 2 S - 1].
    first: int32 index of the first query. Rows of queries beyond S are
      arbitrary.
    queries: the number of queries.
    length: S.
  """
  bias = jnp.pad(bias, ((0, 0), (queries, 0)))
  size = queries + length - 1
  start = length - first  # of distance -(first + queries - 1)
  return _toeplitz(
    jax.lax.dynamic_slice_in_dim(bias, start, size, axis=1), queries
  )


def _toeplitz(bias: Array, queries: int) -> Array:
  """Returns [H, Q, S], whose element (i, j) is `bias[:, j - i + Q - 1]`.

  It only copies and slices, since the gradient of a gather would be a scatter.
  """
  heads, size = bias.shape
  lines = jnp.tile(jnp.pad(bias, ((0, 0), (0, 1))), (1, queries))
  lines = lines[:, : queries * size].reshape(heads, queries, size)
  return lines[:, :, queries - 1 :]
