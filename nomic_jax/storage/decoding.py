# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""From the bytes of a file to text, and from text to bytes again.

Two rules. What is read is UTF-8, with or without a byte-order mark; anything
else is reported in one line that names file, row and encoding, by `decode`.
What has been read can be written: half of a surrogate pair, which JSON can
spell and UTF-8 cannot, becomes U+FFFD where a text enters, in `safe`.
"""

import codecs
from collections.abc import Iterator
import os
import re
from typing import Any
from typing import BinaryIO

from nomic_jax.errors import UserError

_SURROGATE = re.compile("[\ud800-\udfff]")
# UTF-32 first: its little-endian mark starts with that of UTF-16.
_MARKS = (
  (codecs.BOM_UTF32_LE, "UTF-32"),
  (codecs.BOM_UTF32_BE, "UTF-32"),
  (codecs.BOM_UTF16_LE, "UTF-16"),
  (codecs.BOM_UTF16_BE, "UTF-16"),
)

# How files of other kinds begin; none of these is text.
_OTHERS = {
  b"\x1f\x8b": "gzip-compressed, whose name has to end in .gz",
  b"\x28\xb5\x2f\xfd": "zstd-compressed, whose name has to end in .zst",
  b"PAR1\x15": "a parquet file, whose name has to end in .parquet",
  b"PK\x03\x04": "a zip archive or an Excel workbook; unpack it, or save it "
  "as text",
}


def decode(data: bytes, where: str) -> str:
  """Decodes UTF-8, without a byte-order mark in front.

  Args:
    data: a line, or a whole file.
    where: file and row, for the error.

  Raises:
    UserError: naming the encoding it appears to have instead.
  """
  for mark, name in _MARKS:
    if data.startswith(mark):
      raise _not_utf8(where, f"{name}, not UTF-8", name)
  for start, name in _OTHERS.items():
    if data.startswith(start):
      raise UserError(f"{where}: not UTF-8 but {name}")
  # Every second byte of English in UTF-16 is NUL, which UTF-8 allows.
  if len(data) > 2 and 3 * data.count(0) > len(data):
    raise _not_utf8(
      where, "mostly NUL bytes, as UTF-16 has; expected UTF-8", "UTF-16"
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


def _not_utf8(where: str, found: str, encoding: str) -> UserError:
  return UserError(
    f"{where}: {found}; convert the file to UTF-8, as with iconv -f "
    f"{encoding} -t UTF-8"
  )


def damaged(
  path: str | os.PathLike, number: int, kind: str, error: Exception
) -> str:
  """Says why a file cannot be decompressed.

  Args:
    path: the file.
    number: of the row that could not be read.
    kind: of its compression, "gzip" or "zstd".
    error: as raised.
  """
  if number == 1 and re.search("Not a gzipped file|Unknown frame", str(error)):
    return (
      f"{path}: not {kind}-compressed, though its name says so; rename "
      f"it if it is plain text, or copy it again ({error})"
    )
  return (
    f"{path}, row {number}: the {kind} stream is damaged or cut short "
    f"({error}); copy the file again"
  )


def lines(
  stream: BinaryIO, most: int | None = None
) -> Iterator[tuple[int, bytes | None]]:
  """Yields (number from 1, line without its end) of a file.

  Lines end in LF or CR LF and in nothing else that Unicode calls a line
  separator, which JSON and prose may contain; in a file without any LF they
  end in CR.

  Args:
    stream: opened for reading bytes.
    most: a longer line is skipped, and None yielded in its place.
  """
  number, limit = 0, -1 if most is None else most + 1
  while line := stream.readline(limit):
    number += 1
    if most is not None and len(line) > most:
      while line and not line.endswith(b"\n"):
        line = stream.readline(limit)
      yield number, None
    elif number == 1 and not line.endswith(b"\n"):  # no LF in all the file
      yield from enumerate(line.splitlines(), 1)
    else:
      yield number, line.rstrip(b"\r\n")


def check_name(path: str | os.PathLike, what: str) -> None:
  """Raises UserError if `what` cannot be at `path`, which is not UTF-8.

  The libraries that write records and checkpoints take no such name.
  """
  name = os.fspath(path)
  name = name if "://" in name else os.path.abspath(name)
  if safe(name) != name:
    raise UserError(
      f"{safe(name)}: this path is not UTF-8, so {what} cannot be there; "
      "rename the folder, or choose another"
    )


def safe(text: str) -> str:
  """Returns `text` with U+FFFD in place of each lone surrogate."""
  return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def safe_json(value: Any) -> Any:
  """Returns what JSON or YAML gave with `safe` applied to all its texts."""
  if isinstance(value, str):
    return safe(value)
  if isinstance(value, list):
    return [safe_json(each) for each in value]
  if isinstance(value, dict):
    return {safe_json(key): safe_json(each) for key, each in value.items()}
  return value
