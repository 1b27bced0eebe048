# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The format in which Nomic Embed's data is published.

A folder of shard-*.jsonl.gz, where `metadata.objective` of each row lists the
columns to train on together; counts.json and offsets.json.gz beside them give
the number of rows of each shard. Shards are read from the start, so only the
number of offsets is used.
"""

from collections.abc import Iterator
import gzip
import json
import zlib

from nomic_jax.data.readers import columns as columns_lib
from nomic_jax.data.readers.reader import Asked
from nomic_jax.data.readers.reader import Part
from nomic_jax.errors import UserError
from nomic_jax.storage import formats
from nomic_jax.storage import streams
from nomic_jax.storage.bad import BadRow
from nomic_jax.storage.bad import BadRows

SUFFIXES = formats.JSONL

_COUNTS, _OFFSETS = "counts.json", "offsets.json.gz"


def known(path: str) -> bool:
  """Returns whether a folder has counts.json or offsets.json.gz."""
  return any(
    streams.name(p) in (_COUNTS, _OFFSETS)
    for p in streams.list_folder(path) or ()
  )


def parts(paths: tuple[str, ...], asked: Asked) -> list[Part]:
  """Returns all shards as one part."""
  found = asked.columns
  if found == columns_lib.Columns():
    found = columns(paths[0]) or found
  return [Part("shards", paths, streams.name(asked.path), found)]


def records(path: str, bad: BadRows) -> Iterator[tuple[int, dict]]:
  """Yields (row number from 1, object); then checks the number of rows."""
  expected = rows_in(path)
  number, skipped = 0, bad.skipped
  for number, value in formats.jsonl(path, bad):
    yield number, value
  if expected is None or bad.skipped > skipped or number == expected:
    return
  bad.add(
    BadRow(
      "counts disagree",
      f"{path}: {number:,} rows, but {_COUNTS} or {_OFFSETS} beside it says "
      f"{expected:,}; copy the folder again",
    )
  )


def rows_in(path: str) -> int | None:
  """Returns the number of rows of a shard; None if its folder lists none.

  Raises:
    UserError: if counts.json or offsets.json.gz is damaged.
  """
  folder, name = path.rsplit("/", 1) if "/" in path else (".", path)
  for file in (_COUNTS, _OFFSETS):
    found = _counted(streams.join(folder, file))
    if name in found:
      return found[name]
  return None


def counts(folder: str) -> dict[str, int]:
  """Returns the number of rows of each shard of a folder, where known.

  Raises:
    UserError: if counts.json or offsets.json.gz is damaged.
  """
  return _counted(streams.join(folder, _COUNTS)) or _counted(
    streams.join(folder, _OFFSETS)
  )


def _counted(path: str) -> dict[str, int]:
  """Returns the number of rows by shard; {} if there is no such file."""
  if not streams.is_file(path):
    return {}
  table = _read_json(path)
  # Keys are paths in the bucket in which they were made.
  table = table.get("count_per_file", table)
  return (
    {
      streams.name(key): len(value) if isinstance(value, dict) else int(value)
      for key, value in table.items()
    }
    if isinstance(table, dict)
    else {}
  )


def _read_json(path: str) -> dict:
  try:
    with streams.open_binary(path) as stream:
      value = json.loads(stream.read())
    if not isinstance(value, dict):
      raise ValueError(f"a {type(value).__name__}, not an object")
    return value
  except (OSError, EOFError, ValueError, zlib.error, gzip.BadGzipFile) as e:
    raise UserError(f"{path}: damaged ({e}); copy it again") from e


def columns(path: str) -> columns_lib.Columns | None:
  """Returns the columns in a shard's first good row if it has one objective."""
  for _, value in formats.jsonl(path, BadRows(100)):
    listed = columns_lib.objectives(value)
    found = [
      (kind, [each] if isinstance(each, str) else each)
      for kind in ("self", "paired", "triplet")
      for each in listed.get(kind) or ()
    ]
    if len(found) == 1:
      return of_objective(*found[0])
    return None
  return None


def of_objective(kind: str, names: list[str]) -> columns_lib.Columns:
  """Returns the columns of an objective.

  Args:
    kind: self, paired or triplet.
    names: its columns in order.

  Raises:
    ValueError: for another kind, or a wrong number of columns.
  """
  wanted = {"self": 1, "paired": 2, "triplet": 3}
  if len(names) != wanted[kind] or not all(isinstance(n, str) for n in names):
    raise ValueError(f"{kind} takes {wanted[kind]} columns, not {names}")
  if kind == "self":  # SimCSE: a text paired with itself
    names = names * 2
  query, document, negatives = (names + [""])[:3]
  return columns_lib.Columns(query, document, negatives, kind)
