# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The best k documents of a block of queries, as one program for a mesh.

Each device scans its documents a little at a time. What it keeps is not the
scores but the largest of each group of consecutive documents; then only the k
groups with the largest maxima are opened, their documents multiplied once more
and the best k taken. That is exact: a document outside them has k documents
before it, one at least as good in each of k groups, and a group that ties and
comes first holds lower row numbers. Sorting, which is slower than multiplying,
thus sees a few numbers for each query.
"""

import functools

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

AXIS = "devices"
GROUP = 8
_LEVEL = 16  # maxima under one of the next level, when groups are chosen
_FEW = 512  # so many are sorted without a further level


@functools.partial(jax.jit, static_argnames=("k", "block", "mesh", "opened"))
def search_block(
  queries, documents, size, *, k: int, block: int, mesh: Mesh, opened: int
):
  """Best k of all devices' documents: scores and rows, each [queries, k].

  Args:
    queries: vectors [Q, D] and what to multiply products by, [Q]; on every
      device.
    documents: likewise [C, D] and [C], split over the devices.
    size: documents that are not padding; the others come last.
    k: how many to find.
    block: documents multiplied at a time; divides a device's share.
    mesh: the devices.
    opened: queries whose groups are opened at a time.
  """
  on_device = jax.shard_map(
    functools.partial(_search_device, k=k, block=block, opened=opened),
    mesh=mesh,
    in_specs=(P(), P(AXIS), P()),
    out_specs=(P(None, AXIS), P(None, AXIS)),
  )
  # Devices hold consecutive rows, so ties still fall to the lower one.
  found = _best(*on_device(queries, documents, size), k)
  return jax.lax.with_sharding_constraint(found, NamedSharding(mesh, P()))


def _search_device(
  queries, documents, size, *, k: int, block: int, opened: int
):
  """Best k, or all if fewer, of one device's documents."""
  share = len(documents[0])
  first = jax.lax.axis_index(AXIS) * share

  def step(row, part):
    scores = _scores(part, queries)
    real = (row + jnp.arange(block) < size)[:, None]
    scores = jnp.where(real, scores, -jnp.inf)
    return row + block, scores.reshape(block // GROUP, GROUP, -1).max(axis=1)

  parts = jax.tree.map(
    lambda x: x.reshape(share // block, block, *x.shape[1:]), documents
  )
  _, maxima = jax.lax.scan(step, first, parts)
  groups = share // GROUP
  found = _best_groups(maxima.reshape(groups, -1), min(k, groups))
  rows = (found[:, :, None] * GROUP + jnp.arange(GROUP)).reshape(len(found), -1)

  def open_groups(arguments):
    query, rows = arguments
    taken = jax.tree.map(lambda x: x[rows], documents)
    query = jax.tree.map(lambda x: x[None], query)
    return _scores(taken, query)[:, 0]

  scores = jax.lax.map(
    open_groups, (queries, rows), batch_size=opened if opened > 1 else None
  )
  rows += first
  scores = jnp.where(rows < size, scores, -jnp.inf)
  return _best(scores, rows, min(k, rows.shape[1]))


def _scores(documents, queries):
  """Inner products [documents, queries] float32 of stored vectors."""
  (documents, scale), (queries, query_scale) = documents, queries
  whole = documents.dtype == jnp.int8
  scores = jnp.dot(
    documents,
    queries.T,
    # Accelerators multiply float32 in fewer bits unless asked not to.
    precision=jax.lax.Precision.HIGHEST,
    preferred_element_type=jnp.int32 if whole else jnp.float32,
  )
  if whole:
    scores = scores * scale[:, None] * query_scale
  return scores


def _best_groups(maxima, k: int):
  """The k groups with the largest of `maxima` [groups, Q], rising, [Q, k].

  By the same method as the search: only the best groups of groups are looked
  into.
  """
  groups, queries = maxima.shape
  if groups <= max(_FEW, 2 * k * _LEVEL):
    found = jax.lax.top_k(_plain_zero(maxima.T), k)[1]
  else:
    padded = jnp.pad(
      maxima, ((0, -groups % _LEVEL), (0, 0)), constant_values=-jnp.inf
    )
    above = padded.reshape(-1, _LEVEL, queries).max(axis=1)
    rows = _best_groups(above, k)[:, :, None] * _LEVEL + jnp.arange(_LEVEL)
    rows = rows.reshape(queries, -1)
    found = _best(padded[rows, jnp.arange(queries)[:, None]], rows, k)[1]
  # In order of rows, since a tie falls to what comes first.
  return jnp.sort(found, axis=1)


def _best(scores, rows, k: int):
  best, at = jax.lax.top_k(_plain_zero(scores), k)
  return best, jnp.take_along_axis(rows, at, axis=1)


def _plain_zero(x):
  """Turns -0 into 0, which `top_k` would put after 0 where they tie."""
  return jnp.where(x == 0, 0.0, x)
