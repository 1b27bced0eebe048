# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Rows of files of every format, local or remote, of any length.

Each reader yields (row number from 1, value), passes unusable rows to `bad`
and holds only a few rows in memory. `each` and `texts` infer the format from
the file name and stop at the first bad row.
"""

from collections.abc import Iterator
from collections.abc import Sequence
import json
import os
from typing import TYPE_CHECKING

from nomic_jax.errors import nearest
from nomic_jax.errors import UserError
from nomic_jax.storage import decoding
from nomic_jax.storage import streams
from nomic_jax.storage import tables
from nomic_jax.storage import text_lines
from nomic_jax.storage.bad import BadRow
from nomic_jax.storage.bad import BadRows
from nomic_jax.storage.bad import REST
from nomic_jax.storage.values import Json
from nomic_jax.storage.values import JsonObject

if TYPE_CHECKING:
  import pyarrow

ENDS = ("", ".gz", ".zst")
JSONL = tuple(f".jsonl{more}" for more in ENDS)
TEXT = tuple(f".txt{more}" for more in ENDS)
PARQUET = (".parquet",)
ARROW = (".arrow",)
TABLES = tuple(f"{kind}{more}" for kind in (".csv", ".tsv") for more in ENDS)
TEXTS = (*TEXT, *JSONL, *PARQUET, *TABLES)  # what `texts` reads
_EXPECTED = (
  "expected .txt, .jsonl, .csv or .tsv, all also with .gz or .zst, or .parquet"
)
# Common formats that are not supported, and how to convert them.
CONVERT = {
  ".json": "to convert an array, run jq -c '.[]' FILE.json > FILE.jsonl",
  ".xlsx": "save it in Excel as 'CSV UTF-8'",
  ".xls": "save it in Excel as 'CSV UTF-8'",
  ".ods": "save it as CSV",
  ".numbers": "export it as CSV",
  ".pdf": "convert it to text, as with pdftotext",
  ".docx": "convert it to Markdown, as with pandoc FILE.docx -o FILE.md",
  ".html": "convert it to Markdown, as with pandoc FILE.html -o FILE.md",
  ".feather": "pandas.read_feather(FILE).to_parquet(...) makes a .parquet",
  ".pkl": "pandas.read_pickle(FILE).to_parquet(...) makes a .parquet",
  ".sqlite": "sqlite3 FILE -csv -header 'SELECT ...' > FILE.csv",
  ".db": "sqlite3 FILE -csv -header 'SELECT ...' > FILE.csv",
  ".zip": "unpack it",
  ".tar.gz": "unpack it",
}

_ROWS = 4096  # read from a parquet file at a time


def each(
  path: str | os.PathLike, columns: Sequence[str] | None = None
) -> Iterator[tuple[int, JsonObject]]:
  """Yields (row number from 1, row); strings are `decoding.safe`.

  Args:
    path: a file in any supported format. A line of .txt, even an empty one,
      is {"text": line}.
    columns: the columns to read from .parquet, where present.

  Raises:
    UserError: naming the file and row, for missing or damaged data.
  """
  path, bad = os.fspath(path), BadRows(skippable=False)
  if not streams.is_file(path):
    raise UserError(f"{path}: no such file; {_EXPECTED}")
  if path.endswith(PARQUET):
    rows = parquet(path, bad, columns)
  elif path.endswith(TABLES):
    rows = tables.separated(path, bad)
  elif path.endswith(ARROW):
    rows = arrow(path, bad)
  elif path.endswith(TEXT):
    rows = (
      (number, {"text": line}) for number, line in text_lines.read(path, bad)
    )
  else:
    rows = jsonl(path, bad)
  for number, row in rows:
    yield number, decoding.safe_json(row)


def texts(path: str | os.PathLike, column: str) -> Iterator[str]:
  """Yields the texts of a file in one of the formats TEXTS.

  Args:
    path: a .txt file has one text per line, including empty ones.
    column: the column to read from .jsonl and .parquet.

  Raises:
    UserError: naming the file and row, for missing or damaged data, or a row
      without text.
  """
  if not os.fspath(path).endswith(TEXTS):
    how = convert(os.fspath(path))
    raise UserError(
      f"{path}: unknown file format; {_EXPECTED}{how and f' ({how})'}"
    )
  column = "text" if os.fspath(path).endswith(TEXT) else column
  for number, row in each(path, [column]):
    if not isinstance(row.get(column), str):
      hint = "give every row a string"
      if column not in row:
        hint = f"name another with --column.{nearest(column, row)}"
      raise UserError(
        f"{path}, row {number}: no text in column '{column}'; its columns "
        f"are {', '.join(row)}; {hint}"
      )
    yield row[column]


def text(path: str, bad: BadRows) -> Iterator[tuple[int, dict[str, str]]]:
  """Yields (line number, {"document": line}), for masked language models."""
  return (
    (n, {"document": line.strip()}) for n, line in text_lines.written(path, bad)
  )


def jsonl(path: str, bad: BadRows) -> Iterator[tuple[int, dict]]:
  """Yields (line number, object); its strings are not yet `decoding.safe`."""
  for number, line in text_lines.written(path, bad):
    try:
      yield number, _parse(line, f"{path}, row {number}")
    except BadRow as e:
      bad.add(e)


def parquet(
  path: str, bad: BadRows, columns: Sequence[str] | None = None
) -> Iterator[tuple[int, dict]]:
  """Yields (row number, row), of `columns` only where present."""
  import pyarrow
  from pyarrow import parquet as pq

  number = 0
  try:
    # Opened here because the name may not be UTF-8.
    with streams.open_seekable(path) as stream, pq.ParquetFile(stream) as file:
      names = file.schema_arrow.names
      tables.check_columns(path, names)
      wanted = [name for name in columns or () if name in names] or None
      for batch in file.iter_batches(_ROWS, columns=wanted):
        for value in _rows(path, batch):
          number += 1
          yield number, value
  except FileNotFoundError:
    bad.add(text_lines.missing(path))
  except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as e:
    bad.add(
      BadRow(
        f"parquet damaged{REST}",
        f"{path}, row {number + 1}: not a whole parquet file "
        f"({' '.join(str(e).split())}); copy it again",
      )
    )


def arrow(path: str, bad: BadRows) -> Iterator[tuple[int, dict]]:
  """Yields (row number, columns) of a file saved by Hugging Face datasets."""
  import pyarrow

  number = 0
  try:
    with (
      streams.open_seekable(path) as stream,
      pyarrow.ipc.open_stream(stream) as reader,
    ):
      tables.check_columns(path, reader.schema.names)
      for batch in reader:
        for value in _rows(path, batch):
          number += 1
          yield number, value
  except FileNotFoundError:
    bad.add(text_lines.missing(path))
  except (pyarrow.ArrowException, OSError) as e:
    bad.add(
      BadRow(
        f"arrow damaged{REST}",
        f"{path}, row {number + 1}: truncated or damaged "
        f"({' '.join(str(e).split())}); save the data set again",
      )
    )


def _rows(path: str, batch: "pyarrow.RecordBatch") -> list[dict]:
  """Returns the rows of a batch.

  Raises:
    UserError: naming a column with values that Python cannot represent, such as
      a date after the year 9999.
  """
  import pyarrow

  try:
    return batch.to_pylist()
  except (pyarrow.ArrowException, UnicodeDecodeError):
    raise  # damage, see the callers
  except (ValueError, OverflowError, KeyError) as e:
    raise UserError(
      f"{path}: holds a {_unreadable(batch)} that Python cannot read ({e}); "
      "remove this column, or convert it to text"
    ) from e


def _unreadable(batch: "pyarrow.RecordBatch") -> str:
  """Returns the type and column of a value that cannot be read."""
  for field, column in zip(batch.schema, batch.columns):
    try:
      column.to_pylist()
    except (ValueError, OverflowError, KeyError):
      return f"{field.type} in column '{field.name}'"
  return "value"


def convert(path: str) -> str:
  """Returns how to convert a file to a supported format; "" if unknown."""
  for suffix, how in CONVERT.items():
    if path.lower().endswith(suffix):
      return how
  readable = (*TEXTS, *ARROW)
  small = [end for end in readable if end and path.lower().endswith(end)]
  if small and not path.endswith(readable):
    return f"rename it: {small[-1]} in small letters"
  return ""


class _Repeated(ValueError):
  """An object that repeats a key."""


def _unique(pairs: list[tuple[str, Json]]) -> JsonObject:
  value = dict(pairs)
  if len(value) < len(pairs):
    keys = [key for key, _ in pairs]
    raise _Repeated(repr(next(k for k in keys if keys.count(k) > 1)))
  return value


def _parse(line: str, where: str) -> dict:
  """Returns the JSON object in `line`, or raises a BadRow."""
  array = (
    "; to convert an array, run jq -c '.[]'" if (line.startswith("[")) else ""
  )
  try:
    value = json.loads(line.rstrip(), object_pairs_hook=_unique)
  except _Repeated as e:
    problem = f"the key {e} occurs twice; remove one of them"
  except json.JSONDecodeError as e:
    problem = (
      f"not valid JSON ({e.msg} at column {e.colno}); expected one "
      f"object per line{array}"
    )
  except (ValueError, RecursionError) as e:  # huge numbers or deep nesting
    problem = (
      f"JSON that Python cannot read ({e}); expected one object of texts and "
      "numbers per line"
    )
  else:
    if isinstance(value, dict):
      return value
    raise BadRow(
      "not an object",
      (f"{where}: expected a JSON object, found {type(value).__name__}{array}"),
    )
  raise BadRow("not JSON", f"{where}: {problem}")
