# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Converting between the bytes of a file and text.

Input must be UTF-8, with or without a byte-order mark; `decode` reports
anything else in one line that names the file, row and encoding. Whatever has
been read can be written: lone surrogates, which JSON can spell and UTF-8
cannot, become U+FFFD on input, by `safe`.
"""

import codecs
from collections.abc import Iterator
import io
import os
import re
from typing import BinaryIO

from nomic_jax.errors import UserError
from nomic_jax.storage.values import Json

_SURROGATE = re.compile("[\ud800-\udfff]")
# UTF-32 first: its little-endian mark starts with that of UTF-16.
_MARKS = (
  (codecs.BOM_UTF32_LE, "UTF-32"),
  (codecs.BOM_UTF32_BE, "UTF-32"),
  (codecs.BOM_UTF16_LE, "UTF-16"),
  (codecs.BOM_UTF16_BE, "UTF-16"),
)

# First bytes of other kinds of file.
_OTHERS = {
  b"\x1f\x8b": "gzip-compressed; its name must end in .gz",
  b"\x28\xb5\x2f\xfd": "zstd-compressed; its name must end in .zst",
  b"PAR1\x15": "a parquet file; its name must end in .parquet",
  b"PK\x03\x04": "a zip archive or an Excel workbook; unpack it, or save it "
  "as text",
}


def decode(data: bytes, where: str) -> str:
  """Decodes UTF-8 and drops a leading byte-order mark.

  Args:
    data: a line, or a whole file.
    where: the file and row, for error messages.

  Raises:
    UserError: naming the likely encoding.
  """
  for mark, name in _MARKS:
    if data.startswith(mark):
      raise _not_utf8(where, f"{name}, not UTF-8", name)
  for start, name in _OTHERS.items():
    if data.startswith(start):
      raise UserError(f"{where}: not UTF-8 but {name}")
  # Every second byte of English text in UTF-16 is NUL, which UTF-8 allows.
  if len(data) > 2 and 3 * data.count(0) > len(data):
    raise _not_utf8(
      where, "mostly NUL bytes, as in UTF-16; expected UTF-8", "UTF-16"
    )
  try:
    return data.decode("utf-8-sig")
  except UnicodeDecodeError as e:
    raise _not_utf8(
      where,
      f"not UTF-8 at byte {e.start} (0x{data[e.start]:02x}; perhaps "
      "Latin-1 or Windows-1252)",
      "WINDOWS-1252",
    ) from e


def _not_utf8(where: str, problem: str, encoding: str) -> UserError:
  return UserError(
    f"{where}: {problem}; convert the file to UTF-8, for example with iconv -f "
    f"{encoding} -t UTF-8"
  )


def damaged(
  path: str | os.PathLike, number: int, kind: str, error: Exception
) -> str:
  """Returns an error message for a file that cannot be decompressed.

  Args:
    path: the file.
    number: the row that could not be read.
    kind: the compression, "gzip" or "zstd".
    error: the exception raised.
  """
  if number == 1 and re.search("Not a gzipped file|Unknown frame", str(error)):
    return (
      f"{path}: not {kind}-compressed, though its name says so; rename it if "
      f"it is plain text, or copy it again ({error})"
    )
  return (
    f"{path}, row {number}: the {kind} stream is damaged or truncated "
    f"({error}); copy the file again"
  )


def lines(
  stream: BinaryIO | io.BufferedIOBase, most: int | None = None
) -> Iterator[tuple[int, bytes | None]]:
  """Yields (number from 1, line without its end) of a file.

  Lines end in LF or CR LF. The other line separators of Unicode may occur
  inside JSON and prose and do not end a line. In a file without LF, lines end
  in CR.

  Args:
    stream: opened for reading bytes.
    most: the largest number of bytes in a line; None is yielded in place of a
      longer one.
  """
  number, limit = 0, -1 if most is None else most + 1
  while line := stream.readline(limit):
    number += 1
    if most is not None and len(line) > most:
      while line and not line.endswith(b"\n"):
        line = stream.readline(limit)
      yield number, None
    elif number == 1 and not line.endswith(b"\n"):  # no LF in the whole file
      yield from enumerate(line.splitlines(), 1)
    else:
      yield number, line.rstrip(b"\r\n")


def check_name(path: str | os.PathLike, what: str) -> None:
  """Checks that a path is valid UTF-8.

  The libraries that write records and checkpoints accept no other names.

  Raises:
    UserError: naming the path, and `what` was to be written there.
  """
  name = os.fspath(path)
  name = name if "://" in name else os.path.abspath(name)
  if safe(name) != name:
    raise UserError(
      f"{safe(name)}: this path is not UTF-8, so {what} cannot be written "
      "there; rename the folder or choose another"
    )


def safe(text: str) -> str:
  """Returns `text` with U+FFFD in place of each lone surrogate."""
  return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def safe_json(value: Json) -> Json:
  """Returns a JSON value with `safe` applied to all its strings."""
  if isinstance(value, str):
    return safe(value)
  if isinstance(value, list):
    return [safe_json(each) for each in value]
  if isinstance(value, dict):
    return {safe_json(key): safe_json(each) for key, each in value.items()}
  return value
