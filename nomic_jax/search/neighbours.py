# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Exact nearest neighbours by inner product, on the devices of all processes.

Documents are split over the devices once, and queries pass by in blocks, each
by the program in `block_search`; scores are never held for all of them.
"""

from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
import numpy as np

from nomic_jax.errors import one_of
from nomic_jax.errors import UserError
from nomic_jax.search import block_search
from nomic_jax.storage.progress import Progress

STORES = ("float32", "bfloat16", "int8")
_RECALL_BLOCK = 1 << 17  # documents held in float32 to report recall


class _Sizes(NamedTuple):
  """What suits a platform.

  Attributes:
    queries: in a block.
    documents: multiplied at a time; on CPU their scores stay in the cache.
    opened: queries whose groups are opened at a time. On CPU a gather of many
      costs more than one product after another.
  """

  queries: int
  documents: int
  opened: int


_CPU, _OTHER = _Sizes(512, 1024, 1), _Sizes(2048, 4096, 256)


def top_k(
  queries: np.ndarray,
  documents: np.ndarray,
  k: int,
  *,
  query_block: int | None = None,
  document_block: int | None = None,
  store: str = "float32",
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the k documents with the largest inner product with each query.

  Args:
    queries: [Q, D], read block by block, so a memory-mapped array will do.
    documents: [C, D], the same width.
    k: neighbours per query, at most C.
    query_block: queries per step; by default chosen for the platform.
    document_block: documents per step on one device.
    store: see `Index`.

  Returns:
    scores [Q, k] float32, falling, and row numbers [Q, k] int32. Of documents
    with equal scores the one with the lower row number comes first.

  Raises:
    UserError: for widths that differ, a k that cannot be, or an entry that is
      not finite; the message names the row.
  """
  index = Index(documents, document_block=document_block, store=store)
  return index.search(queries, k, query_block=query_block)


def check_store(store: str) -> None:
  one_of(store, STORES, f"store={store}: unknown")


