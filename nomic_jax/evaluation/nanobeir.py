# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""NanoBEIR: thirteen small parts of BEIR, for evaluation during training.

The folder --data (during training, the evaluator's `data`) must contain copies
of the Hub repositories zeta-alpha-ai/NanoNAME: corpus, queries and qrels, each
a folder of .parquet files.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import functools
import pathlib

from nomic_jax.errors import UserError
from nomic_jax.evaluation import judged
from nomic_jax.evaluation.retrieval import RetrievalTask
from nomic_jax.storage import formats
from nomic_jax.storage.values import JsonObject

SUITE = "nanobeir"
NAMES = (
  "ClimateFEVER",
  "DBPedia",
  "FEVER",
  "FiQA2018",
  "HotpotQA",
  "MSMARCO",
  "NFCorpus",
  "NQ",
  "QuoraRetrieval",
  "SCIDOCS",
  "ArguAna",
  "SciFact",
  "Touche2020",
)


def find(
  names: Sequence[str], data: pathlib.Path | None
) -> list[RetrievalTask]:
  """Makes the tasks of some of NAMES.

  Raises:
    UserError: naming all missing data, and where it was searched for.
  """
  missing = [
    f"Nano{n}" for n in names if not data or not (data / f"Nano{n}").is_dir()
  ]
  if missing:
    where = data or "no folder (--data is not specified)"
    raise UserError(
      f"{SUITE}: {', '.join(missing)} not found in {where}; copy the Hub "
      "repositories zeta-alpha-ai/NAME with these names to a folder and "
      "specify --data=FOLDER"
    )
  assert data, "otherwise all are missing"
  return [read(data / f"Nano{name}", f"{SUITE}/{name}") for name in names]


def read(folder: pathlib.Path, name: str) -> RetrievalTask:
  """Makes the task of one repository.

  Raises:
    UserError: for a missing or empty part, or an id with two texts.
  """
  documents, queries = (
    judged.unique(
      (
        (n, row["_id"], (row["text"],) * 2)
        for n, row in _rows(folder / part, "_id", "text")
      ),
      f"{folder}/{part}",
      "_id",
    )
    for part in ("corpus", "queries")
  )
  pairs = judged.unique(
    (
      (n, (row["query-id"], row["corpus-id"]), 1)
      for n, row in _rows(folder / "qrels", "query-id", "corpus-id")
    ),
    f"{folder}/qrels",
    "pair",
  )
  return judged.task(
    name,
    documents,
    queries,
    pairs,
    f"{folder}/qrels",
    path=str(folder),
    group=SUITE,
  )


def _rows(
  folder: pathlib.Path, *columns: str
) -> Iterator[tuple[int, JsonObject]]:
  """Yields (row number over all files, row)."""
  count = 0
  for path in sorted(folder.glob("[!.]*.parquet")):
    for number, row in formats.each(path):
      wrong = [c for c in columns if not isinstance(row.get(c), str)]
      if wrong:
        raise UserError(
          f"{path}, row {number}: '{wrong[0]}' is not a text; expected the "
          f"columns {', '.join(columns)}; copy the repository again"
        )
      count += 1
      yield count, row
  if not count:
    raise UserError(
      f"{folder}: no rows in .parquet files; copy the repository again"
    )


def named() -> Mapping[str, Callable[[pathlib.Path | None], Sequence]]:
  """Returns the suite and its parts by name, for `tasks.NAMED`."""
  return {SUITE: functools.partial(find, NAMES)} | {
    f"{SUITE}/{name}": functools.partial(find, [name]) for name in NAMES
  }
