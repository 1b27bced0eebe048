# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Readers of data formats, which yield rows of a data directory.

README.md explains how to add a format. Only the tables below name formats:
what one of them reads is never left to another.
"""

from collections.abc import Iterator
from collections.abc import Sequence
from concurrent import futures
import itertools

from nomic_jax.data.readers import beir
from nomic_jax.data.readers import first_rows
from nomic_jax.data.readers import folder
from nomic_jax.data.readers import glue
from nomic_jax.data.readers import hub
from nomic_jax.data.readers import join
from nomic_jax.data.readers import markdown
from nomic_jax.data.readers import queries
from nomic_jax.data.readers import saved
from nomic_jax.data.readers import shards
from nomic_jax.data.readers import specification
from nomic_jax.data.readers.columns import Columns
from nomic_jax.data.readers.columns import to_row
from nomic_jax.data.readers.reader import Asked
from nomic_jax.data.readers.reader import Files
from nomic_jax.data.readers.reader import Part
from nomic_jax.data.readers.reader import Reader
from nomic_jax.data.readers.reader import Tables
from nomic_jax.data.records import Row
from nomic_jax.errors import UserError
from nomic_jax.storage import formats
from nomic_jax.storage import streams
from nomic_jax.storage import tables
from nomic_jax.storage.bad import BadRow
from nomic_jax.storage.bad import BadRows
from nomic_jax.storage.progress import Progress

# Files of rows, by kind; all of them in a folder are read.
ROWS: dict[str, Reader] = {
  r.kind: r
  for r in (
    Files("jsonl", formats.JSONL, formats.jsonl),
    Files("parquet", formats.PARQUET, formats.parquet),
    Tables("csv", formats.TABLES, tables.separated, unnamed="unnamed"),
    Files("arrow", formats.ARROW, formats.arrow),
  )
}
# Files of text without queries; read if a folder has no files of rows.
TEXT: dict[str, Reader] = {
  "text": Files("text", formats.TEXT, formats.text, Columns(query=""))
}
# Formats that are more than files of rows; a path is checked for these first.
OTHERS: dict[str, Reader] = {
  "hf": hub,
  "saved": saved,
  "yaml": specification,
  "beir": beir,
  "shards": shards,
  "glue": glue,
}
# Pages; read if a folder has none of the above, since beside other data they
# only describe it, as a README.md does.
PAGES: dict[str, Reader] = {"markdown": markdown}
# Formats that a part names, and that no path selects.
_UNNAMED = Files("unnamed", (), tables.unnamed)

_SHOWN = 10_000  # rows between updates of the progress bar


def readers() -> dict[str, Reader]:
  """Returns every reader by its kind, as in --source=KIND:PATH."""
  return OTHERS | ROWS | TEXT | PAGES


def records(part: Part, path: str, bad: BadRows) -> Iterator[tuple[int, dict]]:
  """Yields (row number, object) of one file of a part."""
  reader = (readers() | {_UNNAMED.kind: _UNNAMED})[part.kind]
  return reader.records(path, bad)


def find(
  source: str, columns: Columns, include: Sequence[str] = ()
) -> list[Part]:
  """Returns the parts of `source`, the value of --source.

  Args:
    source: a path, or KIND:PATH to name the kind.
    columns: the columns of rows, unless the format determines them.
    include: patterns of the files to read, see `folder.choose`.

  Raises:
    UserError: if there is no such path, or nothing in it can be read.
  """
  kind, colon, path = source.partition(":")
  if not colon or kind not in readers() or path.startswith("//"):
    kind, path = "", source
  readable = _suffixes(ROWS | TEXT)
  asked = Asked(
    source,
    path,
    columns,
    include,
    "expected 'docstrings', "
    f"'docstrings:FOLDER', a file whose name ends in {', '.join(readable)}, "
    "a folder of them, a BEIR folder, a .yaml specification, or "
    "hf:OWNER/NAME",
    readable,
  )
  first = readers() if kind else OTHERS | ROWS | TEXT
  for name, reader in first.items():
    if name == kind or not kind and reader.known(path):
      paths = (
        (path,)
        if not reader.SUFFIXES
        else folder.files(path, asked, reader.SUFFIXES)
      )
      return reader.parts(paths, asked)
  for kinds in [ROWS | TEXT] if include else [ROWS, TEXT]:
    paths = folder.choose(path, asked, _suffixes(kinds))
    found = [
      (reader, tuple(filter(reader.known, paths))) for reader in kinds.values()
    ]
    if parts := [
      p for reader, some in found if some for p in reader.parts(some, asked)
    ]:
      return parts
  for reader in PAGES.values():
    if reader.known(path):
      return reader.parts((path,), asked)
  if streams.list_folder(path) is None:
    how = formats.convert(path)
    raise UserError(
      f"--source={source}: unsupported file format{how and f' ({how})'}; "
      f"{asked.expected}"
    )
  raise UserError(
    f"{path}: holds no {', '.join(readable)} files; {asked.expected}"
  )


def _suffixes(kinds: dict[str, Reader]) -> tuple[str, ...]:
  return tuple(s for reader in kinds.values() for s in reader.SUFFIXES)


def stamps(parts: Sequence[Part]) -> list[list] | None:
  """Returns `streams.stamp` of all files read; None if unknown."""
  if any(part.beside is None for part in parts):
    return None
  paths = [path for part in parts for path in part.paths]
  paths += [path for part in parts for path in part.beside or ()]
  with futures.ThreadPoolExecutor(16) as pool:
    return list(pool.map(streams.stamp, paths))


class Rows:
  """The rows of some parts; can be read repeatedly, in the same order.

  Attributes:
    parts: the parts.
    skip_bad: number or share, such as "2%", of rows that may be skipped.
    bad: the rows skipped by the last reading.
  """

  def __init__(self, parts: list[Part], limit: int | None, skip_bad: int | str):
    self.parts, self._limit, self.skip_bad = parts, limit, skip_bad
    self.bad = BadRows(skip_bad)

  def prompts(self) -> dict[str, dict[str, str]]:
    """Returns the prompts of each source that specifies its own."""
    return {p.source: p.prompts for p in self.parts if p.prompts is not None}

  def files(self) -> list[tuple[Part, str]]:
    """Returns (part, file) for every file, in the order of the rows."""
    return [(part, path) for part in self.parts for path in part.paths]

  def __iter__(self) -> Iterator[Row]:
    self.bad = BadRows(self.skip_bad)
    count = 0
    files = self.files()
    with Progress(len(files), "files", "read") as progress:
      for part, path in files:
        for row in rows_of(part, path, self.bad):
          if count == self._limit:
            self.bad.check(count)
            return
          count += 1
          if not count % _SHOWN:
            progress.update(0, rows=f"{count:,}")
          yield row
        progress.update(1, rows=f"{count:,}")
    self.bad.check(count)


def source_of(part: Part, path: str) -> str:
  """Returns the source of all rows of a file."""
  return part.source or streams.name(path).split(".")[0]


def rows_of(part: Part, path: str, bad: BadRows) -> Iterator[Row]:
  """Yields the rows of one file; those that cannot be used are added to `bad`.

  If a part is read in whole batches, remaining rows are counted and dropped.
  """
  rows = _usable(part, path, bad)
  while batch := list(itertools.islice(rows, part.whole_batches)):
    if len(batch) < part.whole_batches:
      bad.left["incomplete batch"] += len(batch)
    else:
      yield from batch


def _usable(part: Part, path: str, bad: BadRows) -> Iterator[Row]:
  source = source_of(part, path)
  for number, value in records(part, path, bad):
    try:
      if part.first:
        first_rows.check(path, number, value, part.first)
      if part.documents:
        value = join.joined(path, number, value, part.columns, part.documents)
      if part.queries:
        yield from queries.rows(
          path, number, value, part.columns, part.queries, source, bad
        )
        continue
      yield to_row(path, number, value, part.columns, source, bad.left)
    except BadRow as e:
      bad.add(e)
