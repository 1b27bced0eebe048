# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Exact nearest neighbours by inner product, on all local devices.

Documents are split over the devices, queries pass by in blocks, and each
device scans its documents block by block, so scores are never held for more
than one block of each. Finding the best k of a wide row is slower than
computing the row, so it is done in two levels: documents are seen in groups
of consecutive rows, and only the k groups with the largest maxima are opened.
That is exact: a document outside them has k documents before it, one at least
as good in each of k groups, and a group that ties and comes first holds lower
row numbers.
"""

import functools

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
import numpy as np

from nomic_jax.errors import UserError
from nomic_jax.progress import Progress

_AXIS = "devices"
_GROUP = 32
# On CPU one block of scores (256 x 32768 float32) stays near the cache;
# accelerators want larger products.
_CPU_QUERIES, _OTHER_QUERIES, _DOCUMENTS = 256, 2048, 32768


def top_k(
    queries: np.ndarray,
    documents: np.ndarray,
    k: int,
    *,
    query_block: int | None = None,
    document_block: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the k documents with the largest inner product with each query.

  Args:
    queries: [Q, D], read block by block, so a memory-mapped array will do.
    documents: [C, D], the same width.
    k: neighbours per query, at most C.
    query_block: queries per step; by default chosen for the platform.
    document_block: documents per step on one device.

  Returns:
    scores [Q, k] float32, falling, and row numbers [Q, k] int32. Of documents
    with equal scores the one with the lower row number comes first.

  Raises:
    UserError: for widths that differ, a k that cannot be, or an entry that is
      not finite; the message names the row.
  """
  index = Index(documents, document_block=document_block)
  return index.search(queries, k, query_block=query_block)


