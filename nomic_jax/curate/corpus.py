# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The distinct queries and documents of some rows, and how they are paired.

Texts stay in the file: each is known by a 128-bit hash while numbers are given
out, and by the row it was first seen in afterwards.
"""

import hashlib
from typing import Sequence

import numpy as np

from nomic_jax.data import dataset
from nomic_jax.progress import Progress
from nomic_jax.unicode_text import blank

# Where in a row, or that it is one of the texts given besides; from 0 on, that
# negative.
_OTHER, _QUERY, _DOCUMENT = -3, -2, -1


class Corpus:
  """Numbers for the queries and documents of rows, equal texts as one.

  Attributes:
    rows: [n] int64, the rows.
    queries: `Texts`, the distinct queries.
    documents: `Texts`, the distinct documents, earlier negatives and others
      included.
    query_of: [n] int64, each row's query; -1 if a text of the row is empty.
    document_of: [n] int64, likewise.
  """

  def __init__(
      self, source: dataset.Source, rows: np.ndarray, others: Sequence[str],
      label: str,
  ):
    """Reads `rows` of `source` and `others`, further documents, once."""
    numbers: tuple[dict, dict] = ({}, {})
    firsts: tuple[list, list] = ([], [])
    self.rows = rows
    self.query_of = np.full(len(rows), -1, np.int64)
    self.document_of = np.full(len(rows), -1, np.int64)

    def number(kind: int, text: str, row: int, slot: int) -> int:
      key = hashlib.blake2b(text.encode(), digest_size=16).digest()
      found = numbers[kind].setdefault(key, len(numbers[kind]))
      if found == len(firsts[kind]):
        firsts[kind].append((row, slot))
      return found

    with Progress(len(rows) + len(others), "rows", label) as progress:
      for n, i in enumerate(rows.tolist()):
        row = source[i]
        if not (blank(row["query"]) or blank(row["document"])):
          self.query_of[n] = number(0, row["query"], i, _QUERY)
          self.document_of[n] = number(1, row["document"], i, _DOCUMENT)
        for slot, text in enumerate(row["negatives"]):
          if not blank(text):
            number(1, text, i, slot)
        progress.update()
      for i in range(len(others)):
        if not blank(text := others[i]):
          number(1, text, i, _OTHER)
        progress.update()
    self.queries = Texts(source, others, firsts[0])
    self.documents = Texts(source, others, firsts[1])
    self._same = np.full(len(numbers[0]), -1, np.int64)
    for key, query in numbers[0].items():
      self._same[query] = numbers[1].get(key, -1)
    self._index_pairs()

  def _index_pairs(self) -> None:
    full = self.query_of >= 0
    pairs = np.stack([self.query_of[full], self.document_of[full]], axis=1)
    self._pairs = np.unique(pairs.reshape(-1, 2), axis=0)
    self._starts = np.searchsorted(
        self._pairs[:, 0], np.arange(len(self.queries) + 1))

  def positives(self, query: int) -> list[int]:
    """The documents of all rows that have this query."""
    at = slice(self._starts[query], self._starts[query + 1])
    return self._pairs[at, 1].tolist()

  def most_positives(self) -> int:
    return int(np.diff(self._starts).max(initial=0))

  def never(self, query: int) -> set[int]:
    """Documents that may not be negatives: positives, the query's own text."""
    return {*self.positives(query), int(self._same[query])}

  def forbidden(self, first_query: int, documents: np.ndarray) -> np.ndarray:
    """Which of `documents` [Q, n] are in `never` of its row's query.

    Args:
      first_query: the number of the first row's query; others follow.
      documents: numbers of documents.

    Returns:
      [Q, n] bool.
    """
    stop = first_query + len(documents)
    size = len(self.documents) + 1
    pairs = self._pairs[self._starts[first_query]:self._starts[stop]]
    keys = pairs[:, 0] * size + pairs[:, 1]
    queries = np.arange(first_query, stop)[:, None]
    return np.isin(queries * size + documents, keys) | (
        documents == self._same[first_query:stop, None])


class Texts:
  """A sequence of distinct texts, read from their rows when asked for."""

  def __init__(
      self, source: dataset.Source, others: Sequence[str],
      firsts: list[tuple[int, int]],
  ):
    self._source, self._others = source, others
    self._firsts = np.array(firsts, np.int64).reshape(-1, 2)

  def __len__(self) -> int:
    return len(self._firsts)

  def __getitem__(self, at: int | slice) -> str | list[str]:
    if isinstance(at, slice):
      return [self[i] for i in range(*at.indices(len(self)))]
    row, slot = self._firsts[at].tolist()
    if slot == _OTHER:
      return self._others[row]
    if slot == _QUERY:
      return self._source[row]["query"]
    if slot == _DOCUMENT:
      return self._source[row]["document"]
    return self._source[row]["negatives"][slot]

  def where(self, i: int) -> str:
    """Says which row and column text `i` is in."""
    row, slot = self._firsts[i].tolist()
    if slot == _OTHER:
      return f"document {row} of --corpus"
    column = {_QUERY: "query", _DOCUMENT: "document"}.get(
        slot, f"negative {slot}")
    return f"split train, row {row}, {column}"
