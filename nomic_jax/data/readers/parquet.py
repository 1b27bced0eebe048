# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Rows of parquet files, a few thousand at a time."""

from typing import Iterator

from nomic_jax.data.readers import storage
from nomic_jax.data.readers.bad import BadRow
from nomic_jax.data.readers.bad import BadRows
from nomic_jax.storage.rows import check_columns

SUFFIXES = (".parquet",)

_ROWS = 4096  # read at a time


def records(path: str, bad: BadRows) -> Iterator[tuple[int, dict]]:
  """Yields (row number from 1, columns); see `readers` for the contract."""
  import pyarrow
  from pyarrow import parquet

  number = 0
  try:
    with storage.open_seekable(path) as stream:
      file = parquet.ParquetFile(stream)
      check_columns(path, file.schema_arrow.names)
      for batch in file.iter_batches(_ROWS):
        for value in batch.to_pylist():
          number += 1
          yield number, value
  except FileNotFoundError:
    bad.add(BadRow(
        "file missing",
        f"{path}: no such file; it was listed, so copy it again"))
    return
  except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as e:
    bad.add(BadRow(
        "parquet damaged",
        f"{path}, row {number + 1}: not a whole parquet file "
        f"({' '.join(str(e).split())}); copy it again"))
    return
  if not number:
    bad.add(BadRow("file without rows", f"{path}: no rows in it"))