class Index:
  """Documents placed on the devices once, to be searched several times."""

  def __init__(
    self,
    documents: Any,
    *,
    document_block: int | None = None,
    store: str = "float32",
    local: bool = False,
  ):
    """Places `documents` [C, D] over the devices.

    Args:
      documents: an array, or what can be sliced like one. With several
        processes all give the same, and each reads its devices' share.
      document_block: see `top_k`.
      store: how the documents are held. In float32 the search is exact;
        "bfloat16" takes half the memory, and "int8" (each vector times 127 /
        its largest |x|, rounded) a quarter: queries are rounded likewise, so
        that products are of that type, and some neighbours are missed. See
        `recall`.
      local: on this process's devices only, for it alone to search.
    """
    check_store(store)
    _check(documents, "documents")
    self.size, self.width = documents.shape
    self._store = store
    devices = jax.local_devices() if local else jax.devices()
    self._sizes = _CPU if devices[0].platform == "cpu" else _OTHER
    self._mesh = Mesh(np.array(devices), (block_search.AXIS,))
    # Blocks of equal size, whole groups each: little is padding.
    share = max(1, -(-self.size // len(devices)))
    blocks = -(-share // (document_block or self._sizes.documents))
    group = block_search.GROUP
    self._block = -(-share // (blocks * group)) * group
    if blocks == 1:  # Small ones in few sizes: each is compiled for.
      self._block = 1 << (self._block - 1).bit_length()
    total = len(devices) * blocks * self._block
    place = lambda make, *shape: jax.make_array_from_callback(
      (total, *shape),
      NamedSharding(self._mesh, P(block_search.AXIS)),
      lambda at: make(_padded(documents, at[0], total)),
    )
    vectors, scales = _STORED[store]
    self._documents = place(vectors, self.width), place(scales)

  def search(
    self,
    queries: Any,
    k: int,
    *,
    query_block: int | None = None,
    progress: Progress | None = None,
  ) -> tuple[np.ndarray, np.ndarray]:
    """As `top_k`; `progress` is told of the queries done.

    Processes that hold the documents together search together, with the same
    queries, and all get the result.
    """
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
      query_block = min(
        self._sizes.queries, 1 << max(0, count - 1).bit_length()
      )
    scores = np.empty((count, k), np.float32)
    rows = np.empty((count, k), np.int32)
    everywhere = NamedSharding(self._mesh, P())
    vectors, scales = _STORED[self._store]
    before = None  # The result before last is fetched while a device works.
    for start in range(0, count, query_block):
      block = _padded(queries, slice(start, start + query_block), None)
      block = tuple(
        jax.make_array_from_callback(x.shape, everywhere, x.__getitem__)
        for x in (vectors(block), scales(block))
      )
      found = block_search.search_block(
        block,
        self._documents,
        np.int32(self.size),
        k=k,
        block=self._block,
        mesh=self._mesh,
        opened=self._sizes.opened,
      )
      if before is not None:
        _keep(before, scores, rows, progress)
      before = start, min(query_block, count - start), found
    if before is not None:
      _keep(before, scores, rows, progress)
    return scores, rows


def recall(
  queries: Any, documents: Any, found: np.ndarray, sample: int = 256
) -> float:
  """The share of a sample's true nearest neighbours that are in `found`.

  Documents pass by in blocks, so that no more of them than one block is held
  in float32.

  Args:
    queries: [Q, D].
    documents: [C, D], an array or what can be sliced like one.
    found: [Q, k] row numbers, such as an int8 index gives.
    sample: how many queries, evenly spaced.
  """
  count, k = min(sample, len(queries)), found.shape[1]
  at = np.arange(count) * len(queries) // max(count, 1)
  asked = queries[at]
  scores = np.zeros((count, 0), np.float32)
  rows = np.zeros((count, 0), np.int64)
  for start in range(0, len(documents), _RECALL_BLOCK):
    block = documents[start : start + _RECALL_BLOCK]
    near, local = Index(block, local=True).search(asked, min(k, len(block)))
    scores = np.concatenate([scores, near], axis=1)
    rows = np.concatenate([rows, local + start], axis=1)
    # Stable: of equal scores those with the lower row come first.
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    scores = np.take_along_axis(scores, best, axis=1)
    rows = np.take_along_axis(rows, best, axis=1)
  hits = [np.isin(f, e).mean() for f, e in zip(found[at], rows)]
  return float(np.mean(hits))


def _int8_scales(x: np.ndarray) -> np.ndarray:
  return np.maximum(np.abs(x).max(axis=1), 1e-30) / 127


# How vectors [n, D] are stored, and by what their products are multiplied, [n].
_STORED = {
  "float32": (lambda x: x, lambda x: np.ones(len(x), np.float32)),
  "bfloat16": (
    lambda x: x.astype(jnp.bfloat16),
    lambda x: np.ones(len(x), np.float32),
  ),
  "int8": (
    lambda x: np.rint(x / _int8_scales(x)[:, None]).astype(np.int8),
    _int8_scales,
  ),
}


def _keep(found, scores, rows, progress: Progress | None) -> None:
  start, n, (block_scores, block_rows) = found
  scores[start : start + n] = np.asarray(block_scores)[:n]
  rows[start : start + n] = np.asarray(block_rows)[:n]
  if progress is not None:
    progress.update(n)


def _check(vectors: Any, name: str, step: int = 65536) -> None:
  if vectors.ndim != 2:
    raise UserError(f"{name}: expected [rows, width], found {vectors.shape}")
  for start in range(0, len(vectors), step):
    # A sum is finite only if its terms are; rows are searched when it is not.
    part = np.asarray(vectors[start : start + step])
    if np.isfinite(part.sum()):
      continue
    bad = ~np.isfinite(part).all(axis=1)
    if bad.any():
      raise UserError(
        f"{name}, row {start + int(bad.argmax())}: the vector is not "
        "finite (NaN or infinity); look at this row's text and the model"
      )


def _padded(vectors: Any, at: slice, total: int | None) -> np.ndarray:
  """Rows `at` of `vectors` as float32, with zero rows where there are none."""
  start, stop, _ = at.indices(at.stop if total is None else total)
  part = np.asarray(vectors[start:stop], np.float32)
  missing = stop - start - len(part)
  return np.pad(part, ((0, missing), (0, 0))) if missing else part
