# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The texts of a .txt, .jsonl(.gz) or .parquet file, one after the other."""

import pathlib
from typing import Iterator

from nomic_jax.errors import nearest
from nomic_jax.errors import UserError
from nomic_jax.storage import decoding
from nomic_jax.storage.files import read_jsonl
from nomic_jax.storage.rows import check_columns

KINDS = (".txt", ".jsonl", ".jsonl.gz", ".parquet")


def read(path: pathlib.Path, column: str) -> Iterator[str]:
  """Yields the texts of a file, however long it is.

  Args:
    path: .txt has a text on every line, empty ones too.
    column: of .jsonl and .parquet rows.

  Raises:
    UserError: naming file and row, for what is missing, damaged or no text.
  """
  if not path.name.endswith(KINDS):
    raise UserError(
        f"{path}: unknown kind of file; expected {', '.join(KINDS)}")
  if not path.is_file():
    raise UserError(f"{path}: no such file; expected {', '.join(KINDS)}")
  if path.suffix == ".txt":
    return _lines(path)
  if path.suffix == ".parquet":
    return _parquet(path, column)
  return _jsonl(path, column)


def _lines(path: pathlib.Path) -> Iterator[str]:
  with open(path, "rb") as stream:
    for number, line in decoding.lines(stream):
      yield decoding.decode(line, f"{path}, row {number}")


def _jsonl(path: pathlib.Path, column: str) -> Iterator[str]:
  for number, row in read_jsonl(path):
    if not isinstance(row.get(column), str):
      raise _no_text(path, number, column, list(row))
    yield row[column]


def _parquet(path: pathlib.Path, column: str) -> Iterator[str]:
  import pyarrow
  from pyarrow import parquet

  try:
    # Opened here, since its name need not be UTF-8.
    with path.open("rb") as stream, parquet.ParquetFile(stream) as file:
      names = file.schema_arrow.names
      check_columns(path, names)
      if column not in names:
        raise _no_text(path, 1, column, names)
      number = 0
      for batch in file.iter_batches(1024, columns=[column]):
        for text in batch.column(0).to_pylist():
          number += 1
          if not isinstance(text, str):
            raise _no_text(path, number, column, names)
          yield text
  except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as e:
    reason = " ".join(str(e).split())
    raise UserError(
        f"{path}: damaged or no parquet file ({reason}); copy it again") from e


def _no_text(
    path: pathlib.Path, number: int, column: str, columns: list[str]
) -> UserError:
  mend = "give every row a string"
  if column not in columns:
    mend = f"name another with --column.{nearest(column, columns)}"
  return UserError(
      f"{path}, row {number}: no text in column '{column}'; its columns are "
      f"{', '.join(columns)}; {mend}"
  )
