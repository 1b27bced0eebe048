# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A file of rows as a task; its columns determine the kind."""

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
  """Returns whether a path is a file of rows."""
  return path.is_file() and path.name.endswith(SUFFIXES)


def read(path: pathlib.Path, name: str) -> Task:
  """Makes a task of a file: STS for scored pairs, retrieval for other pairs.

  Retrieval searches all documents of the file for each of its queries.
  `prepare` reads the same files; see `recognise` for the roles of columns.

  Raises:
    UserError: naming file and row; for rows other than pairs.
  """
  columns = readers.Columns()
  parts, kind = recognise.recognise(
    readers.find(str(path), columns), columns, None
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
