# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A bias of scores by the distance of two tokens, as a matrix.

Texts lie in one piece, so that distances within a text are those of a row.
"""

import jax
from jax import Array
import jax.numpy as jnp


def square(bias: Array, length: int) -> Array:
  """Bias [H, 2 S - 1] by distance to [H, S, S] of queries and keys."""
  return _toeplitz(bias, length)


def part(bias: Array, first: Array, queries: int, length: int) -> Array:
  """The rows of `square` of some queries: [H, queries, S].

  Args:
    bias: float32 [H, 2 S - 1].
    first: int32, the place of the first of the queries; rows beyond S are
      anything.
    queries: how many.
    length: S.
  """
  # Of queries beyond the row's end there is no bias; they are padding.
  bias = jnp.pad(bias, ((0, 0), (queries, 0)))
  size = queries + length - 1
  start = length - first  # of distance -(first + queries - 1)
  return _toeplitz(
    jax.lax.dynamic_slice_in_dim(bias, start, size, axis=1), queries
  )


def _toeplitz(bias: Array, queries: int) -> Array:
  """[H, Q + S - 1] to [H, Q, S], whose element (i, j) is j - i + Q - 1.

  By copies and cuts: a gather's gradient would add up a number at a time.
  """
  heads, size = bias.shape
  lines = jnp.tile(jnp.pad(bias, ((0, 0), (0, 1))), (1, queries))
  lines = lines[:, : queries * size].reshape(heads, queries, size)
  return lines[:, :, queries - 1 :]
