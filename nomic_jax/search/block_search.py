# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The best k documents for a block of queries, as one program for a mesh.

Each device scans its documents a few at a time and keeps only the maximum score
of each group of consecutive documents. Then only the k groups with the largest
maxima are opened: their documents are multiplied again and the best k are
taken. This is exact: each of the k groups has a document that is at least as
good as any document outside of them and, in a tie, has a lower row number. So
only a few numbers per query are sorted, which is slower than multiplying.
"""

import functools

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

AXIS = "devices"
GROUP = 8
_LEVEL = 16  # when choosing groups: maxima under a maximum of the next level
_FEW = 512  # up to this many maxima are sorted without another level


@functools.partial(jax.jit, static_argnames=("k", "block", "mesh", "opened"))
def search_block(
  queries, documents, size, *, k: int, block: int, mesh: Mesh, opened: int
):
  """Returns the best k of all devices' documents: scores and rows [Q, k].

  Args:
    queries: vectors [Q, D], and factors of their products [Q]; replicated.
    documents: vectors [C, D] and factors [C], sharded over the devices.
    size: number of documents that are not padding; padding comes last.
    k: number of documents to find.
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
  # Devices hold consecutive rows, so the lower row still wins a tie.
  best = _best(*on_device(queries, documents, size), k)
  return jax.lax.with_sharding_constraint(best, NamedSharding(mesh, P()))


def _search_device(
  queries, documents, size, *, k: int, block: int, opened: int
):
  """Returns the best k of one device's documents, or all if fewer."""
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
  chosen = _best_groups(maxima.reshape(groups, -1), min(k, groups))
  rows = (chosen[:, :, None] * GROUP + jnp.arange(GROUP)).reshape(
    len(chosen), -1
  )

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
  """Returns inner products [documents, queries] float32 of stored vectors."""
  (documents, scale), (queries, query_scale) = documents, queries
  integer = documents.dtype == jnp.int8
  scores = jnp.dot(
    documents,
    queries.T,
    # Accelerators multiply float32 in reduced precision by default.
    precision=jax.lax.Precision.HIGHEST,
    preferred_element_type=jnp.int32 if integer else jnp.float32,
  )
  if integer:
    scores = scores * scale[:, None] * query_scale
  return scores


def _best_groups(maxima, k: int):
  """Returns the k groups with the largest of `maxima` [groups, Q]: [Q, k].

  They are in increasing order. As in the search, only the best groups of groups
  are examined.
  """
  groups, queries = maxima.shape
  if groups <= max(_FEW, 2 * k * _LEVEL):
    chosen = jax.lax.top_k(_plain_zero(maxima.T), k)[1]
  else:
    padded = jnp.pad(
      maxima, ((0, -groups % _LEVEL), (0, 0)), constant_values=-jnp.inf
    )
    above = padded.reshape(-1, _LEVEL, queries).max(axis=1)
    rows = _best_groups(above, k)[:, :, None] * _LEVEL + jnp.arange(_LEVEL)
    rows = rows.reshape(queries, -1)
    chosen = _best(padded[rows, jnp.arange(queries)[:, None]], rows, k)[1]
  # In order of rows, since the first wins a tie.
  return jnp.sort(chosen, axis=1)


def _best(scores, rows, k: int):
  best, at = jax.lax.top_k(_plain_zero(scores), k)
  return best, jnp.take_along_axis(rows, at, axis=1)


def _plain_zero(x):
  """Turns -0 into 0, since `top_k` would rank it below 0."""
  return jnp.where(x == 0, 0.0, x)
