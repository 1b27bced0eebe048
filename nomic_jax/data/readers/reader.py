# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""What a reader of a data format is, and what it is asked for and returns."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import dataclasses
from typing import NamedTuple
from typing import Protocol

from nomic_jax.data.readers.columns import Columns
from nomic_jax.data.readers.join import Table
from nomic_jax.storage.bad import BadRow
from nomic_jax.storage.bad import BadRows


@dataclasses.dataclass(frozen=True)
class Part:
  """Files of one kind, read as one source.

  Attributes:
    kind: which reader.
    paths: its files, in order.
    source: the name of the rows' source; "" is each file's own name.
    columns: where an object has its texts.
    prompts: {"query", "document"}: what stands before them; None is not said.
    whole_batches: of each file only so many rows, or a multiple, are read.
    beside: further files that the rows are made from; None: `paths` are no
      files, and whether they change is not known.
    row_kind: the kind of the rows, of `kinds.KINDS`, where the format has one.
    documents: the table that has the documents whose ids the rows have.
    queries: how pairs are made of documents without queries, see `queries`.
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


class Asked(NamedTuple):
  """What a user asks to be read.

  Attributes:
    source: the value of --source.
    path: of it, without a kind in front.
    columns: of rows that do not say themselves which are theirs.
    include: which files of a folder, see `folder.files`.
    expected: what can be read, for messages.
    readable: how names of files end that could be read.
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
    SUFFIXES: of its files: --source may name one or a folder of them. Without
      any, `parts` is given the path as it stands.
  """

  SUFFIXES: tuple[str, ...]

  def known(self, path: str) -> bool:
    """Whether a path, whose kind the user does not tell, is of this kind."""

  def parts(self, paths: tuple[str, ...], asked: Asked) -> list[Part]:
    """Returns what is read of some files, or of a path without SUFFIXES."""

  def records(self, path: str, bad: BadRows) -> Iterator[tuple[int, dict]]:
    """Yields (row number, object) of one of a part's paths.

    Rows that cannot be used go to `bad`; no more than a few are in memory.
    """


@dataclasses.dataclass(frozen=True)
class Files:
  """The reader of what one function reads: a file of rows, known by its name.

  Attributes:
    kind: its name.
    SUFFIXES: of its files.
    read: yields (row number, object), see `formats`.
    columns: where an object has its texts; None: where the user says.
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
    """As `read`; a file without rows is itself a bad row."""
    number, skipped = 0, bad.skipped
    for number, value in self.read(path, bad):
      yield number, value
    if not number and bad.skipped == skipped:
      bad.add(BadRow("file without rows", f"{path}: no rows in it"))


@dataclasses.dataclass(frozen=True)
class Tables(Files):
  """Tables, whose first line may be a row already.

  Attributes:
    unnamed: the kind of reader for those without a line of names, whose columns
      are #1, #2 and so on.
  """

  unnamed: str = ""

  def parts(self, paths: tuple[str, ...], asked: Asked) -> list[Part]:
    """Returns all files as a part, without headers if columns are numbered."""
    (part,) = super().parts(paths, asked)
    if any(isinstance(c, str) and c.startswith("#") for c in asked.columns):
      return [dataclasses.replace(part, kind=self.unnamed)]
    return [part]
