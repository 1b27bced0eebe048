# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A teacher's vectors for the queries and documents of a split."""

import os
import pathlib

import numpy as np

from nomic_jax.errors import UserError
from nomic_jax.storage import files
from nomic_jax.storage import fingerprints
from nomic_jax.storage import places
from nomic_jax.storage import staging


def paths(folder: str | os.PathLike, split: str) -> dict[str, pathlib.Path]:
  """Returns the two files that `teach` writes; vector i belongs to row i."""
  folder = pathlib.Path(folder)
  return {
    side: folder / f"{split}-{side}.npy" for side in ("query", "document")
  }


@places.expanding("folder")
def load(
  folder: str | os.PathLike, split: str, rows: int, data: str | os.PathLike
) -> dict[str, np.ndarray]:
  """Opens teacher_query and teacher_document, [rows, T] each, memory-mapped.

  Args:
    folder: made by `nomic-jax teach`.
    split: the split of the data directory.
    rows: number of rows of the split.
    data: the data directory whose texts the vectors must be of.

  Raises:
    UserError: if a file is missing, unfinished or made from other data.
  """
  vectors = {}
  folder = staging.local(folder, lambda name: name.startswith(f"{split}-"))
  for side, path in paths(folder, split).items():
    if not path.is_file():
      raise UserError(
        f"config.data.teacher: no file {path}; make it with nomic-jax teach "
        f"--split={split}"
      )
    array = np.load(path, mmap_mode="r")
    if array.ndim != 2 or len(array) != rows:
      raise UserError(
        f"{path}: an array of shape {list(array.shape)}; expected a vector for "
        f"each of the {rows} rows of split '{split}'; run nomic-jax teach on "
        "this data"
      )
    vectors[f"teacher_{side}"] = array
  _check_data(folder, split, data)
  return vectors


@places.expanding("folder")
def width(folder: str | os.PathLike, split: str) -> int | None:
  """Returns the width of the vectors; None if there is no such file."""
  folder = staging.local(folder, lambda name: name.startswith(f"{split}-"))
  path = paths(folder, split)["query"]
  return np.load(path, mmap_mode="r").shape[-1] if path.is_file() else None


def _check_data(
  folder: str | os.PathLike, split: str, data: str | os.PathLike
) -> None:
  """Raises UserError if `teach` recorded other data than `data`."""
  records = [
    path.with_suffix(".json") for path in paths(folder, split).values()
  ]
  made = {path: files.read_json(path) for path in records if path.is_file()}
  if not made:
    return
  known = fingerprints.of_content(data)
  for path, arguments in made.items():
    same = arguments.get("split") == split and (
      arguments.get("input") == known
      # Earlier versions included the token ids.
      or arguments.get("input") == fingerprints.of_content(data, tokens=True)
    )
    if not same:
      raise UserError(
        f"{path}: its vectors do not belong to {data}, split '{split}'; make "
        "them again with nomic-jax teach"
      )
