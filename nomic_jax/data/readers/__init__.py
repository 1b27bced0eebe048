# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Whatever text comes in, as rows of a data directory.

A reader is a module with `records(path, bad)`, which yields (row number,
object) of one file, hands each row that cannot be used to `bad`, and keeps
no more than a few rows in memory. A new format is a new module and a line in
the table below.
"""

from concurrent import futures
import dataclasses
import itertools
from typing import Iterator, Sequence

from nomic_jax.data import dataset
from nomic_jax.data.dataset import Row
from nomic_jax.data.readers import beir
from nomic_jax.data.readers import folder
from nomic_jax.data.readers import glue
from nomic_jax.data.readers import hub
from nomic_jax.data.readers import jsonl
from nomic_jax.data.readers import parquet
from nomic_jax.data.readers import shards
from nomic_jax.data.readers import specification
from nomic_jax.data.readers import storage
from nomic_jax.data.readers import text
from nomic_jax.data.readers.bad import BadRow
from nomic_jax.data.readers.bad import BadRows
from nomic_jax.data.readers.columns import Columns
from nomic_jax.data.readers.columns import to_row
from nomic_jax.errors import UserError
from nomic_jax.storage.progress import Progress

_READERS = {
    "beir": beir, "glue": glue, "hf": hub, "jsonl": jsonl, "parquet": parquet,
    "shards": shards, "text": text,
}

EXPECTED = (
    "expected 'docstrings', 'docstrings:FOLDER', a .jsonl(.gz/.zst), .parquet "
    "or .txt file, a folder of them, a BEIR folder, a .yaml specification, or "
    "hf:OWNER/NAME"
)

_SHOWN = 10_000  # rows between two signs of life


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
  """

  kind: str
  paths: tuple[str, ...]
  source: str
  columns: Columns
  prompts: dict[str, str] | None = None
  whole_batches: int = 1


def find(
    source: str, columns: Columns, include: Sequence[str] = ()
) -> list[Part]:
  """Returns what `source`, the flag, stands for.

  Args:
    source: a path, or KIND:PATH where the kind is not to be guessed.
    columns: of rows that do not say themselves which are theirs.
    include: which files of a folder, see `folder.choose`.

  Raises:
    UserError: if nothing is there, or nothing that can be read.
  """
  kind, _, path = source.partition(":")
  if kind not in _READERS or path.startswith("//"):
    kind, path = "", source
  if kind == "hf":
    return [Part("hf", (path,), path, columns)]
  if not kind and path.endswith((".yaml", ".yml")):
    return [
        Part("shards", _listed(name, bucket, source), name, columns, prompts)
        for name, bucket, columns, prompts in specification.read(path)]
  if kind == "beir" or not kind and beir.is_beir(path):
    found = beir.judgements(storage.absolute(path))
    name = storage.name(found.rsplit("/", 2)[0])
    return [Part("beir", (found,), name, Columns())]
  if kind == "shards" or not kind and shards.is_published(path):
    files = _files(path, "shards", source, include)
    found = shards.columns(files[0]) if columns == Columns() else None
    return [Part("shards", files, storage.name(path), found or columns)]
  if kind:
    return [Part(kind, _files(path, kind, source, include), "", columns)]
  return _guessed(path, source, columns, include)


def _guessed(
    path: str, source: str, columns: Columns, include: Sequence[str]
) -> list[Part]:
  """The files of a folder, or the file, that hold rows; else those of text."""
  choices = (("jsonl", "parquet"), ("text",))
  for kinds in [sum(choices, ())] if include else choices:
    suffixes = [s for kind in kinds for s in _READERS[kind].SUFFIXES]
    files = _matching(path, suffixes, source, include)
    found = [
        Part(kind, tuple(
            f for f in files if f.endswith(_READERS[kind].SUFFIXES)), "",
             columns) for kind in kinds]
    if files:
      return [part for part in found if part.paths]
  if storage.list_folder(path) is None:
    raise UserError(f"--source={source}: not a kind of file that is read; "
                    f"{EXPECTED}")
  raise UserError(
      f"{path}: holds no .jsonl, .parquet or .txt files; {EXPECTED}")


