# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""How models are trained and compared, for each kind of data.

Pairs and triplets: InfoNCE, and retrieval, where the held-out queries search
all documents. Scores: CoSENT, and correlation with the held-out scores. Labels:
InfoNCE, where the name of a class is the document that answers its texts;
models are compared by logistic regressions on the vectors of a few texts per
class, as in MTEB, then by retrieval of the class names.
"""

from collections.abc import Callable
import functools
import json
import os
import pathlib
from typing import NamedTuple

from nomic_jax.data import dataset
from nomic_jax.data import kinds
from nomic_jax.errors import UserError
from nomic_jax.evaluation import held_out
from nomic_jax.storage.files import replacing


class Objective(NamedTuple):
  """How to adapt a model to a kind of data.

  Attributes:
    kind: one of `kinds.KINDS`.
    config: the training config, see `shipped_configs`.
    best: metric on the development rows by which checkpoints are compared.
    turn: the function that converts a row to a training pair; None if rows
      already are pairs.
    searches: whether models are compared by retrieval, and with BM25 too.
  """

  kind: str
  config: str
  best: str
  turn: Callable[[dataset.Row], dataset.Row] | None
  searches: bool

  @property
  def mines(self) -> bool:
    """Whether hard negatives can be used; names of classes need none."""
    return self.kind in ("pairs", "triplets")


def of(data: str | os.PathLike) -> Objective:
  """Returns the objective for the rows of a data directory.

  Raises:
    UserError: if embedding models cannot be adapted to this kind of rows.
  """
  kind = kinds.of(data)
  if kind.name in ("pairs", "triplets"):
    return Objective(
      kind.name, "configs/adapt.py", "retrieval/nDCG@10", None, True
    )
  if kind.name == "scores":
    return Objective(
      kind.name, "configs/scores.py", "scores/spearman", None, False
    )
  if kind.name == "labels" and kind.task == "single":
    turn = functools.partial(_named, [_in_words(name) for name in kind.classes])
    return Objective(
      kind.name, "configs/adapt.py", "retrieval/nDCG@10", turn, True
    )
  if kind.name == "labels":
    found = "numbers" if kind.task == "regression" else "several per text"
    raise UserError(
      f"{data}: its labels are {found}; expected one class per text; for "
      "others, train with configs/classify.py"
    )
  raise UserError(
    f"{data}: its rows are text without queries; make pairs from its source "
    "with --queries=title,heading,crop (real queries are better)"
  )


def tasks(
  objective: Objective, data: pathlib.Path, folder: pathlib.Path
) -> list[str]:
  """Writes the tasks of the comparison; returns them as values of --tasks."""
  if not objective.searches:
    return [f"held_out={data}"]
  found = []
  if objective.kind == "labels":
    classes = folder / "classes"
    if not classes.exists():
      _write_classes(objective, data, classes)
    found.append(f"classes={classes}")
  held_out.write(data, folder / "search", turn=objective.turn)
  return [*found, f"search={folder / 'search'}"]


def _write_classes(
  objective: Objective, data: pathlib.Path, folder: pathlib.Path
) -> None:
  assert objective.turn is not None, "texts with a class"
  with replacing(folder) as temporary:
    temporary.mkdir(parents=True)
    for split in ("train", "test"):
      source = dataset.open_split(data, split)
      rows = (objective.turn(source[i]) for i in range(len(source)))
      with open(temporary / f"{split}.jsonl", "w", encoding="utf-8") as file:
        for row in rows:
          value = {"text": row["query"], "label": row["document"]}
          file.write(json.dumps(value) + "\n")


def _named(names: list[str], row: dataset.Row) -> dataset.Row:
  """Returns the pair of a text and the name of its class."""
  text = " ".join(filter(None, (row["query"], row["document"])))
  if not row["labels"]:
    raise UserError(
      f"{row['location']}: no label; adapt compares models on texts that all "
      "have a class, so leave such rows out"
    )
  label = int(row["labels"][0])
  return {**row, "query": text, "document": names[label], "labels": []}


def _in_words(name: str) -> str:
  """Returns a class's name in words: card_arrival becomes card arrival."""
  return " ".join(name.replace("_", " ").split()) or name
