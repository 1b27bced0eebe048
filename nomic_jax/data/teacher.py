# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Vectors that another model gave the queries and documents of a split."""

import os
import pathlib

import numpy as np

from nomic_jax.errors import UserError


def paths(folder: str | os.PathLike, split: str) -> dict[str, pathlib.Path]:
  """The two files, as `nomic-jax teach` writes them: row i is of row i."""
  folder = pathlib.Path(folder)
  return {
      side: folder / f"{split}-{side}.npy" for side in ("query", "document")}


def load(
    folder: str | os.PathLike, split: str, rows: int
) -> dict[str, np.ndarray]:
  """Opens teacher_query and teacher_document, [rows, T] each, mapped.

  Raises:
    UserError: if a file is missing, unfinished or of other data.
  """
  vectors = {}
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
  return vectors
