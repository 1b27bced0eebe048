# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The .tsv files of GLUE (Wang et al. 2019), as published by their authors.

A task is recognised by the column names in the first line of its file. CoLA's
file has no names and is recognised by the number of its columns.
"""

from collections.abc import Iterator
from typing import NamedTuple

from nomic_jax.data.readers.reader import Asked
from nomic_jax.data.readers.reader import Part
from nomic_jax.errors import UserError
from nomic_jax.storage import tables
from nomic_jax.storage import text_lines
from nomic_jax.storage.bad import BadRow
from nomic_jax.storage.bad import BadRows

SUFFIXES = (".tsv", ".txt")

# In the Hub's order; MNLI's "-" (no agreement among annotators) has no class.
CLASSES = {
  "entailment": 0,
  "not_entailment": 1,
  "neutral": 1,
  "contradiction": 2,
}


class _Task(NamedTuple):
  """The columns of a task's file; `first` is "" for single texts."""

  label: str
  first: str
  second: str


# The first task whose columns exist is chosen; pairs before single texts.
_TASKS = (
  _Task("Quality", "#1 String", "#2 String"),  # MRPC
  _Task("is_duplicate", "question1", "question2"),  # QQP
  _Task("score", "sentence1", "sentence2"),  # STS-B
  _Task("gold_label", "sentence1", "sentence2"),  # MNLI
  _Task("label", "question", "sentence"),  # QNLI
  _Task("label", "sentence1", "sentence2"),  # RTE
  _Task("label", "", "sentence"),  # SST-2
  _Task("label", "", "content"),
)
_COLA = ("source", "label", "mark", "sentence")


def known(path: str) -> bool:
  """Returns False: only the prefix glue: selects this format."""
  del path
  return False


def parts(paths: tuple[str, ...], asked: Asked) -> list[Part]:
  """Returns all files as one part."""
  return [Part("glue", paths, "", asked.columns)]


def records(path: str, bad: BadRows) -> Iterator[tuple[int, dict]]:
  """Yields (line number, {"query" of a pair, "document", "label"}).

  Raises:
    UserError: if the columns match no task. Test files, which have no labels,
      are not supported.
  """
  columns: tuple[str, ...] = ()
  task = _Task("", "", "")  # until the first line has been read
  for number, line in text_lines.written(path, bad):
    cells = line.split("\t")
    if not columns:
      columns, task = _columns(path, cells)
      if columns != _COLA:
        continue  # the line has the names of columns
    if len(cells) != len(columns):
      bad.add(
        BadRow(
          "number of columns",
          f"{path}, row {number}: {len(cells)} columns separated by tabs; "
          f"expected {len(columns)}",
        )
      )
      continue
    value = dict(zip(columns, cells))
    label = value[task.label]
    if task.label == "gold_label" and label == "-":
      continue
    try:
      found = float(CLASSES.get(label, label))
    except ValueError:
      bad.add(
        BadRow(
          "label unknown",
          f"{path}, row {number}: unknown label '{label:.20}'; expected a "
          f"number or one of {', '.join(CLASSES)}",
        )
      )
      continue
    pair = {"query": value[task.first]} if task.first else {}
    yield number, pair | {"document": value[task.second], "label": found}


def _columns(path: str, cells: list[str]) -> tuple[tuple[str, ...], _Task]:
  """Returns the columns' names and the task, from a file's first line."""
  for task in _TASKS:
    if {*task} - {""} <= {*cells}:
      tables.check_columns(path, cells)
      return tuple(cells), task
  if len(cells) == len(_COLA) and cells[1] in ("0", "1"):
    return _COLA, _Task("label", "", "sentence")
  raise UserError(
    f"{path}: its first line does not match any GLUE task; expected a train or "
    "dev file of CoLA, SST-2, MRPC, QQP, STS-B, MNLI, QNLI or RTE"
  )
