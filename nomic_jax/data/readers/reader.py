# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The interface of readers of data formats, their requests and results."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import dataclasses
from typing import NamedTuple
from typing import Protocol

from nomic_jax.data.readers import first_rows
from nomic_jax.data.readers.columns import Columns
from nomic_jax.data.readers.join import Table
from nomic_jax.storage.bad import BadRow
from nomic_jax.storage.bad import BadRows


@dataclasses.dataclass(frozen=True)
class Part:
  """Files of one kind, read as one source.

  Attributes:
    kind: name of the reader.
    paths: its files, in order.
    source: the name of the rows' source; "": the name of each file.
    columns: the columns of the rows.
    prompts: {"query", "document"}: the source's prompts; None: not specified.
    whole_batches: the number of rows read from each file is a multiple of this.
    beside: further files from which the rows are made; None: `paths` are not
      files, so it is unknown whether they change.
    row_kind: kind of the rows, of `kinds.KINDS`, if the format has only one.
    documents: the table of documents, if rows have only their ids.
    queries: how to make pairs from documents without queries, see `queries`.
    first: what the first rows determine, see `first_rows`; None if the user or
      the format determines it.
  """

  kind: str
  paths: tuple[str, ...]
  source: str
  columns: Columns
  prompts: dict[str, str] | None = None
  whole_batches: int = 1
  beside: tuple[str, ...] | None = ()
  row_kind: str = ""
  documents: Table | None = None
  queries: tuple[str, ...] = ()
  first: first_rows.First | None = None


class Asked(NamedTuple):
  """What the user wants to read.

  Attributes:
    source: the value of --source.
    path: the same without its kind.
    columns: the columns of rows, unless the format determines them.
    include: patterns of the files to read, see `folder.choose`.
    expected: supported sources, for messages.
    readable: suffixes of supported files.
  """

  source: str
  path: str
  columns: Columns
  include: Sequence[str]
  expected: str
  readable: tuple[str, ...]


class Reader(Protocol):
  """Reads a data format: a module of `readers`, or `Files`.

  Attributes:
    SUFFIXES: the suffixes of its files; --source may name a file or a folder of
      files. If empty, `parts` receives the path itself.
  """

  @property
  def SUFFIXES(self) -> tuple[str, ...]:  # noqa: N802
    """Suffixes of its files."""
    ...

  def known(self, path: str) -> bool:
    """Returns whether to read a path if the user does not name a kind."""
    ...

  def parts(self, paths: tuple[str, ...], asked: Asked) -> list[Part]:
    """Returns the parts of some files, or of a path without SUFFIXES."""
    ...

  def records(self, path: str, bad: BadRows) -> Iterator[tuple[int, dict]]:
    """Yields (row number, object) of one of a part's paths.

    Rows that cannot be used are added to `bad`; only a few rows are in memory.
    """
    ...


@dataclasses.dataclass(frozen=True)
class Files:
  """A reader made from one function: a file of rows, recognised by its suffix.

  Attributes:
    kind: name of the reader.
    SUFFIXES: the suffixes of its files.
    read: yields (row number, object), see `formats`.
    columns: the columns of the rows; None: as the user specifies.
  """

  kind: str
  SUFFIXES: tuple[str, ...]
  read: Callable[[str, BadRows], Iterator[tuple[int, dict]]]
  columns: Columns | None = None

  def known(self, path: str) -> bool:
    """Returns whether a path ends in one of SUFFIXES."""
    return path.endswith(self.SUFFIXES)

  def parts(self, paths: tuple[str, ...], asked: Asked) -> list[Part]:
    """Returns all files as one part."""
    return [Part(self.kind, paths, "", self.columns or asked.columns)]

  def records(self, path: str, bad: BadRows) -> Iterator[tuple[int, dict]]:
    """Yields what `read` yields; a file without rows counts as a bad row."""
    number, skipped = 0, bad.skipped
    for number, value in self.read(path, bad):
      yield number, value
    if not number and bad.skipped == skipped:
      bad.add(BadRow("file without rows", f"{path}: has no rows"))


@dataclasses.dataclass(frozen=True)
class Tables(Files):
  """Tables, which may have no header.

  Attributes:
    unnamed: the kind of the reader for tables without a header, whose columns
      are named #1, #2 and so on.
  """

  unnamed: str = ""

  def parts(self, paths: tuple[str, ...], asked: Asked) -> list[Part]:
    """Returns all files as a part, without headers if columns are numbers."""
    (part,) = super().parts(paths, asked)
    if any(isinstance(c, str) and c.startswith("#") for c in asked.columns):
      return [dataclasses.replace(part, kind=self.unnamed)]
    return [part]
