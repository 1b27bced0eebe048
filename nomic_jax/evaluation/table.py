# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A file of rows as a task, of the kind that its columns tell."""

import pathlib

from nomic_jax.data import readers
from nomic_jax.data.readers import recognise
from nomic_jax.errors import UserError
from nomic_jax.evaluation import pairs
from nomic_jax.evaluation import retrieval
from nomic_jax.evaluation.task import Task
from nomic_jax.storage import formats

SUFFIXES = (*formats.TABLES, *formats.JSONL, *formats.PARQUET)


def known(path: pathlib.Path) -> bool:
  return path.is_file() and path.name.endswith(SUFFIXES)


def read(path: pathlib.Path, name: str) -> Task:
  """Makes a task of a file: STS of scored pairs, or search of other pairs.

  All of its queries are asked of all of its documents. `prepare` reads the
  same files, and `recognise` says which column is what.

  Raises:
    UserError: naming file and row; for rows that are no pairs.
  """
  columns = readers.Columns()
  parts, kind = recognise.recognise(
    readers.find(str(path), columns), columns, None, classify=False
  )
  if kind.name in ("labels", "text"):
    raise UserError(
      f"--tasks={path}: its rows are {kind.name}; expected pairs or scores, or "
      "a folder with train and test files of text and label"
    )
  rows = list(readers.Rows(parts, None, 0))
  first = [row["query"] for row in rows]
  second = [row["document"] for row in rows]
  if kind.name == "scores":
    gold = [row["score"] for row in rows]
    pairs.check_differ(str(path), gold)
    return pairs.StsTask(name, first, second, gold, str(path))
  return retrieval.RetrievalTask(
    name=name,
    queries=first,
    documents=second,
    locations=[row["location"] for row in rows],
    relevant=retrieval.relevance(first, second),
    path=str(path),
  )
