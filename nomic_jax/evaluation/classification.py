# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Classification: can a linear model predict classes from vectors?

This follows MTEB (Muennighoff et al. 2022, section 3.2, and its code): ten
logistic regressions are fitted, each to eight training texts per class, and
accuracy is averaged over the ten. Vectors are not normalized, as in the paper's
evaluation.
"""

import collections
from collections.abc import Hashable
from collections.abc import Sequence
import dataclasses
import pathlib
from typing import cast
from typing import ClassVar
import warnings

import numpy as np

from nomic_jax.errors import UserError
from nomic_jax.evaluation import maps
from nomic_jax.evaluation.systems import Dense
from nomic_jax.evaluation.systems import Head
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
  """Texts with classes, for training and testing.

  Items are [test texts, 1 + experiments]: the class and each fit's prediction.
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
    """Numbers of texts and classes; see `Task`."""
    return f"{len(self.test):,} texts, {len(self._classes()):,} classes"

  def fingerprint(self) -> str:
    """Returns a hash of data and settings; see `Task`."""
    return fingerprints.of_values(
      self.kind,
      self.train,
      self.test,
      self.experiments,
      self.per_class,
      _PROMPT,
    )

  def run(self, system: System) -> Outcome:
    """Fits a logistic regression per experiment and predicts; see `Task`."""
    if isinstance(system, Head):
      return self._by_head(system)
    from sklearn import exceptions
    from sklearn import linear_model

    chosen = draws(
      [label for _, label in self.train], self.experiments, self.per_class
    )
    used = sorted(set().union(*chosen))
    vectors = cast(Dense, system).encode(
      [self.train[i][0] for i in used] + [text for text, _ in self.test],
      _PROMPT,
      normalize=False,
    )
    position = {row: i for i, row in enumerate(used)}
    class_index = {label: i for i, label in enumerate(self._classes())}
    columns = [[class_index[label] for _, label in self.test]]
    for some in chosen:
      fit = linear_model.LogisticRegression(max_iter=100, random_state=_SEED)
      with warnings.catch_warnings():
        warnings.simplefilter("ignore", exceptions.ConvergenceWarning)
        fit.fit(
          vectors[[position[i] for i in some]],
          [class_index[self.train[i][1]] for i in some],
        )
      columns.append(list(fit.predict(vectors[len(used) :])))
    items = np.array(columns).T
    rows_shown = maps.chosen([label for _, label in self.test])
    texts, groups = zip(*(self.test[row] for row in rows_shown))
    return Outcome(
      items,
      self._worst(items),
      **maps.points(system, texts, groups, dict.fromkeys(groups, _PROMPT)),
    )

  def _by_head(self, system: Head) -> Outcome:
    """Items are [test texts, 2]: the class, then the head's prediction."""
    number = {str(label): i for i, label in enumerate(self._classes())}
    unknown = sorted({str(label) for _, label in self.test} - {*system.classes})
    if unknown:
      raise UserError(
        f"{self.name}: its labels {', '.join(unknown[:3])} are not classes "
        f"of the model, which are {', '.join(system.classes[:5])} ..."
      )
    said = system.predict([text for text, _ in self.test])
    # The head may predict classes that no test text has.
    for name in said:
      number.setdefault(name, len(number))
    items = np.array(
      [
        [number[str(label)], number[name]]
        for (_, label), name in zip(self.test, said)
      ]
    )
    wrong = [i for i, (gold, found) in enumerate(items) if gold != found]
    return Outcome(
      items,
      [
        {
          "texts": [self.test[i][0]],
          "expected": str(self.test[i][1]),
          "found": said[i],
        }
        for i in wrong[:_WORST]
      ],
    )

  def scores(self, items: np.ndarray) -> dict[str, float]:
    """Returns the metrics of items; see `Task`."""
    from sklearn import metrics

    gold, *predictions = items.T
    return {
      "accuracy": self.main(items),
      "F1": float(
        np.mean(
          [
            metrics.f1_score(
              gold,
              s,
              average="macro",
              zero_division=0,  # pyright: ignore[reportArgumentType]
            )
            for s in predictions
          ]
        )
      ),
    }

  def main(self, items: np.ndarray) -> float:
    """Returns the accuracy, averaged over experiments."""
    return float((items[:, 1:] == items[:, :1]).mean())

  def _classes(self) -> list[Hashable]:
    return sorted({label for _, label in (*self.train, *self.test)}, key=str)

  def _worst(self, items: np.ndarray) -> list[dict]:
    """Returns the texts that most fits agree on and get wrong."""
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
  """Returns the rows that each experiment trains on, as MTEB chooses them.

  All rows are shuffled again for each experiment by the same permutation, and
  the first rows of each class are taken.
  """
  order = list(range(len(labels)))
  chosen = []
  for _ in range(experiments):
    np.random.RandomState(_SEED).shuffle(order)
    counts = collections.Counter()
    some = []
    for row in order:
      if counts[labels[row]] < per_class:
        counts[labels[row]] += 1
        some.append(row)
    chosen.append(some)
  return chosen


