# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Reads the documents of a corpus in any supported format."""

from collections.abc import Iterator
from collections.abc import Sequence
import pathlib

from nomic_jax.data import dataset
from nomic_jax.data.readers import beir
from nomic_jax.errors import UserError
from nomic_jax.storage import formats


def read(
  path: pathlib.Path, splits: Sequence[str] | None = None
) -> Iterator[tuple[str, str]]:
  """Yields (text, location) of each document.

  Args:
    path: a data directory, a BEIR folder, .jsonl with "document" or "text" and
      optionally "location", or .txt with one text per line.
    splits: the splits of a data directory to read; default: all, train first.

  Raises:
    UserError: naming the file and row.
  """
  if beir.known(str(path)):
    for number, text in enumerate(beir.corpus(str(path)), 1):
      yield text, f"{path}:{number}"
  elif path.is_dir():
    for split in splits or sorted(
      dataset.splits(path), key=lambda name: name != "train"
    ):
      source = dataset.open_split(path, split)
      for row in map(source.__getitem__, range(len(source))):
        yield row["document"], row["location"]
  elif path.name.endswith((*formats.TEXT, *formats.JSONL)):
    for number, row in formats.each(path):
      text = row.get("document", row.get("text"))
      if not isinstance(text, str):
        raise UserError(
          f'{path}, row {number}: no text; expected a string "document" '
          f'or "text", found the keys {", ".join(map(repr, row))}'
        )
      if path.name.endswith(formats.TEXT):
        text = text.strip()
      yield text, str(row.get("location") or f"{path}:{number}")
  else:
    raise UserError(
      f"--corpus={path}: unknown file format; expected a data directory, "
      "a BEIR folder, .jsonl, .jsonl.gz or .txt"
    )
