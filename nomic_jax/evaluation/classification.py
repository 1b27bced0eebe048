# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Classification: can a linear model tell classes by a text's vector?

MTEB's protocol (Muennighoff et al. 2022, section 3.2, and its code): ten times
a logistic regression is fitted to eight training texts of each class, and
accuracy is the mean over the ten. Vectors are not normalised, which is also
how the paper evaluates.
"""

import collections
from collections.abc import Hashable
from collections.abc import Sequence
import dataclasses
import pathlib
from typing import ClassVar
import warnings

import numpy as np

from nomic_jax.errors import UserError
from nomic_jax.evaluation import maps
from nomic_jax.evaluation.systems import System
from nomic_jax.evaluation.task import Outcome
from nomic_jax.evaluation.task import Task
from nomic_jax.storage import fingerprints
from nomic_jax.storage import rows

_WORST = 20
_PROMPT = "classification"
_SEED = 42  # MTEB's


@dataclasses.dataclass(frozen=True)
class ClassificationTask(Task):
  """Texts with a class, to learn from and to try.

  Items are [test texts, 1 + experiments]: the class, then what each fit said.
  """

  name: str
  train: Sequence[tuple[str, Hashable]]
  test: Sequence[tuple[str, Hashable]]
  path: str = ""
  group: str = ""
  experiments: int = 10
  per_class: int = 8

  kind: ClassVar[str] = "classification"
  metrics: ClassVar[tuple[str, ...]] = ("accuracy", "F1")

  @property
  def size(self) -> str:
    return f"{len(self.test):,} texts, {len(self._classes()):,} classes"

  def fingerprint(self) -> str:
    return fingerprints.of_values(
      self.kind,
      self.train,
      self.test,
      self.experiments,
      self.per_class,
      _PROMPT,
    )

  def run(self, system: System) -> Outcome:
    from sklearn import exceptions
    from sklearn import linear_model

    chosen = draws(
      [label for _, label in self.train], self.experiments, self.per_class
    )
    used = sorted(set().union(*chosen))
    found = system.encode(
      [self.train[i][0] for i in used] + [text for text, _ in self.test],
      _PROMPT,
      normalize=False,
    )
    place = {row: i for i, row in enumerate(used)}
    number = {label: i for i, label in enumerate(self._classes())}
    items = [[number[label] for _, label in self.test]]
    for some in chosen:
      fit = linear_model.LogisticRegression(max_iter=100, random_state=_SEED)
      with warnings.catch_warnings():
        warnings.simplefilter("ignore", exceptions.ConvergenceWarning)
        fit.fit(
          found[[place[i] for i in some]],
          [number[self.train[i][1]] for i in some],
        )
      items.append(fit.predict(found[len(used) :]))
    items = np.array(items).T
    rows_shown = maps.chosen([label for _, label in self.test])
    texts, groups = zip(*(self.test[row] for row in rows_shown))
    return Outcome(
      items,
      self._worst(items),
      **maps.points(system, texts, groups, dict.fromkeys(groups, _PROMPT)),
    )

  def scores(self, items: np.ndarray) -> dict[str, float]:
    from sklearn import metrics

    gold, *said = items.T
    return {
      "accuracy": self.main(items),
      "F1": float(
        np.mean(
          [
            metrics.f1_score(gold, s, average="macro", zero_division=0)
            for s in said
          ]
        )
      ),
    }

  def main(self, items: np.ndarray) -> float:
    return float((items[:, 1:] == items[:, :1]).mean())

  def _classes(self) -> list[Hashable]:
    return sorted({label for _, label in (*self.train, *self.test)}, key=str)

  def _worst(self, items: np.ndarray) -> list[dict]:
    """The texts that most fits agree on and get wrong."""
    classes = self._classes()
    most = [
      collections.Counter(row).most_common(1)[0]
      for row in items[:, 1:].tolist()
    ]
    wrong = [i for i, (label, _) in enumerate(most) if label != items[i, 0]]
    wrong.sort(key=lambda i: -most[i][1])
    return [
      {
        "texts": [self.test[i][0]],
        "expected": str(self.test[i][1]),
        "found": f"{classes[most[i][0]]} in {most[i][1]} of "
        f"{self.experiments} fits",
      }
      for i in wrong[:_WORST]
    ]


def draws(
  labels: Sequence[Hashable], experiments: int, per_class: int
) -> list[list[int]]:
  """Rows that each experiment learns from, which are those MTEB takes.

  The order of all rows is shuffled again for each, by the same permutation,
  and the first of each class are taken.
  """
  order = list(range(len(labels)))
  chosen = []
  for _ in range(experiments):
    np.random.RandomState(_SEED).shuffle(order)
    taken = collections.Counter()
    some = []
    for row in order:
      if taken[labels[row]] < per_class:
        taken[labels[row]] += 1
        some.append(row)
    chosen.append(some)
  return chosen


def read(path: pathlib.Path, name: str) -> ClassificationTask:
  """Reads the train and test files of a folder: text and label.

  Raises:
    UserError: as `rows.read`, or if there is no train file, or one class.
  """
  splits = []
  for split in ("train", "test"):
    file, found = rows.read(
      path, split, {"text": rows.TEXT, "label": rows.LABEL}
    )
    splits.append([(row["text"], row["label"]) for row in found])
    classes = {row["label"] for row in found}
    if len(classes) == 1:
      raise UserError(
        f"{file}: all labels are '{classes.pop()}'; give texts of two "
        "classes or more"
      )
  return ClassificationTask(name, *splits, str(path))
