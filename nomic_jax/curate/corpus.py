# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The distinct queries and documents of rows, and their pairs.

Texts stay in the file. While numbers are assigned, a text is identified by a
128-bit hash; afterwards by the row where it first occurred.

Each spelling of a text has its own vector, but an answer to one spelling of a
query answers all of them. Therefore texts that are equal except for case,
accents and spaces (`unicode_text.same`) belong to one class, and classes
determine which documents may be negatives.
"""

from collections.abc import Sequence
import hashlib
import pathlib
from typing import overload

import numpy as np

from nomic_jax.data import dataset
from nomic_jax.errors import UserError
from nomic_jax.search import corpus as texts_of
from nomic_jax.storage import decoding
from nomic_jax.storage import files
from nomic_jax.storage import unicode_text
from nomic_jax.storage.progress import Progress

# The slot of a text in its row: an extra document, the query, the document, or
# the number of a negative, from 0.
_OTHER, _QUERY, _DOCUMENT = -3, -2, -1
_EXPECTED = "expected a BEIR folder, a data directory, .jsonl or .txt"


class Corpus:
  """Numbers the queries and documents of rows; identical texts share one.

  Attributes:
    rows: [n] int64, the rows.
    queries: `Texts`, the distinct queries.
    documents: `Texts`, the distinct documents, including existing negatives and
      extra documents.
    query_of: [n] int64, each row's query; -1 if a text of the row is empty.
    document_of: [n] int64, each row's document; likewise.
    query_class: [queries] int64, equal for queries and documents that are the
      same except for case, accents and spaces.
    document_class: [documents] int64, likewise.
  """

  def __init__(
    self,
    source: dataset.Source,
    rows: np.ndarray,
    others: "Sequence[str] | Others",
    label: str,
  ):
    """Reads `rows` of `source` and the extra documents `others` once."""
    numbers: tuple[dict, dict] = ({}, {})
    firsts: tuple[list, list] = ([], [])
    class_of: tuple[list, list] = ([], [])
    classes: dict[bytes, int] = {}
    self.rows = rows
    self.query_of = np.full(len(rows), -1, np.int64)
    self.document_of = np.full(len(rows), -1, np.int64)

    def number(kind: int, text: str, row: int, slot: int) -> int:
      index = numbers[kind].setdefault(_hash(text), len(numbers[kind]))
      if index == len(firsts[kind]):
        firsts[kind].append((row, slot))
        class_of[kind].append(
          classes.setdefault(_hash(unicode_text.same(text)), len(classes))
        )
      return index

    with Progress(len(rows) + len(others), "rows", label) as progress:
      for n, i in enumerate(rows.tolist()):
        row = source[i]
        if not any(unicode_text.blank(row[c]) for c in ("query", "document")):
          self.query_of[n] = number(0, row["query"], i, _QUERY)
          self.document_of[n] = number(1, row["document"], i, _DOCUMENT)
        for slot, text in enumerate(row["negatives"]):
          if not unicode_text.blank(text):
            number(1, text, i, slot)
        progress.update()
      for i in range(len(others)):
        if not unicode_text.blank(text := others[i]):
          number(1, text, i, _OTHER)
        progress.update()
    self.queries = Texts(source, others, firsts[0])
    self.documents = Texts(source, others, firsts[1])
    self.query_class, self.document_class = (
      np.array(x, np.int64) for x in class_of
    )
    full = self.query_of >= 0
    pairs = np.stack(
      [
        self.query_class[self.query_of[full]],
        self.document_class[self.document_of[full]],
      ],
      axis=1,
    )
    # Pairs of classes: the positives of each query, sorted by query.
    self._pairs = np.unique(pairs.reshape(-1, 2), axis=0)
    self._size = len(classes)

  def most_positives(self) -> int:
    """Returns the largest number of positives, by class, of a query."""
    _, counts = np.unique(self._pairs[:, 0], return_counts=True)
    return int(counts.max(initial=0))

  def never(self, query: int) -> set[int]:
    """Returns classes that may not be negatives: positives and the query."""
    own = int(self.query_class[query])
    start, stop = np.searchsorted(self._pairs[:, 0], (own, own + 1))
    return {*self._pairs[start:stop, 1].tolist(), own}

  def forbidden(self, first_query: int, documents: np.ndarray) -> np.ndarray:
    """Returns which of `documents` [Q, n] may not be negatives of their query.

    Excludes documents whose class is in `never`. Of several documents of one
    class, all but the first are excluded as well.

    Args:
      first_query: the number of the first row's query; others follow.
      documents: numbers of documents.

    Returns:
      [Q, n] bool.
    """
    query_classes = self.query_class[
      first_query : first_query + len(documents), None
    ]
    classes = self.document_class[documents]
    order = np.argsort(classes, axis=1, kind="stable")
    of_sorted = np.take_along_axis(classes, order, axis=1)
    again = np.zeros(classes.shape, bool)
    np.put_along_axis(
      again, order[:, 1:], of_sorted[:, 1:] == of_sorted[:, :-1], axis=1
    )
    return (
      again | (classes == query_classes) | self._answers(query_classes, classes)
    )

  def _answers(self, queries: np.ndarray, documents: np.ndarray) -> np.ndarray:
    """Returns which document classes [Q, n] answer query classes [Q, 1]."""
    keys = self._pairs[:, 0] * self._size + self._pairs[:, 1]  # increasing
    wanted = queries * self._size + documents
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return keys[at] == wanted


def _hash(text: str) -> bytes:
  return hashlib.blake2b(text.encode(), digest_size=16).digest()


class Texts:
  """A sequence of distinct texts, read from their rows on demand."""

  def __init__(
    self,
    source: dataset.Source,
    others: "Sequence[str] | Others",
    firsts: list[tuple[int, int]],
  ):
    self._source, self._others = source, others
    self._firsts = np.array(firsts, np.int64).reshape(-1, 2)

  def __len__(self) -> int:
    return len(self._firsts)

  @overload
  def __getitem__(self, at: int) -> str: ...

  @overload
  def __getitem__(self, at: slice) -> list[str]: ...

  def __getitem__(self, at: int | slice) -> str | list[str]:
    if isinstance(at, slice):
      return [self[i] for i in range(*at.indices(len(self)))]
    row, slot = map(int, self._firsts[at])
    if slot == _OTHER:
      return self._others[row]
    if slot == _QUERY:
      return self._source[row]["query"]
    if slot == _DOCUMENT:
      return self._source[row]["document"]
    return self._source[row]["negatives"][slot]

  def where(self, i: int) -> str:
    """Returns the row and column that text `i` is in, for error messages."""
    row, slot = self._firsts[i].tolist()
    if slot == _OTHER:
      return f"document {row} of --corpus"
    column = {_QUERY: "query", _DOCUMENT: "document"}.get(
      slot, f"negative {slot}"
    )
    return f"split train, row {row}, {column}"


class Others:
  """Extra documents to mine from, such as a whole corpus.

  They are copied once into one file with an index, so any of them can be read
  again whatever their source.
  """

  def __init__(self, folder: pathlib.Path):
    self._file = open(folder / "texts", "rb")  # kept open during the job
    self._ends = np.load(folder / "ends.npy", mmap_mode="r")

  def __len__(self) -> int:
    return len(self._ends)

  def __getitem__(self, i: int) -> str:
    start = int(self._ends[i - 1]) if i else 0
    self._file.seek(start)
    return self._file.read(int(self._ends[i]) - start).decode()


def copy(paths: Sequence[str], folder: pathlib.Path) -> None:
  """Writes the texts of `paths` to `folder`, unless it exists.

  Raises:
    UserError: if a path does not exist or has an unknown format.
  """
  if folder.is_dir():
    return
  with files.replacing(folder) as temporary:
    temporary.mkdir()
    ends, end = [], 0
    with open(temporary / "texts", "wb") as out:
      for path in paths:
        # Held-out rows must not be used as negatives.
        for text, _ in texts_of.read(pathlib.Path(path), ["train"]):
          end += out.write(decoding.safe(text).encode())
          ends.append(end)
    np.save(temporary / "ends.npy", np.array(ends, np.int64))


def check(paths: Sequence[str]) -> None:
  """Raises UserError for a path that does not exist."""
  for path in paths:
    if not pathlib.Path(path).exists():
      raise UserError(f"--corpus={path}: no such file or folder; {_EXPECTED}")