def _listed(name: str, bucket: str, source: str) -> tuple[str, ...]:
  """Returns the files of one data set of a specification."""
  if not bucket.endswith("/") and "*" not in bucket:
    return tuple(specification.expand(bucket))
  folder_path, _, pattern = bucket.rpartition("/")
  if pattern not in ("", "*", "shard-*", "shard-*.jsonl.gz"):
    raise UserError(
        f"{source}, data set '{name}': bucket {bucket} is not understood; "
        "expected FOLDER/, FOLDER/shard-* or FOLDER/shard-{00000..00012}"
        ".jsonl.gz")
  return _files(folder_path, "shards", source)


def _files(
    path: str, kind: str, source: str, include: Sequence[str] = ()
) -> tuple[str, ...]:
  """Returns `path`, or the files in it, that are of a kind."""
  suffixes = _READERS[kind].SUFFIXES
  if storage.is_file(path := storage.absolute(path)):
    return (path,)  # of any name, where its kind is said
  found = _matching(path, suffixes, source, include)
  if not found:
    raise UserError(f"{path}: holds no {' or '.join(suffixes)} files")
  return found


def _matching(
    path: str, suffixes: Sequence[str], source: str, include: Sequence[str]
) -> tuple[str, ...]:
  """Returns `path`, or the files in it, that end in one of `suffixes`."""
  path = storage.absolute(path)
  inside = storage.list_folder(path)
  if inside is None:
    if not storage.is_file(path):
      raise UserError(
          f"--source={source}: no such file or folder; {EXPECTED}")
    if include:
      raise UserError(f"--include: {path} is a file; give a folder")
    return (path,) if path.endswith(tuple(suffixes)) else ()
  if not any(p.endswith(tuple(suffixes)) for p in inside):
    return ()
  readable = [
      s for kind in ("jsonl", "parquet", "text")
      for s in _READERS[kind].SUFFIXES]
  return tuple(folder.choose(path, inside, suffixes, readable, include))


def stamps(parts: Sequence[Part]) -> list[list] | None:
  """Returns `storage.stamp` of all files read; None where that is not known."""
  if any(part.kind == "hf" for part in parts):
    return None
  paths = [path for part in parts for path in part.paths]
  for part in parts:
    if part.kind == "beir":
      paths += beir.files(part.paths[0])
  with futures.ThreadPoolExecutor(16) as pool:
    return list(pool.map(storage.stamp, paths))


class Rows:
  """The rows of some parts; can be read any number of times, in one order.

  Attributes:
    parts: what is read.
    skip_bad: how many rows may be skipped, or what share, such as "2%".
    bad: what the last reading skipped.
  """

  def __init__(
      self, parts: list[Part], limit: int | None, skip_bad: int | str
  ):
    self.parts, self._limit, self.skip_bad = parts, limit, skip_bad
    self.bad = BadRows(skip_bad)

  def prompts(self) -> dict[str, dict[str, str]]:
    """Returns the prompts of each source that says its own."""
    return {p.source: p.prompts for p in self.parts if p.prompts is not None}

  def files(self) -> list[tuple[Part, str]]:
    """Returns every file and the part it is of, in the order of the rows."""
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
  return part.source or storage.name(path).split(".")[0]


def rows_of(part: Part, path: str, bad: BadRows) -> Iterator[Row]:
  """Yields the rows of one file; those that cannot be used go to `bad`.

  So do the last ones, as left out, of a part in whole batches.
  """
  rows = _usable(part, path, bad)
  while batch := list(itertools.islice(rows, part.whole_batches)):
    if len(batch) < part.whole_batches:
      bad.left["rest below a batch"] += len(batch)
    else:
      yield from batch


def _usable(part: Part, path: str, bad: BadRows) -> Iterator[Row]:
  source = source_of(part, path)
  for number, value in _READERS[part.kind].records(path, bad):
    try:
      if part.kind == "text":
        yield dataset.row(
            "", value["document"], source=source, location=f"{path}:{number}")
      else:
        yield to_row(
            path, number, value, part.columns, source, bad.left)
    except BadRow as e:
      bad.add(e)
