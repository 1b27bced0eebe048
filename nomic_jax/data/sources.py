# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The sources of a data directory's rows, and the prompts of each source."""

from collections.abc import Callable
from collections.abc import Sequence
import json
import os
import pathlib
from typing import NamedTuple

import numpy as np

from nomic_jax.errors import UserError

FILE = "sources.json"


class Sources(NamedTuple):
  """The contents of sources.json.

  Attributes:
    runs: by split, [source, rows] for each run of rows of one source, in row
      order; gives the source of every row without reading it.
    prompts: by source, {"query", "document"}: the prompts of its texts. Sources
      not listed have the prompts of the training run's config.
  """

  runs: dict[str, list[list]]
  prompts: dict[str, dict[str, str]]

  def noting(self, split: str) -> Callable[..., None]:
    """Returns a function that records the source of the next row, or n rows."""
    runs = self.runs[split] = []

    def note(source: str, rows: int = 1) -> None:
      if not runs or runs[-1][0] != source:
        runs.append([source, 0])
      runs[-1][1] += rows

    return note

  def to_json(self) -> str:
    """Returns the contents of the file."""
    return json.dumps(self._asdict(), ensure_ascii=False)


def read(path: str | os.PathLike) -> Sources:
  """Reads a data directory's sources.json; empty if it has none (older format).

  Raises:
    UserError: if it is damaged.
  """
  file = pathlib.Path(path) / FILE
  if not file.is_file():
    return Sources({}, {})
  try:
    return Sources(**json.loads(file.read_text(encoding="utf-8")))
  except (ValueError, TypeError) as e:
    raise UserError(
      f"{file}: damaged ({e}); copy or make the data directory again"
    ) from e


class Layout(NamedTuple):
  """Which rows are of which source; memory grows only with the number of runs.

  "Numbers by source" count rows source by source: the rows of the first source
  are 0, 1, ..., wherever they are in the file.

  Attributes:
    names: S sources, sorted by name.
    sizes: int64 [S], rows of each.
    starts: int64 [R], the number by source at which each run starts.
    rows: int64 [R], the row of the file at which that run starts.
  """

  names: list[str]
  sizes: np.ndarray
  starts: np.ndarray
  rows: np.ndarray

  def row_of(self, numbers: np.ndarray) -> np.ndarray:
    """Returns rows of the file, int64 [n], from numbers by source [n]."""
    run = np.searchsorted(self.starts, numbers, side="right") - 1
    return self.rows[run] + numbers - self.starts[run]


def layout(runs: Sequence[Sequence]) -> Layout:
  """Returns the `Layout` of runs [source, rows] in the order of the file."""
  names, source = np.unique([name for name, _ in runs], return_inverse=True)
  lengths = np.array([length for _, length in runs], np.int64)
  rows = np.cumsum(lengths) - lengths
  order = np.argsort(source, kind="stable")
  ends = np.cumsum(lengths[order])
  sizes = np.bincount(source, lengths).astype(np.int64)
  return Layout(names.tolist(), sizes, ends - lengths[order], rows[order])
