# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Rows of files of every format, local or remote, of any length.

Each reader yields (row number from 1, value), passes unusable rows to `bad`
and holds only a few rows in memory. `each` and `texts` infer the format from
the file name and stop at the first bad row.
"""

from collections.abc import Iterator
from collections.abc import Sequence
import csv
import gzip
import itertools
import json
import os
import re
import zlib

from nomic_jax.errors import nearest
from nomic_jax.errors import UserError
from nomic_jax.storage import decoding
from nomic_jax.storage import streams
from nomic_jax.storage import unicode_text
from nomic_jax.storage.bad import BadRow
from nomic_jax.storage.bad import BadRows
from nomic_jax.storage.values import Json
from nomic_jax.storage.values import JsonObject

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

# A longer line is a file without line ends rather than a row of text; reading
# it whole could exhaust memory.
_MOST_BYTES = 32 << 20
_ROWS = 4096  # read from a parquet file at a time
_LONGEST_CELL = 2**31 - 1  # characters; the largest value on every platform


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
    rows = separated(path, bad)
  elif path.endswith(ARROW):
    rows = arrow(path, bad)
  elif path.endswith(TEXT):
    rows = ((number, {"text": line}) for number, line in lines(path, bad))
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


def lines(
  path: str, bad: BadRows, unit: str = "row"
) -> Iterator[tuple[int, str]]:
  """Yields (number from 1, line without its end), including blank lines.

  Lines that are not UTF-8, or too long where rows can be skipped, go to `bad`.
  """
  number = 0
  most = _MOST_BYTES if bad.skippable else None
  try:
    with streams.open_binary(path) as stream:
      for number, data in decoding.lines(stream, most):
        if data is None:
          bad.add(
            BadRow(
              "row too long",
              f"{path}, row {number}: longer than {_MOST_BYTES >> 20} MiB; "
              "expected one object of texts per line",
            )
          )
          continue
        try:
          line = decoding.decode(data, f"{path}, {unit} {number}")
        except UserError as e:
          bad.add(BadRow("not UTF-8", str(e)))
          continue
        yield number, line
  except FileNotFoundError:
    bad.add(_missing(path))
  except (EOFError, gzip.BadGzipFile, zlib.error) as e:
    kind = "zstd" if path.endswith(".zst") else "gzip"
    bad.add(
      BadRow(f"{kind} damaged", decoding.damaged(path, number + 1, kind, e))
    )
  except OSError as e:
    raise UserError(
      f"{path}, row {number + 1}: cannot be read: {e.strerror or e}"
    ) from e


def written(path: str, bad: BadRows) -> Iterator[tuple[int, str]]:
  """Yields the lines that are not blank; otherwise like `lines`."""
  return (
    (n, line) for n, line in lines(path, bad) if not unicode_text.blank(line)
  )


def text(path: str, bad: BadRows) -> Iterator[tuple[int, dict[str, str]]]:
  """Yields (line number, {"document": line}), for masked language models."""
  return ((n, {"document": line.strip()}) for n, line in written(path, bad))


def jsonl(path: str, bad: BadRows) -> Iterator[tuple[int, dict]]:
  """Yields (line number, object); its strings are not yet `decoding.safe`."""
  for number, line in written(path, bad):
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
      check_columns(path, names)
      wanted = [name for name in columns or () if name in names] or None
      for batch in file.iter_batches(_ROWS, columns=wanted):
        for value in batch.to_pylist():
          number += 1
          yield number, value
  except FileNotFoundError:
    bad.add(_missing(path))
  except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as e:
    bad.add(
      BadRow(
        "parquet damaged",
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
      check_columns(path, reader.schema.names)
      for batch in reader:
        for value in batch.to_pylist():
          number += 1
          yield number, value
  except FileNotFoundError:
    bad.add(_missing(path))
  except (pyarrow.ArrowException, OSError) as e:
    bad.add(
      BadRow(
        "arrow damaged",
        f"{path}, row {number + 1}: truncated or damaged "
        f"({' '.join(str(e).split())}); save the data set again",
      )
    )


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


def separated(
  path: str, bad: BadRows, names: bool = True
) -> Iterator[tuple[int, dict[str, str]]]:
  """Yields (row number, cells by column) of a table with a header line.

  The cells of a .csv are separated by the most frequent of comma, semicolon,
  tab and bar in its first line (or the one in Excel's line `sep=;` before it),
  and may be quoted. Those of a .tsv are separated by tabs, and quotes are part
  of the text, unless the file is quoted as Excel does. Empty rows, which
  spreadsheets append, are skipped, and so are empty columns without a name.

  Args:
    path: the file.
    bad: counts the rows that cannot be used.
    names: whether the first line is a header; if not, columns are named #1, #2
      and so on.
  """
  limit = csv.field_size_limit(_LONGEST_CELL)  # a setting of the process
  number = 0
  try:
    # The header cannot be skipped: the first row would be read in its place.
    next(lines(path, BadRows(skippable=False), "line"), None)
    rest = (line + "\n" for _, line in lines(path, bad, "line"))
    first = next(rest, "")
    separator = re.fullmatch(r"sep=(.)\n", first)
    if separator:
      first = next(rest, "")
    options = {"delimiter": "\t", "quoting": csv.QUOTE_NONE}
    if _is_csv(path) or _is_quoted(path, first):
      # Without strict, an unmatched quote swallows the rest of the file.
      options = {"delimiter": "\t", "strict": True}
    if separator:
      options["delimiter"] = separator[1]
    elif _is_csv(path):
      options["delimiter"] = max(",;\t|", key=first.count)
    rows = csv.reader(itertools.chain([first], rest), **options)
    columns = None
    for row in rows:
      if columns is None:
        if names:
          columns = _names(path, row, options["delimiter"])
          continue
        columns = [f"#{i}" for i in range(1, len(row) + 1)]
      if not any(row):
        number += bool(row)  # a line without cells does not count
        continue
      number += 1
      if len(row) < len(columns) or any(row[len(columns) :]):
        bad.add(
          BadRow(
            "number of cells",
            f"{path}, row {number}: expected {len(columns)} cells, as in the "
            f"header, found {len(row)}; correct or remove this row, or quote "
            f"cells that contain {options['delimiter']!r}",
          )
        )
      else:
        yield number, dict(zip(columns, row))
  except csv.Error as e:
    bad.add(
      BadRow(
        "not a table",
        f"{path}, row {number + 1}: not a table ({e}); correct the file",
      )
    )
  finally:
    csv.field_size_limit(limit)


def unnamed(path: str, bad: BadRows) -> Iterator[tuple[int, dict[str, str]]]:
  """Yields as `separated`, for a table without a header: #1, #2 and so on."""
  return separated(path, bad, names=False)


def _is_csv(path: str) -> bool:
  return path.removesuffix(".gz").removesuffix(".zst").endswith(".csv")


def _names(path: str, row: Sequence[str], delimiter: str) -> list[str]:
  """Returns the column names in a header, without empty ones at its end."""
  if len(row) == 1 and delimiter == "\t" and re.search("[,;|]", row[0]):
    raise UserError(
      f"{path}: its first line, {row[0]:.60}, has no tabs, which separate the "
      "cells of a .tsv; rename the file to end in .csv"
    )
  names = [name.strip() for name in row]
  while names and not names[-1]:
    names.pop()
  check_columns(path, names)
  return names


def _is_quoted(path: str, first: str) -> bool:
  """Returns whether cells of a .tsv are quoted where necessary, as Excel does.

  They are if all names are, or if each row has as many cells as the header only
  when read as quoted: in raw text, quotes seldom pair up by chance.
  """
  cells = first.rstrip("\n").split("\t")
  if all(len(c) > 1 and c[0] == c[-1] == '"' for c in cells):
    return True
  count, torn = len(cells), False
  skip = BadRows(1 << 62)
  for _, line in lines(path, skip, "line"):
    if line and line.count("\t") + 1 != count:
      torn = True
      break
  if not torn:
    return False
  texts = (line + "\n" for _, line in lines(path, skip, "line"))
  try:
    reader = csv.reader(texts, delimiter="\t", strict=True)
    return all(len(row) in (0, count) for row in reader)
  except csv.Error:
    return False


def check_columns(path: str, names: Sequence[str]) -> None:
  """Raises UserError if two columns of a table have the same name."""
  twice = [n for i, n in enumerate(names) if n in names[:i]]
  if twice:
    raise UserError(
      f"{path}: two columns are called '{twice[0]}'; rename or remove one"
    )


def _missing(path: str) -> BadRow:
  return BadRow(
    "file missing", f"{path}: no such file; it was listed, so copy it again"
  )


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
