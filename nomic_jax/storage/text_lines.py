# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The lines of a text file, compressed or not."""

from collections.abc import Iterator
import gzip
import zlib

from nomic_jax.errors import UserError
from nomic_jax.storage import decoding
from nomic_jax.storage import streams
from nomic_jax.storage import unicode_text
from nomic_jax.storage.bad import BadRow
from nomic_jax.storage.bad import BadRows
from nomic_jax.storage.bad import REST

# A longer line is a file without line ends rather than a row of text; reading
# it whole could exhaust memory.
_MOST_BYTES = 32 << 20


def read(
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
              "expected one row per line",
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
    bad.add(missing(path))
  except (EOFError, gzip.BadGzipFile, zlib.error) as e:
    kind = "zstd" if path.endswith(".zst") else "gzip"
    bad.add(
      BadRow(
        f"{kind} damaged{REST}", decoding.damaged(path, number + 1, kind, e)
      )
    )
  except OSError as e:
    raise UserError(
      f"{path}, row {number + 1}: cannot be read: {e.strerror or e}"
    ) from e


def written(path: str, bad: BadRows) -> Iterator[tuple[int, str]]:
  """Yields the lines that are not blank; otherwise like `read`."""
  return (
    (n, line) for n, line in read(path, bad) if not unicode_text.blank(line)
  )


def missing(path: str) -> BadRow:
  """Returns the bad row of a listed file that does not exist."""
  return BadRow(
    "file missing",
    f"{path}: no such file, although it was listed; copy it again",
  )
