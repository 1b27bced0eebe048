# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Where the rows of a data directory are from, and what their prompts are."""

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
  """What sources.json holds.

  Attributes:
    runs: by split, [source, rows] for each run of rows of one source, in the
      order of the rows: enough to know each row's source without reading it.
    prompts: by source, {"query", "document"}: what stands before its texts; a
      source that is absent has the prompts of the training's config.
  """

  runs: dict[str, list[list]]
  prompts: dict[str, dict[str, str]]

  def noting(self, split: str) -> Callable[..., None]:
    """Returns what is called, in order, with the source of a row, or of n."""
    runs = self.runs[split] = []

    def note(source: str, rows: int = 1) -> None:
      if not runs or runs[-1][0] != source:
        runs.append([source, 0])
      runs[-1][1] += rows

    return note

  def to_json(self) -> str:
    return json.dumps(self._asdict(), ensure_ascii=False)


def read(path: str | os.PathLike) -> Sources:
  """Reads a data directory's sources.json; empty if it is of an older kind.

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
      f"{file}: damaged ({e}); copy the data directory again or make it anew"
    ) from e


class Layout(NamedTuple):
  """Which rows are of which source, in memory that grows with the runs only.

  Rows are numbered by source: the first source's rows are 0, 1, ... whatever
  stands between them in the file.

  Attributes:
    names: S sources, in order of their name.
    sizes: int64 [S], rows of each.
    starts: int64 [R], the number by source at which each run starts.
    rows: int64 [R], the row of the file at which that run starts.
  """

  names: list[str]
  sizes: np.ndarray
  starts: np.ndarray
  rows: np.ndarray

  def row_of(self, numbers: np.ndarray) -> np.ndarray:
    """Rows of the file, int64 [n], of numbers by source [n]."""
    run = np.searchsorted(self.starts, numbers, side="right") - 1
    return self.rows[run] + numbers - self.starts[run]


def layout(runs: Sequence[Sequence]) -> Layout:
  """Makes a `Layout` of runs [source, rows] in the order of the file."""
  names, source = np.unique([name for name, _ in runs], return_inverse=True)
  lengths = np.array([length for _, length in runs], np.int64)
  rows = np.cumsum(lengths) - lengths
  order = np.argsort(source, kind="stable")
  ends = np.cumsum(lengths[order])
  sizes = np.bincount(source, lengths).astype(np.int64)
  return Layout(names.tolist(), sizes, ends - lengths[order], rows[order])
