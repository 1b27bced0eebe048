# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Computing in blocks of rows, so that large results never exist at once."""

from collections.abc import Callable

import jax
from jax import Array
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import PyTree


def map_blocks(
  f: Callable[[PyTree], PyTree], most: int, rows: PyTree
) -> PyTree:
  """Applies f to blocks of at most `most` rows of the leading axis in sequence.

  Blocks are interleaved, so that each has an equal part of every device's rows,
  and their number is a power of two. If the number of blocks does not divide
  the number of rows, rows of zeros are appended and their results are dropped.

  Args:
    f: from a tree of [R, ...] arrays to another such tree.
    most: the largest number of rows in a block.
    rows: a tree of [N, ...] arrays.
  """
  size = jax.tree.leaves(rows)[0].shape[0]
  blocks = 1
  while blocks * most < size:
    blocks *= 2
  if blocks == 1:
    return f(rows)
  filled = -(-size // blocks) * blocks

  def split(x: Array) -> Array:
    if filled > size:
      x = jnp.pad(x, [(0, filled - size)] + [(0, 0)] * (x.ndim - 1))
    return x.reshape(-1, blocks, *x.shape[1:]).swapaxes(0, 1)

  join = lambda x: x.swapaxes(0, 1).reshape(filled, *x.shape[2:])[:size]
  return jax.tree.map(join, jax.lax.map(f, jax.tree.map(split, rows)))


def whole(arrays: PyTree) -> PyTree:
  """Replicates arrays over the devices of the current mesh, if any.

  Otherwise the partitioner would gather a part in each iteration of the loop.
  """
  if jax.sharding.get_abstract_mesh().empty:
    return arrays
  return jax.lax.with_sharding_constraint(arrays, PartitionSpec())
