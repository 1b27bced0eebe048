# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Plain text for masked language modelling: one document a line."""

from typing import Iterator

from nomic_jax.data.readers import jsonl
from nomic_jax.data.readers.bad import BadRow
from nomic_jax.data.readers.bad import BadRows

SUFFIXES = (".txt", ".txt.gz", ".txt.zst")


def records(path: str, bad: BadRows) -> Iterator[tuple[int, dict]]:
  """Yields (line number from 1, {"document": line}) of lines that are
  not blank."""
  number, skipped = 0, bad.skipped
  for number, line in jsonl.lines(path, bad):
    yield number, {"document": line.strip()}
  if not number and bad.skipped == skipped:
    bad.add(BadRow("file without rows", f"{path}: no rows in it"))