def read_data(
  path: pathlib.Path, name: str, classes: Sequence[str]
) -> ClassificationTask:
  """Makes a task of a data directory with labels.

  A classifier predicts the held-out rows with its head. For other models, a
  linear model is fitted to the vectors of the rows of `train`, as in MTEB's
  tasks.

  Raises:
    UserError: if a split is missing, or rows have several labels or numbers;
      see `_check_classes`.
  """
  from nomic_jax.data import dataset  # TFDS: slow to import

  train, test = [], []
  for split, examples in (("train", train), ("test", test)):
    source = dataset.open_split(path, split)
    found = source.__getitems__(range(len(source)))
    wrong = [row for row in found if len(row["labels"]) != 1 or row["query"]]
    if wrong or not classes:
      raise UserError(
        f"{path}: evaluate only scores texts with one class each; for pairs, "
        "several labels and numbers, set an evaluator of kind=labels in the "
        "training (configs/glue.py)"
      )
    examples += [
      (row["document"], classes[int(row["labels"][0])]) for row in found
    ]
  _check_classes(f"{path}, split 'train'", train, test)
  return ClassificationTask(name, train, test, str(path))


def read(path: pathlib.Path, name: str) -> ClassificationTask:
  """Reads the train and test files of a folder: text and label.

  Raises:
    UserError: as `rows.read`, or if there is no train file; see
      `_check_classes`.
  """
  columns = {"text": rows.TEXT, "label": rows.LABEL}
  (file, train), (_, test) = (
    (found, [(row["text"], row["label"]) for row in examples])
    for found, examples in (
      rows.read(path, split, columns) for split in ("train", "test")
    )
  )
  _check_classes(str(file), train, test)
  return ClassificationTask(name, train, test, str(path))


def _check_classes(
  where: str,
  train: Sequence[tuple[str, Hashable]],
  test: Sequence[tuple[str, Hashable]],
) -> None:
  """Checks that a model fitted to `train` can predict the classes of `test`.

  Prints how many test texts are of classes that it cannot predict.

  Raises:
    UserError: if `train` has only one class, or none of those of `test`.
  """
  known = {label for _, label in train}
  if len(known) < 2:
    raise UserError(
      f"{where}: all labels are '{''.join(map(str, known))}'; expected texts "
      "of at least two classes"
    )
  lost = [label for _, label in test if label not in known]
  if lost and len(lost) == len(test):
    raise UserError(
      f"{where}: has none of the classes of the test texts, such as "
      f"'{lost[0]}'; expected the same class names in both"
    )
  if lost:
    print(
      f"{where}: has no text of the class '{lost[0]}'; {len(lost):,} of "
      f"{len(test):,} test texts have such classes and count as wrong"
    )
