# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Exact nearest neighbours by inner product, on the devices of all processes.

Documents are sharded over the devices once. Queries are searched in blocks by
the program in `block_search`; scores of all documents are never held at once.
"""

from typing import NamedTuple
from typing import Protocol

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
_RECALL_BLOCK = 1 << 17  # documents held in float32 when computing recall


class _Sizes(NamedTuple):
  """Block sizes for a platform.

  Attributes:
    queries: queries per block.
    documents: multiplied at a time; on CPUs their scores stay in the cache.
    opened: queries whose groups are opened at a time. On CPUs gathering many
      costs more than multiplying one after another.
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
    queries: [Q, D], read block by block, so it may be memory-mapped.
    documents: [C, D].
    k: number of neighbours per query, at most C.
    query_block: queries per step; by default chosen for the platform.
    document_block: documents per step on one device.
    store: see `Index`.

  Returns:
    Scores [Q, k] float32 in decreasing order, and row numbers [Q, k] int32.
    Documents with equal scores are in order of row numbers.

  Raises:
    UserError: for different widths, an invalid k, or a value that is not
      finite; the message names the row.
  """
  index = Index(documents, document_block=document_block, store=store)
  return index.search(queries, k, query_block=query_block)


def check_store(store: str) -> None:
  """Raises UserError for an unknown way to store documents."""
  one_of(store, STORES, f"store={store}: unknown")


class Vectors(Protocol):
  """An array [N, D], or what reads rows like one."""

  @property
  def ndim(self) -> int:
    """2."""
    ...

  @property
  def shape(self) -> tuple[int, ...]:
    """(N, D)."""
    ...

  def __len__(self) -> int: ...

  def __getitem__(self, at: slice | np.ndarray, /) -> np.ndarray: ...


class Index:
  """Documents that are copied to the devices once and searched repeatedly."""

  def __init__(
    self,
    documents: Vectors,
    *,
    document_block: int | None = None,
    store: str = "float32",
    local: bool = False,
  ):
    """Places `documents` [C, D] over the devices.

    Args:
      documents: an array, or an object that can be sliced like one. All
        processes pass the same, and each reads its devices' share.
      document_block: see `top_k`.
      store: how the documents are stored. With "float32" search is exact.
        "bfloat16" takes half the memory and "int8" a quarter (each vector times
        127 / its largest |x|, rounded). Queries are rounded likewise, so some
        neighbours are missed; see `recall`.
      local: whether this process searches alone, with only its own devices.
    """
    check_store(store)
    _check(documents, "documents")
    self.size, self.width = documents.shape
    self._store = store
    devices = jax.local_devices() if local else jax.devices()
    self._sizes = _CPU if devices[0].platform == "cpu" else _OTHER
    self._mesh = Mesh(np.array(devices), (block_search.AXIS,))
    # Blocks of equal size, in whole groups, so there is little padding.
    share = max(1, -(-self.size // len(devices)))
    blocks = -(-share // (document_block or self._sizes.documents))
    group = block_search.GROUP
    self._block = -(-share // (blocks * group)) * group
    if blocks == 1:  # Few different sizes, since each is compiled.
      self._block = 1 << (self._block - 1).bit_length()
    total = len(devices) * blocks * self._block
    put = lambda make, *shape: jax.make_array_from_callback(
      (total, *shape),
      NamedSharding(self._mesh, P(block_search.AXIS)),
      lambda at: make(_padded(documents, at[0] if at else slice(None), total)),
    )
    vectors, scales = _STORED[store]
    self._documents = put(vectors, self.width), put(scales)

  def search(
    self,
    queries: Vectors,
    k: int,
    *,
    query_block: int | None = None,
    progress: Progress | None = None,
  ) -> tuple[np.ndarray, np.ndarray]:
    """Searches as `top_k` does; `progress` counts the queries.

    Processes that share an index call this together with the same queries, and
    all get the result.
    """
    _check(queries, "queries")
    if queries.shape[1] != self.width:
      raise UserError(
        f"queries have width {queries.shape[1]} and documents {self.width}; "
        "embed both with the same model"
      )
    if not 1 <= k <= self.size:
      raise UserError(
        f"k={k}: expected 1 to {self.size}, the number of documents; "
        "lower k or add documents"
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
    previous = None  # It is fetched while the device works.
    for start in range(0, count, query_block):
      block = _padded(queries, slice(start, start + query_block), None)
      block = tuple(
        jax.make_array_from_callback(x.shape, everywhere, x.__getitem__)
        for x in (vectors(block), scales(block))
      )
      result = block_search.search_block(
        block,
        self._documents,
        np.int32(self.size),
        k=k,
        block=self._block,
        mesh=self._mesh,
        opened=self._sizes.opened,
      )
      if previous is not None:
        _keep(previous, scores, rows, progress)
      previous = start, min(query_block, count - start), result
    if previous is not None:
      _keep(previous, scores, rows, progress)
    return scores, rows


def recall(
  queries: Vectors, documents: Vectors, found: np.ndarray, sample: int = 256
) -> float:
  """Returns the fraction of a sample's true neighbours that are in `found`.

  Documents are read in blocks, so only one block is held in float32.

  Args:
    queries: [Q, D].
    documents: [C, D], an array or an object that can be sliced like one.
    found: [Q, k] row numbers, such as those of an int8 index.
    sample: number of queries to use, evenly spaced.
  """
  count, k = min(sample, len(queries)), found.shape[1]
  at = np.arange(count) * len(queries) // max(count, 1)
  sampled = queries[at]
  scores = np.zeros((count, 0), np.float32)
  rows = np.zeros((count, 0), np.int64)
  for start in range(0, len(documents), _RECALL_BLOCK):
    block = documents[start : start + _RECALL_BLOCK]
    near, local = Index(block, local=True).search(sampled, min(k, len(block)))
    scores = np.concatenate([scores, near], axis=1)
    rows = np.concatenate([rows, local + start], axis=1)
    # Stable: among equal scores the lower row comes first.
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    scores = np.take_along_axis(scores, best, axis=1)
    rows = np.take_along_axis(rows, best, axis=1)
  hits = [np.isin(f, e).mean() for f, e in zip(found[at], rows)]
  return float(np.mean(hits))


def _int8_scales(x: np.ndarray) -> np.ndarray:
  return np.maximum(np.abs(x).max(axis=1), 1e-30) / 127


# How vectors [n, D] are stored, and the factors for their products, [n].
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


def _keep(result, scores, rows, progress: Progress | None) -> None:
  start, n, (block_scores, block_rows) = result
  scores[start : start + n] = np.asarray(block_scores)[:n]
  rows[start : start + n] = np.asarray(block_rows)[:n]
  if progress is not None:
    progress.update(n)


def _check(vectors: Vectors, name: str, step: int = 65536) -> None:
  if vectors.ndim != 2:
    raise UserError(f"{name}: expected [rows, width], found {vectors.shape}")
  for start in range(0, len(vectors), step):
    # A sum is finite only if its terms are; otherwise search for the row.
    part = np.asarray(vectors[start : start + step])
    if np.isfinite(part.sum()):
      continue
    bad = ~np.isfinite(part).all(axis=1)
    if bad.any():
      raise UserError(
        f"{name}, row {start + int(bad.argmax())}: the vector is not "
        "finite (NaN or infinity); check this row's text and the model"
      )


def _padded(vectors: Vectors, at: slice, total: int | None) -> np.ndarray:
  """Returns rows `at` of `vectors` as float32, padded with zero rows."""
  start, stop, _ = at.indices(at.stop if total is None else total)
  part = np.asarray(vectors[start:stop], np.float32)
  missing = stop - start - len(part)
  return np.pad(part, ((0, missing), (0, 0))) if missing else part
