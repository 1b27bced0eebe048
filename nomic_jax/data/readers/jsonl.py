# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""One JSON object a line: .jsonl, .jsonl.gz and .jsonl.zst."""

import gzip
from typing import Iterator
import zlib

from nomic_jax.data.readers import storage
from nomic_jax.data.readers.bad import BadRow
from nomic_jax.data.readers.bad import BadRows
from nomic_jax.errors import UserError
from nomic_jax.storage import decoding
from nomic_jax.storage import files
from nomic_jax.storage import unicode_text

SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst")

# A longer line is no row of texts but a file that lost its line ends; reading
# it whole could take all memory.
_MOST_BYTES = 32 << 20


def records(path: str, bad: BadRows) -> Iterator[tuple[int, dict]]:
  """Yields (row number from 1, object); see `readers` for the contract."""
  number, skipped = 0, bad.skipped
  for number, line in lines(path, bad):
    try:
      yield number, _parse(line, f"{path}, row {number}")
    except BadRow as e:
      bad.add(e)
  if not number and bad.skipped == skipped:
    bad.add(BadRow("file without rows", f"{path}: no rows in it"))


def lines(path: str, bad: BadRows) -> Iterator[tuple[int, str]]:
  """Yields (number from 1, line without its end) of lines that are not blank.

  Lines that are too long or not UTF-8 go to `bad`.
  """
  number = 0
  try:
    with storage.open_binary(path) as stream:
      for number, data in decoding.lines(stream, _MOST_BYTES):
        if data is None:
          bad.add(BadRow(
              "row too long",
              f"{path}, row {number}: longer than {_MOST_BYTES >> 20} MiB; "
              "expected one object of texts per line"))
          continue
        try:
          line = decoding.decode(data, f"{path}, row {number}")
        except UserError as e:
          bad.add(BadRow("not UTF-8", str(e)))
          continue
        if not unicode_text.blank(line):
          yield number, line
  except FileNotFoundError:
    bad.add(BadRow(
        "file missing",
        f"{path}: no such file; it was listed, so copy it again"))
  except (EOFError, gzip.BadGzipFile, zlib.error) as e:
    kind = "zstd" if path.endswith(".zst") else "gzip"
    bad.add(BadRow(
        f"{kind} damaged", decoding.damaged(path, number + 1, kind, e)))
  except OSError as e:
    raise UserError(
        f"{path}, row {number + 1}: cannot be read: {e.strerror or e}") from e


def _parse(line: str, where: str) -> dict:
  try:
    return files.parse_object(line, where)
  except UserError as e:
    reason = "not an object" if e.__cause__ is None else "not JSON"
    raise BadRow(reason, str(e)) from e
