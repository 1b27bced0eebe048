# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""What each kind of data trains, and by what a model is compared.

Pairs and triplets: InfoNCE, and search for the held-out queries among all
documents. Scores: CoSENT, and the correlation with the held-out scores. Labels:
a class is what its name says, a document that answers the texts of the class;
compared is how well classes are told apart by the vectors (logistic
regression on a few texts of each, as MTEB does), then search for their names.
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
  """How a kind of data is adapted to.

  Attributes:
    kind: one of `kinds.KINDS`.
    config: of the training, see `shipped_configs`.
    best: figure of the development rows by which checkpoints are compared.
    turn: makes the pair that is trained on of a row; None: it is one.
    searches: whether the held-out queries are searched, with BM25 beside.
  """

  kind: str
  config: str
  best: str
  turn: Callable[[dataset.Row], dataset.Row] | None
  searches: bool


def of(data: str | os.PathLike) -> Objective:
  """Returns the objective for the rows of a data directory.

  Raises:
    UserError: for rows that no embedding model is adapted to.
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
    turn = functools.partial(_named, [_spoken(name) for name in kind.classes])
    return Objective(
      kind.name, "configs/adapt.py", "retrieval/nDCG@10", turn, True
    )
  if kind.name == "labels":
    found = "numbers" if kind.task == "regression" else "several for a text"
    raise UserError(
      f"{data}: its labels are {found}; expected one class for each text, or "
      "train with configs/classify.py"
    )
  raise UserError(
    f"{data}: its rows are text without queries; make pairs of them with "
    "--queries=title,heading,crop (real queries are better)"
  )


def tasks(
  objective: Objective, data: pathlib.Path, folder: pathlib.Path
) -> list[str]:
  """Writes what models are compared by; returns it as --tasks names it."""
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
  """The pair of a text and the name of its class."""
  text = " ".join(filter(None, (row["query"], row["document"])))
  label = int(row["labels"][0])
  return row | {"query": text, "document": names[label], "labels": []}


def _spoken(name: str) -> str:
  """A class's name in words: card_arrival is card arrival."""
  return " ".join(name.replace("_", " ").split()) or name
