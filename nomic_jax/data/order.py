# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The rows of batch number n, computed from (seed, n) alone.

A shuffle is a permutation that is computed position by position, so memory does
not grow with the data. Any host can compute any batch, a run resumes from a
number, and training starts as fast with 235 million rows as with ten.
"""

from collections.abc import Callable
from collections.abc import Mapping
import math
from typing import Generic
from typing import TypeVar

import numpy as np

from nomic_jax.data.sources import Layout
from nomic_jax.errors import one_of
from nomic_jax.errors import UserError

T = TypeVar("T")

_ROUNDS = 6
ORDERS = ("shuffled", "stored")


def permute(places: np.ndarray, size: int, *key: int) -> np.ndarray:
  """Returns elements of a random permutation of 0 ... size-1.

  A Feistel network over the next power of four, applied until the value is in
  range ("cycle walking"): a bijection for any round function, here splitmix64.

  Args:
    places: int64 [n], positions in the permutation, each below `size`.
    size: the size of the permutation.
    key: selects the permutation; different keys give unrelated ones.

  Returns:
    int64 [n].
  """
  half = max(((size - 1).bit_length() + 1) // 2, 1)
  low = np.uint64(2**half - 1)
  shift = np.uint64(half)
  keys = np.random.default_rng(key).integers(0, 2**64, _ROUNDS, np.uint64)

  def once(x: np.ndarray) -> np.ndarray:
    left, right = x >> shift, x & low
    for k in keys:
      left, right = right, left ^ (_mix(right ^ k) & low)
    return (left << shift) | right

  values = once(np.asarray(places).astype(np.uint64))
  while (outside := values >= size).any():
    values[outside] = once(values[outside])
  return values.astype(np.int64)


def _mix(x: np.ndarray) -> np.ndarray:
  with np.errstate(over="ignore"):
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
  return x ^ (x >> np.uint64(31))


class EveryRow:
  """Epochs in which every row occurs once, so large sources fill more batches.

  Rows are shuffled, grouped by source and divided into batches. A batch has one
  source, except where one ends and the next begins, so that a negative cannot
  be recognised by its source. The remaining rows, less than a batch, differ in
  every epoch.
  """

  def __init__(self, layout: Layout, size: int, seed: int, one_source: bool):
    """Takes the layout of rows, the batch size, whether to group sources."""
    self._layout, self._size, self._seed = layout, size, seed
    self._total = int(layout.sizes.sum())
    self._sizes = layout.sizes if one_source else np.array([self._total])

  def rows(self, number: int) -> np.ndarray:
    """Returns the rows of batch `number`, int64 [size]."""
    epoch, at = divmod(number, self._total // self._size)
    at = permute(
      np.array([at]), self._total // self._size, self._seed, epoch, 0
    )
    rng = np.random.default_rng((self._seed, epoch))
    places = at * self._size + np.arange(self._size)
    # If all sizes are multiples of a batch, every batch is of one source.
    step = math.gcd(self._size, *self._sizes.tolist())
    places += step * rng.integers(self._total // step)
    return self._at(places % self._total, epoch, rng)

  def _at(
    self, places: np.ndarray, epoch: int, rng: np.random.Generator
  ) -> np.ndarray:
    """Returns the rows at `places` of an epoch; `rng` orders the sources."""
    order = rng.permutation(len(self._sizes))
    ends = np.cumsum(self._sizes[order])
    which = np.searchsorted(ends, places, side="right")
    starts = np.cumsum(self._sizes) - self._sizes
    numbers = np.empty_like(places)
    for i in np.unique(which):
      source, here = int(order[i]), which == i
      size = int(self._sizes[source])
      numbers[here] = starts[source] + permute(
        places[here] - (ends[i] - size), size, self._seed, epoch, 1, source
      )
    return self._layout.row_of(numbers)


class Once(EveryRow):
  """All rows once: batches of an epoch, then one of the remaining rows."""

  def __len__(self) -> int:
    """Returns the number of batches."""
    return -(-self._total // self._size)

  def rows(self, number: int) -> np.ndarray:
    """Returns the rows of batch `number`, int64 [size]; fewer in the last."""
    whole = self._total // self._size
    if number < whole:
      number = int(permute(np.array([number]), whole, self._seed, 0, 0)[0])
    places = np.arange(
      number * self._size, min((number + 1) * self._size, self._total)
    )
    return self._at(places, 0, np.random.default_rng((self._seed, 0)))


class Stored:
  """Batches of consecutive rows of the file, in shuffled order.

  For data prepared in whole batches (`nomic-jax prepare --whole_batches`), the
  batches of an epoch hold the same rows as those of contrastors' loader: each
  has consecutive rows of one shard. contrastors draws the order of batches
  shard by shard; here it is drawn among all batches.
  """

  def __init__(self, layout: Layout, size: int, seed: int, one_source: bool):
    """Takes the layout of rows, the batch size, and whether to check sources.

    Raises:
      UserError: if a batch would have two sources and `one_source` is set.
    """
    self._size, self._seed = size, seed
    total = int(layout.sizes.sum())
    self._batches = total // size
    lengths = np.diff(layout.starts, append=total)
    if one_source and (lengths % size).any():
      run = int(np.argmax(lengths % size > 0))
      source = int(
        np.searchsorted(
          np.cumsum(layout.sizes), layout.starts[run], side="right"
        )
      )
      raise UserError(
        f"config.data.order: stored, but source '{layout.names[source]}' has "
        f"{lengths[run]:,} consecutive rows, not a multiple of "
        f"config.data.batch_size={size}, so a batch would have two sources; "
        f"run nomic-jax prepare with --whole_batches={size} --keep_copies "
        "--held_out=0, or set one_source to false"
      )

  def rows(self, number: int) -> np.ndarray:
    """Returns the rows of batch `number`, int64 [size]."""
    epoch, at = divmod(number, self._batches)
    at = permute(np.array([at]), self._batches, self._seed, epoch, 3)
    return at * self._size + np.arange(self._size)


class Weighted:
  """Batches of one source each; weights are the sources' shares of batches.

  A source with few rows and a large weight is repeated, each time in another
  order. After any number of whole cycles, a source's number of batches differs
  from its share by at most one.

  Attributes:
    cycle: batches in a cycle, within which the order of sources is random.
  """

  def __init__(self, layout: Layout, size: int, seed: int, weights: np.ndarray):
    """Takes the layout of rows, the batch size, and a weight [S] per source."""
    self._layout, self._size, self._seed = layout, size, seed
    self._ends = np.cumsum(weights) / np.sum(weights)
    least = np.min(weights[weights > 0]) / np.sum(weights)
    # So long that no source's number of batches in a cycle rounds below 0.
    self.cycle = max(1024, int(np.ceil(2 / least)))
    self._of_cycle = _Recent(self._draw)

  def rows(self, number: int) -> np.ndarray:
    """Returns the rows of batch `number`, int64 [size]."""
    cycle, at = divmod(number, self.cycle)
    sources, ranks = self._of_cycle(cycle)
    source, rank = int(sources[at]), int(ranks[at])
    rows = int(self._layout.sizes[source])
    epoch, at = divmod(rank, rows // self._size)
    places = at * self._size + np.arange(self._size)
    first = int(self._layout.sizes[:source].sum())
    return self._layout.row_of(
      first + permute(places, rows, self._seed, epoch, 2, source)
    )

  def _draw(self, cycle: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the source of each batch of a cycle, and its rank among those."""
    before, after = (
      np.diff(np.rint(c * self.cycle * self._ends), prepend=0).astype(int)
      for c in (cycle, cycle + 1)
    )
    sources = np.repeat(np.arange(len(before)), after - before)
    sources = np.random.default_rng((self._seed, cycle)).permutation(sources)
    ranks = np.empty_like(sources)
    for s in np.unique(sources):
      here = sources == s
      ranks[here] = before[s] + np.arange(here.sum())
    return sources, ranks


