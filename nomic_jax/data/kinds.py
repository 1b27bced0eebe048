# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Kinds of rows of a data directory, and the losses that each can train.

`prepare` recognises the kind by the columns of its source, or by --kind, and
records it in stats.json; `of` reads it.
"""

from collections.abc import Sequence
import os
from typing import NamedTuple

from nomic_jax.data import dataset
from nomic_jax.storage.keys import read_json
from nomic_jax.storage.values import JsonObject

# What each kind trains.
KINDS = {
  "pairs": "a query and the document that answers it: InfoNCE",
  "triplets": "pairs with hard negatives: InfoNCE, or the triplet loss",
  "scores": "two texts and how alike they are: CoSENT, AnglE",
  "labels": "texts, or pairs, with classes or numbers: classification",
  "text": "text alone: masked language modelling",
}
_LOOKED_AT = 100  # rows inspected if a directory does not record its kind


class Kind(NamedTuple):
  """The kind of a data directory.

  Attributes:
    name: one of KINDS.
    why: how it was recognised, in words.
    classes: for labels, the name of each class, class 0 first; () if they are
      numbers to predict, or unknown.
    task: for labels: single (one class per text), multi (any number) or
      regression (numbers); "" for other kinds.
    labels: the maximum number of labels of a text.
  """

  name: str
  why: str = ""
  classes: Sequence[str] = ()
  task: str = ""
  labels: int = 0

  def to_json(self) -> dict:
    """Returns the entry of stats.json."""
    return self._asdict() | {"classes": list(self.classes)}


def of(path: str | os.PathLike) -> Kind:
  """Returns the kind of the rows of a data directory.

  Older directories do not record it; there, the first rows determine the kind.
  Their scores are ignored, since a filter or a teacher may have added them.

  Raises:
    UserError: if `path` is not a data directory.
  """
  stats = dataset.index(path) / "stats.json"
  found = read_json(stats).get("kind") if stats.is_file() else None
  if isinstance(found, dict) and found.get("name") in KINDS:
    known: JsonObject = {k: v for k, v in found.items() if k in Kind._fields}
    known["classes"] = tuple(found.get("classes", ()))
    return Kind(**known)
  splits = dataset.splits(path)
  source = dataset.open_split(
    path, "train" if "train" in splits else splits[0], ids=True
  )
  rows = source.__getitems__(range(min(len(source), _LOOKED_AT)))
  why = "of the first rows"
  labels = [row["labels"] for row in rows if row["labels"]]
  if labels:
    return of_labels([x for each in labels for x in each], labels, why)
  if any(row["negatives"] for row in rows):
    return Kind("triplets", why)
  return Kind("pairs" if any(row["query"] for row in rows) else "text", why)


def of_labels(
  values: Sequence[float],
  rows: Sequence[Sequence[float]],
  why: str,
  classes: Sequence[str] = (),
) -> Kind:
  """Returns the kind of rows with labels.

  Args:
    values: all labels, in any order, possibly repeated.
    rows: the labels of each row.
    why: how they were recognised.
    classes: the names of the classes; if empty, whole numbers from 0 are
      classes with these names, and other numbers are targets of a regression.
  """
  most = max(map(len, rows), default=1)
  if not classes:
    if any(x != int(x) or x < 0 for x in values):
      return Kind("labels", why, (), "regression", most)
    classes = tuple(map(str, range(int(max(values, default=0)) + 1)))
  task = "single" if most <= 1 else "multi"
  return Kind("labels", why, tuple(classes), task, most)
