# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Plain text for masked language modelling: one document a line."""

from typing import Iterator

from nomic_jax.data.readers import jsonl
from nomic_jax.data.readers.bad import BadRow
from nomic_jax.data.readers.bad import BadRows

SUFFIXES = (".txt", ".txt.gz", ".txt.zst")


def records(path: str, bad: BadRows) -> Iterator[tuple[int, dict]]:
  """Yields (line number from 1, {"document": line}) of lines with text."""
  number, skipped = 0, bad.counts.total()
  for number, line in jsonl.lines(path, bad):
    try:
      yield number, {"document": line.decode("utf-8").strip()}
    except UnicodeDecodeError as e:
      bad.add(BadRow(
          "not UTF-8",
          f"{path}, row {number}: not UTF-8 at byte {e.start}; convert the "
          "file to UTF-8"))
  if not number and bad.counts.total() == skipped:
    bad.add(BadRow("file without rows", f"{path}: no rows in it"))
