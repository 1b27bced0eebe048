# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Vectors that another model gave the queries and documents of a split."""

import os
import pathlib

import numpy as np

from nomic_jax.errors import UserError
from nomic_jax.storage import files
from nomic_jax.storage import fingerprints
from nomic_jax.storage import places
from nomic_jax.storage import staging


def paths(folder: str | os.PathLike, split: str) -> dict[str, pathlib.Path]:
  """The two files, as `nomic-jax teach` writes them: row i is of row i."""
  folder = pathlib.Path(folder)
  return {
    side: folder / f"{split}-{side}.npy" for side in ("query", "document")
  }


@places.expanding("folder")
def load(
  folder: str | os.PathLike, split: str, rows: int, data: str | os.PathLike
) -> dict[str, np.ndarray]:
  """Opens teacher_query and teacher_document, [rows, T] each, mapped.

  Args:
    folder: that `nomic-jax teach` made.
    split: of the data directory.
    rows: of the split.
    data: the data directory, whose texts the vectors must be of.

  Raises:
    UserError: if a file is missing, unfinished or of other data.
  """
  vectors = {}
  folder = staging.local(folder, lambda name: name.startswith(f"{split}-"))
  for side, path in paths(folder, split).items():
    if not path.is_file():
      raise UserError(
        f"config.data.teacher: no file {path}; nomic-jax teach makes it, "
        f"with --split={split}"
      )
    found = np.load(path, mmap_mode="r")
    if found.ndim != 2 or len(found) != rows:
      raise UserError(
        f"{path}: holds {list(found.shape)} numbers, expected a vector for "
        f"each of the {rows} rows of split '{split}'; make it again for "
        "this data"
      )
    vectors[f"teacher_{side}"] = found
  _check_data(folder, split, data)
  return vectors


def _check_data(
  folder: str | os.PathLike, split: str, data: str | os.PathLike
) -> None:
  """Compares what `teach` says its vectors are of; others say nothing."""
  told = [path.with_suffix(".json") for path in paths(folder, split).values()]
  made = {path: files.read_json(path) for path in told if path.is_file()}
  if not made:
    return
  known = fingerprints.of_content(data)
  for path, arguments in made.items():
    same = arguments.get("split") == split and (
      arguments.get("input") == known
      # Earlier versions counted the token ids in.
      or arguments.get("input") == fingerprints.of_content(data, tokens=True)
    )
    if not same:
      raise UserError(
        f"{path}: its vectors are of other data than {data}, split "
        f"'{split}'; make them again with nomic-jax teach"
      )
