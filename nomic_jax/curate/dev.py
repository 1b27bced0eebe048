# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Holds out a development split of the training rows.

Decisions during training (whether to use hard negatives, when to stop, which
checkpoint is best) use these rows, which are neither trained on nor in the test
split.
"""

from collections.abc import Callable
import functools
import os
import pathlib

import numpy as np

from nomic_jax.data import dataset
from nomic_jax.data import manifest
from nomic_jax.data import origins
from nomic_jax.data import sources
from nomic_jax.data import splits
from nomic_jax.storage.files import read_json


def split(
  input: str | os.PathLike,
  output: str | os.PathLike,
  rows: int,
  turn: Callable[[dataset.Row], dataset.Row] | None = None,
) -> dict[str, int]:
  """Writes `input`'s training rows to a data directory with a split `test`.

  Whole groups are held out, as in `prepare`. The input's own test rows are left
  out. An existing directory is kept.

  Args:
    input: a data directory.
    output: the data directory to make.
    rows: about how many to hold out.
    turn: converts a row to the pair to write; None: rows stay as they are.

  Returns:
    The number of rows in each split.
  """
  output = pathlib.Path(output)
  if not output.exists():
    source = dataset.open_split(input, "train")
    share = min(rows / len(source), 0.5)
    known = read_json(dataset.index(input) / "stats.json")
    of_packages = origins.is_docstrings(
      str(known.get("arguments", {}).get("source", ""))
    )
    if of_packages:
      fates = splits.by_package(source, share)
    else:
      fates = splits.fates(splits.survey(source), share, keep_copies=True)
    kinds = {"train": splits.TRAIN, "test": splits.TEST}
    counts = {name: int(np.sum(fates == fate)) for name, fate in kinds.items()}
    made = turn or (lambda row: row)
    kept = {} if turn else {k: v for k, v in known.items() if k == "kind"}
    arguments = {"job": "dev", "input": os.fspath(input), "rows": rows}
    dataset.write(
      output,
      {
        name: [made(source[int(i)]) for i in np.flatnonzero(fates == fate)]
        for name, fate in kinds.items()
      },
      stats={"arguments": arguments, "rows": counts, **kept},
      tokenizer=dataset.tokenizer_path(input),
      prompts=sources.read(dataset.index(input)).prompts,
      manifest=functools.partial(
        manifest.of_data, arguments, counts, {"input": manifest.of_input(input)}
      ),
    )
  return {
    name: len(dataset.open_split(output, name))
    for name in dataset.splits(output)
  }
