# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Documents to mine from besides those of the pairs: a whole BEIR corpus, say.

They are copied once into one file with an index, so that any of them can be
read again, from whatever they came.
"""

import pathlib
from typing import Sequence

import numpy as np

from nomic_jax.errors import UserError
from nomic_jax.search import corpus
from nomic_jax.storage import decoding
from nomic_jax.storage import files

_EXPECTED = "expected a BEIR folder, a data directory, .jsonl or .txt"


class Others:
  """A sequence of texts in a file."""

  def __init__(self, folder: pathlib.Path):
    self._file = open(folder / "texts", "rb")  # as long as the job takes
    self._ends = np.load(folder / "ends.npy", mmap_mode="r")

  def __len__(self) -> int:
    return len(self._ends)

  def __getitem__(self, i: int) -> str:
    start = int(self._ends[i - 1]) if i else 0
    self._file.seek(start)
    return self._file.read(int(self._ends[i]) - start).decode()


def copy(paths: Sequence[str], folder: pathlib.Path) -> None:
  """Writes the texts of `paths` to `folder`, unless they are there.

  Raises:
    UserError: if one of them is not there or of another kind.
  """
  if folder.is_dir():
    return
  with files.replacing(folder) as temporary:
    temporary.mkdir()
    ends, end = [], 0
    with open(temporary / "texts", "wb") as out:
      for path in paths:
        # What is held out is no negative to train with.
        for text, _ in corpus.read(pathlib.Path(path), ["train"]):
          end += out.write(decoding.safe(text).encode())
          ends.append(end)
    np.save(temporary / "ends.npy", np.array(ends, np.int64))


def check(paths: Sequence[str]) -> None:
  """Raises UserError for a path with nothing there."""
  for path in paths:
    if not pathlib.Path(path).exists():
      raise UserError(f"--corpus={path}: no such file or folder; {_EXPECTED}")
