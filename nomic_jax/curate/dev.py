# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Holds out a development split of the training rows.

Decisions during training (whether to use hard negatives, when to stop, which
checkpoint is best) use these rows, which are neither trained on nor in the test
split.
"""

from collections.abc import Callable
from collections.abc import Iterable
import functools
import os
import pathlib

import numpy as np

from nomic_jax.data import dataset
from nomic_jax.data import manifest
from nomic_jax.data import origins
from nomic_jax.data import sources
from nomic_jax.data import splits
from nomic_jax.data.readers.queries import document_of
from nomic_jax.storage.files import read_json


def split(
  input: str | os.PathLike,
  output: str | os.PathLike,
  rows: int,
  turn: Callable[[dataset.Row], dataset.Row] | None = None,
) -> dict[str, int]:
  """Writes `input`'s training rows to a data directory with a split `test`.

  Whole groups are held out, as in `prepare`: rows that share a text or, unless
  there are too few documents, that were made from one document. The input's own
  test rows are left out. An existing directory is kept.

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
      fates = splits.fates(
        splits.survey(_by_document(source, share)), share, keep_copies=True
      )
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


def _by_document(
  rows: Iterable[dataset.Row], share: float
) -> Iterable[dataset.Row]:
  """Returns the rows, grouped by the documents that they were made from.

  If there are so few documents that one has more rows than are held out, the
  rows are not grouped.
  """
  documents = {document_of(row["location"]) for row in rows}
  if len(documents) * share < 1:
    return rows
  return ({**row, "group": document_of(row["location"])} for row in rows)