class Index:
  """Documents placed on the devices once, to be searched several times."""

  def __init__(
      self, documents: np.ndarray, *, document_block: int | None = None
  ):
    """Places `documents` [C, D] over the local devices, in float32."""
    _check(documents, "documents")
    self.size, self.width = documents.shape
    devices = jax.local_devices()
    self._mesh = Mesh(np.array(devices), (_AXIS,))
    # Blocks of equal size, whole groups each: little is padding.
    share = max(1, -(-self.size // len(devices)))
    blocks = -(-share // (document_block or _DOCUMENTS))
    self._block = -(-share // (blocks * _GROUP)) * _GROUP
    shape = (len(devices) * blocks * self._block, self.width)
    self._documents = jax.make_array_from_callback(
        shape,
        NamedSharding(self._mesh, P(_AXIS)),
        lambda at: _padded(documents, at[0], shape[0]),
    )

  def search(
      self,
      queries: np.ndarray,
      k: int,
      *,
      query_block: int | None = None,
      progress: Progress | None = None,
  ) -> tuple[np.ndarray, np.ndarray]:
    """As `top_k`; `progress` is told of the queries done."""
    _check(queries, "queries")
    if queries.shape[1] != self.width:
      raise UserError(
          f"queries are {queries.shape[1]} wide and documents {self.width}; "
          "embed both with the same model"
      )
    if not 1 <= k <= self.size:
      raise UserError(
          f"k={k}: expected 1 to {self.size}, the number of documents; "
          "lower k or give more documents"
      )
    count = len(queries)
    if query_block is None:
      on_cpu = self._mesh.devices.flat[0].platform == "cpu"
      query_block = _CPU_QUERIES if on_cpu else _OTHER_QUERIES
      query_block = min(query_block, 1 << max(0, count - 1).bit_length())
    scores = np.empty((count, k), np.float32)
    rows = np.empty((count, k), np.int32)
    everywhere = NamedSharding(self._mesh, P())
    before = None  # The result before last is fetched while a device works.
    for start in range(0, count, query_block):
      block = _padded(queries, slice(start, start + query_block), None)
      found = _search(
          jax.device_put(block, everywhere), self._documents, k=k,
          block=self._block, size=self.size, mesh=self._mesh,
      )
      if before is not None:
        _store(before, scores, rows, progress)
      before = start, min(query_block, count - start), found
    if before is not None:
      _store(before, scores, rows, progress)
    return scores, rows


def _store(found, scores, rows, progress: Progress | None) -> None:
  start, n, (block_scores, block_rows) = found
  scores[start:start + n] = np.asarray(block_scores)[:n]
  rows[start:start + n] = np.asarray(block_rows)[:n]
  if progress is not None:
    progress.update(n)


def _check(vectors: np.ndarray, name: str, step: int = 65536) -> None:
  if vectors.ndim != 2:
    raise UserError(f"{name}: expected [rows, width], found {vectors.shape}")
  for start in range(0, len(vectors), step):
    # A sum is finite only if its terms are; rows are searched when it is not.
    part = np.asarray(vectors[start:start + step])
    if np.isfinite(part.sum()):
      continue
    bad = ~np.isfinite(part).all(axis=1)
    if bad.any():
      raise UserError(
          f"{name}, row {start + int(bad.argmax())}: the vector is not "
          "finite (NaN or infinity); look at this row's text and the model"
      )


def _padded(vectors: np.ndarray, at: slice, total: int | None) -> np.ndarray:
  """Rows `at` of `vectors` as float32, with zero rows where there are none."""
  start, stop, _ = at.indices(at.stop if total is None else total)
  part = np.asarray(vectors[start:stop], np.float32)
  missing = stop - start - len(part)
  return np.pad(part, ((0, missing), (0, 0))) if missing else part


@functools.partial(jax.jit, static_argnames=("k", "block", "size", "mesh"))
def _search(queries, documents, *, k: int, block: int, size: int, mesh: Mesh):
  """Best k of all devices' documents: scores and rows, each [queries, k]."""
  on_device = jax.shard_map(
      functools.partial(_search_device, k=k, block=block, size=size),
      mesh=mesh,
      in_specs=(P(), P(_AXIS)),
      out_specs=(P(None, _AXIS), P(None, _AXIS)),
  )
  # Devices hold consecutive rows, so ties still fall to the lower one.
  return _best(*on_device(queries, documents), k)


def _search_device(queries, documents, *, k: int, block: int, size: int):
  """Best k of one device's documents, read in blocks of `block`."""
  share = len(documents)
  first = jax.lax.axis_index(_AXIS) * share

  def step(best, inputs):
    start, part = inputs
    # Accelerators multiply float32 in fewer bits unless asked not to.
    scores = jnp.dot(part, queries.T, precision=jax.lax.Precision.HIGHEST)
    row = start + jnp.arange(block)
    scores = jnp.where(row[:, None] < size, scores, -jnp.inf)
    found, at = _best_of_block(scores, min(k, block))
    merged = (
        jnp.concatenate([best[0], found], axis=1),
        jnp.concatenate([best[1], at + start], axis=1),
    )
    return _best(*merged, k), None

  shape = (len(queries), k)
  # The scan's carry must vary by device from the start, as its results do.
  empty = jax.lax.pcast(
      (jnp.full(shape, -jnp.inf), jnp.full(shape, size, jnp.int32)),
      _AXIS, to="varying",
  )
  starts = first + block * jnp.arange(share // block, dtype=jnp.int32)
  parts = documents.reshape(share // block, block, -1)
  return jax.lax.scan(step, empty, (starts, parts))[0]


def _best_of_block(scores, k: int):
  """Best k rows of each column of `scores` [block, queries], both levels."""
  block, queries = scores.shape
  groups = block // _GROUP
  maxima = scores.reshape(groups, _GROUP, queries).max(axis=1).T
  _, opened = jax.lax.top_k(_plain_zero(maxima), min(k, groups))
  # In order of rows, since a tie falls to what comes first.
  opened = jnp.sort(opened, axis=1)
  rows = opened[:, :, None] * _GROUP + jnp.arange(_GROUP, dtype=jnp.int32)
  rows = rows.reshape(queries, -1)
  return _best(scores[rows, jnp.arange(queries)[:, None]], rows, k)


def _best(scores, rows, k: int):
  best, at = jax.lax.top_k(_plain_zero(scores), k)
  return best, jnp.take_along_axis(rows, at, axis=1)


def _plain_zero(x):
  """Turns -0 into 0, which `top_k` would put after 0 where they tie."""
  return jnp.where(x == 0, 0.0, x)
