# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Rows that repeat an earlier row, exactly or nearly.

A pair is a duplicate only if both its query and its document are. Several
questions about one document are not duplicates. Near-duplicate documents are
found by MinHash with banding (rensa), and candidates are verified; queries are
compared directly.
"""

from collections.abc import Callable
import hashlib

from nomic_jax.curate import quality
from nomic_jax.storage import unicode_text

_PERMUTATIONS = 128
_FOUND = 0.95  # probability that a document at the threshold is a candidate
_SHINGLE = 3  # words
_MOST_CANDIDATES = 64  # verified per row, if very many rows are similar


class Exact:
  """Row numbers by text, ignoring case and punctuation."""

  def __init__(self):
    self._rows: dict[bytes, int] = {}

  def earlier(self, row: int, query: str, document: str) -> int | None:
    """Returns the first row with these texts, or records `row` and None."""
    text = f"{quality.normal(query)}\0{quality.normal(document)}"
    key = hashlib.blake2b(text.encode(), digest_size=16)
    first = self._rows.setdefault(key.digest(), row)
    return None if first == row else first


class Near:
  """Row numbers by MinHash of the document."""

  def __init__(self, threshold: float, query_of: Callable[[int], str]):
    """Prepares to find documents with shingles' Jaccard >= `threshold`.

    Args:
      threshold: between 0 and 1.
      query_of: reads the query of a recorded row.
    """
    import rensa  # in the extra `curate`

    self._rensa = rensa
    self._threshold, self._query_of = threshold, query_of
    self._index = rensa.RMinHashLSH(
      threshold=threshold, num_perm=_PERMUTATIONS, num_bands=bands(threshold)
    )
    self._hashes: dict[int, rensa.RMinHash] = {}

  def earlier(self, row: int, query: str, document: str) -> int | None:
    """Returns the first nearly equal row, or records `row` and None."""
    hashed = self._rensa.RMinHash(num_perm=_PERMUTATIONS, seed=0)
    hashed.update(shingles(document))
    terms = set(unicode_text.terms(query))
    for other in sorted(self._index.query(hashed))[:_MOST_CANDIDATES]:
      if hashed.jaccard(self._hashes[other]) >= self._threshold and self._alike(
        terms, other
      ):
        return other
    self._index.insert(row, hashed)
    self._hashes[row] = hashed
    return None

  def _alike(self, terms: set[str], other: int) -> bool:
    others = set(unicode_text.terms(self._query_of(other)))
    return len(terms & others) >= self._threshold * len(terms | others)


def bands(threshold: float) -> int:
  """Returns the number of equal bands that the hashes are split into.

  It is the smallest for which a pair at the threshold agrees in a whole band
  with probability `_FOUND`, so that few candidates need verification.
  """
  for count in (8, 16, 32, 64):
    size = _PERMUTATIONS // count
    if 1 - (1 - threshold**size) ** count >= _FOUND:
      return count
  return _PERMUTATIONS


def shingles(text: str) -> list[str]:
  """Returns the trigrams of words, or the text if it has fewer words."""
  words = unicode_text.words(text)
  if len(words) < _SHINGLE:
    return [" ".join(words) or text]
  return [
    " ".join(words[i : i + _SHINGLE]) for i in range(len(words) - _SHINGLE + 1)
  ]
