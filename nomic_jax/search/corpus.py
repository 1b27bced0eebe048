# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The documents of a corpus: a data directory, .jsonl, .jsonl.gz or .txt."""

import pathlib
from typing import Iterator

from nomic_jax.data import dataset
from nomic_jax.errors import UserError
from nomic_jax.storage import text_files
from nomic_jax.storage.files import read_jsonl


def read(path: pathlib.Path) -> Iterator[tuple[str, str]]:
  """Yields (text, location) of a data directory, .jsonl or .txt file."""
  if path.is_dir():
    yield from _read_splits(path)
  elif path.name.endswith((".jsonl", ".jsonl.gz")):
    for number, row in read_jsonl(path):
      text = row.get("document", row.get("text"))
      if not isinstance(text, str):
        raise UserError(
            f"{path}, row {number}: no text; expected a string \"document\" "
            f"or \"text\", found the keys {', '.join(map(repr, row))}"
        )
      yield text, str(row.get("location") or f"{path}:{number}")
  elif path.suffix == ".txt":
    for number, line in enumerate(text_files.read(path, "text"), 1):
      yield line.strip(), f"{path}:{number}"
  else:
    raise UserError(
        f"--corpus={path}: unknown kind of file; expected a data directory, "
        ".jsonl, .jsonl.gz or .txt"
    )


def _read_splits(path: pathlib.Path) -> Iterator[tuple[str, str]]:
  for split in sorted(dataset.splits(path), key=lambda name: name != "train"):
    source = dataset.open_split(path, split)
    for i in range(len(source)):
      row = source[i]
      yield row["document"], row["location"]
