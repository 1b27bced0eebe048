# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Rows that say again what an earlier row says, word for word or nearly.

A pair is a duplicate only if both its texts are: several questions about one
document are several pairs. Near-duplicate documents are found by MinHash and
banding (rensa), and candidates are checked; queries are compared directly.
"""

from collections.abc import Callable
import hashlib

from nomic_jax.curate import quality
from nomic_jax.storage import unicode_text

_PERMUTATIONS = 128
_FOUND = 0.95  # probability that a document at the threshold is a candidate
_SHINGLE = 3  # words
_MOST_CANDIDATES = 64  # checked for a row, where very many rows are alike


class Exact:
  """Numbers of rows by their texts without case and punctuation."""

  def __init__(self):
    self._rows: dict[bytes, int] = {}

  def earlier(self, row: int, query: str, document: str) -> int | None:
    """The first row with these texts; notes `row` if there is none."""
    text = f"{quality.normal(query)}\0{quality.normal(document)}"
    key = hashlib.blake2b(text.encode(), digest_size=16)
    first = self._rows.setdefault(key.digest(), row)
    return None if first == row else first


class Near:
  """Rows by the MinHash of their document."""

  def __init__(self, threshold: float, query_of: Callable[[int], str]):
    """Prepares for documents whose shingles' Jaccard is `threshold` or more.

    Args:
      threshold: between 0 and 1.
      query_of: reads the query of a row noted before.
    """
    import rensa  # of the extra `curate`

    self._rensa = rensa
    self._threshold, self._query_of = threshold, query_of
    self._index = rensa.RMinHashLSH(
      threshold=threshold, num_perm=_PERMUTATIONS, num_bands=bands(threshold)
    )
    self._hashes: dict[int, object] = {}

  def earlier(self, row: int, query: str, document: str) -> int | None:
    """The first row nearly the same; notes `row` if there is none."""
    hashed = self._rensa.RMinHash(num_perm=_PERMUTATIONS, seed=0)
    hashed.update(shingles(document))
    asked = set(unicode_text.terms(query))
    for other in sorted(self._index.query(hashed))[:_MOST_CANDIDATES]:
      if hashed.jaccard(self._hashes[other]) >= self._threshold and self._alike(
        asked, other
      ):
        return other
    self._index.insert(row, hashed)
    self._hashes[row] = hashed
    return None

  def _alike(self, asked: set[str], other: int) -> bool:
    there = set(unicode_text.terms(self._query_of(other)))
    return len(asked & there) >= self._threshold * len(asked | there)


def bands(threshold: float) -> int:
  """Into how many bands of equal size the hashes are cut.

  The fewest with which a pair at the threshold agrees in a whole band with the
  probability `_FOUND`: fewer candidates need checking then.
  """
  for count in (8, 16, 32, 64):
    size = _PERMUTATIONS // count
    if 1 - (1 - threshold**size) ** count >= _FOUND:
      return count
  return _PERMUTATIONS


def shingles(text: str) -> list[str]:
  """Runs of three words, or the text if it has fewer."""
  words = unicode_text.words(text)
  if len(words) < _SHINGLE:
    return [" ".join(words) or text]
  return [
    " ".join(words[i : i + _SHINGLE]) for i in range(len(words) - _SHINGLE + 1)
  ]