class _Recent(Generic[T]):
  """Caches a function's last two results; safe to share between threads.

  The cache is one tuple that is replaced atomically, so no lock is needed, and
  unlike functools.lru_cache it can be pickled.
  """

  def __init__(self, compute: Callable[[int], T]):
    self._compute, self._recent = compute, ()

  def __call__(self, key: int) -> T:
    for known, value in self._recent:
      if known == key:
        return value
    value = self._compute(key)
    self._recent = (*self._recent[-1:], (key, value))
    return value


def make(
  layout: Layout,
  size: int,
  seed: int,
  *,
  one_source: bool,
  alpha: float,
  weights: Mapping[str, float],
  order: str = "shuffled",
) -> EveryRow | Stored | Weighted:
  """Returns the order that a config describes.

  Args:
    layout: the layout of rows in sources.
    size: rows in a batch.
    seed: the seed of the run.
    one_source: whether each batch is of one source.
    alpha: a source of n rows has a share in proportion to n^alpha.
    weights: by source, a further factor of its share; 1 if not listed.
    order: the order of rows; shuffled, or stored (see `Stored`).

  Raises:
    UserError: if options are unknown or contradict each other.
  """
  one_of(order, ORDERS, f"config.data.order: no order '{order}'")
  for name in weights:
    one_of(
      name,
      layout.names,
      f"config.data.source_weights: no source '{name}' in the data",
      "it has",
    )
  if alpha == 1 and not weights:
    kind = Stored if order == "stored" else EveryRow
    return kind(layout, size, seed, one_source)
  if order == "stored":
    raise UserError(
      "config.data.order: stored, but source_alpha or source_weights sample "
      "rows; set it to shuffled or leave those out"
    )
  if not one_source:
    raise UserError(
      "config.data.one_source: false, but source_alpha or source_weights "
      "choose the source of each batch; set it to true or leave those out"
    )
  factor = np.array([weights.get(name, 1.0) for name in layout.names])
  if (factor < 0).any() or not factor.any():
    raise UserError(
      "config.data.source_weights: expected numbers from 0, not all 0"
    )
  share = factor * layout.sizes.astype(np.float64) ** alpha
  for name, rows, each in zip(layout.names, layout.sizes, share):
    if each and rows < size:
      raise UserError(
        f"config.data.batch_size: {size} is more than the {rows} rows of "
        f"source '{name}'; give it a weight of 0, or lower the batch size"
      )
  return Weighted(layout, size, seed, share)
