# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The two kinds of source of `prepare`: files, and docstrings of packages.

Both have the same methods, called in this order: `stamps`, `recognise`,
`open`, `counts` and `fates`.
"""

from collections import Counter
from collections.abc import Iterable
from collections.abc import Sequence
import dataclasses
import os
import pathlib
from typing import Protocol

import numpy as np

from nomic_jax.data import docstrings
from nomic_jax.data import kinds
from nomic_jax.data import readers
from nomic_jax.data import splits
from nomic_jax.data.readers import join
from nomic_jax.data.readers import recognise as recognition
from nomic_jax.data.records import Row
from nomic_jax.data.records import spaced
from nomic_jax.errors import UserError
from nomic_jax.storage import fingerprints
from nomic_jax.storage import streams


class Origin(Protocol):
  """What `prepare` reads."""

  @property
  def prompts(self) -> dict[str, dict[str, str]]:
    """Prompts of each source of rows that specifies its own."""
    ...

  def stamps(self) -> list[list] | None:
    """Returns [name, size, time or version] of each file; None if unknown."""
    ...

  def recognise(
    self, asked: readers.Columns, kind: str | None, queries: Sequence[str]
  ) -> kinds.Kind:
    """Returns the kind of the rows, and prints how each column is used."""
    ...

  def open(self, limit: int | None, skip_bad: int | str) -> Iterable[Row]:
    """Returns the rows, which can be read repeatedly, in the same order."""
    ...

  def counts(self) -> dict[str, Counter[str]]:
    """Returns counts of what the last reading kept and dropped."""
    ...

  def fates(
    self, survey: splits.Survey, share: float, keep_copies: bool
  ) -> np.ndarray:
    """Returns the fate of each row, see `splits`; holds out about `share`."""
    ...


class Docstrings:
  """Docstrings of the Python files of a folder, or of all packages here."""

  def __init__(self, source: str):
    folder = source.partition(":")[2]
    self.prompts: dict[str, dict[str, str]] = {}
    self._source = source
    self._folder = pathlib.Path(folder) if folder else None
    self._found = docstrings.Docstrings([], {}, {})

  def stamps(self) -> list[list] | None:
    """See `Origin`; None for all packages."""
    return self._folder and fingerprints.stamps(self._folder, "*.py")

  def recognise(
    self, asked: readers.Columns, kind: str | None, queries: Sequence[str]
  ) -> kinds.Kind:
    """See `Origin`; raises UserError for any choice of columns or kind."""
    if kind or queries or asked != readers.Columns():
      raise UserError(
        f"--source={self._source}: its columns are fixed; leave out --columns, "
        "--kind, --documents, --queries and other flags that name columns"
      )
    return kinds.Kind("pairs", "docstrings and their code")

  def open(self, limit: int | None, skip_bad: int | str) -> list[Row]:
    """See `Origin`; a limit takes rows that are evenly spaced."""
    found = docstrings.read(self._folder)
    if limit is not None:
      found = found._replace(rows=list(spaced(found.rows, limit)))
    self._found = found
    return found.rows

  def counts(self) -> dict[str, Counter[str]]:
    """See `Origin`."""
    return {
      "files": Counter(self._found.files),
      "dropped": Counter(self._found.dropped),
    }

  def fates(
    self, survey: splits.Survey, share: float, keep_copies: bool
  ) -> np.ndarray:
    """See `Origin`; whole packages are held out."""
    return splits.by_package(self._found.rows, share)


class Files:
  """Files that the readers of `readers` know."""

  def __init__(self, parts: list[readers.Part]):
    self._parts = parts
    self._rows = readers.Rows([], None, 0)

  @property
  def prompts(self) -> dict[str, dict[str, str]]:
    """See `Origin`."""
    return self._rows.prompts()

  def stamps(self) -> list[list] | None:
    """See `Origin`; None for data sets on the Hub."""
    return readers.stamps(self._parts)

  def recognise(
    self, asked: readers.Columns, kind: str | None, queries: Sequence[str]
  ) -> kinds.Kind:
    """See `Origin`."""
    self._parts, known = recognition.recognise(
      self._parts, asked, kind, queries
    )
    return known

  def open(self, limit: int | None, skip_bad: int | str) -> readers.Rows:
    """See `Origin`."""
    self._rows = readers.Rows(self._parts, limit, skip_bad)
    return self._rows

  def counts(self) -> dict[str, Counter[str]]:
    """See `Origin`."""
    bad = self._rows.bad
    return {
      "files": Counter(),
      "dropped": Counter(bad.counts + bad.left),
      "made": Counter(bad.made),
    }

  def fates(
    self, survey: splits.Survey, share: float, keep_copies: bool
  ) -> np.ndarray:
    """See `Origin`; groups of rows that share a text are held out."""
    return splits.fates(survey, share, keep_copies)


def find(
  source: str,
  asked: readers.Columns,
  include: Sequence[str],
  documents: join.Table | None,
  whole_batches: int,
) -> Origin:
  """Returns the origin that --source names; nothing is read yet.

  Args:
    source: the value of --source.
    asked: the columns that the user named.
    include: patterns of the files to read, see `readers.folder.choose`.
    documents: the table of documents, if rows have only their ids.
    whole_batches: see `readers.Part`.

  Raises:
    UserError: if the source does not exist or cannot be read, or if columns
      are named that none of its files can have.
  """
  if is_docstrings(source):
    return Docstrings(source)
  parts = readers.find(source, asked, include)
  if asked != readers.Columns() and all(p.columns != asked for p in parts):
    raise UserError(
      f"--source={source}: the columns of the format {parts[0].kind} are "
      "fixed; leave out --columns, --classes and other flags that name columns"
    )
  return Files(
    [
      _with_documents(
        dataclasses.replace(part, whole_batches=whole_batches), asked, documents
      )
      for part in parts
    ]
  )


def is_docstrings(source: str) -> bool:
  """Returns whether a source is the docstrings of Python files."""
  return source == "docstrings" or source.startswith("docstrings:")


def absolute(source: str) -> str:
  """Returns `source` in a form valid in any working directory."""
  if source == "docstrings":
    return source
  if is_docstrings(source):
    return "docstrings:" + os.path.abspath(source.split(":", 1)[1])
  kind, colon, path = source.partition(":")
  if colon and not path.startswith("//"):
    exists = os.path.exists(path)
    return f"{kind}:{os.path.abspath(path)}" if exists else source
  return streams.absolute(source)


def fingerprint(
  source: str, include: Sequence[str] = (), documents: Sequence[str] = ()
) -> str | None:
  """Returns `of_files` of a source in its present state.

  Args:
    source: the value of --source.
    include: patterns of the files to read, see `readers.folder.choose`.
    documents: the arguments of --documents, its path first.

  Raises:
    UserError: if the source does not exist.
  """
  if is_docstrings(source):
    return of_files(Docstrings(source).stamps())
  parts = readers.find(source, readers.Columns(), include)
  if documents:
    beside = (documents[0],)
    parts = [dataclasses.replace(part, beside=beside) for part in parts]
  return of_files(readers.stamps(parts))


def of_files(stamps: list[list] | None) -> str | None:
  """Returns a fingerprint of `stamps` that a copy of the files has too."""
  if stamps is None:
    return None
  return fingerprints.of_stamps([stamp[:2] for stamp in stamps])


def _with_documents(
  part: readers.Part, asked: readers.Columns, table: join.Table | None
) -> readers.Part:
  """Returns a part whose rows refer to documents by id."""
  if table is None:
    return part
  if part.row_kind or part.columns != asked:
    raise UserError(
      f"--documents: rows of the format {part.kind} contain their documents; "
      "leave out --documents"
    )
  return dataclasses.replace(part, documents=table, beside=(table.path,))
