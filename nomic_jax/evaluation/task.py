# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""What a task is: something that systems are scored on.

A system is a `systems.Dense` (a model) or a `systems.Lexical` (BM25). A task
runs one and keeps a row of numbers for each item: a query, a pair, a text.
Scores are computed from these rows alone, so that they can be computed again
from rows drawn at random, which is what confidence intervals are made of.

A new kind of task is a new file with a subclass of `Task` and a line in
`tasks.py`.
"""

import abc
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import Any
from typing import ClassVar

import numpy as np

from nomic_jax.evaluation.systems import System


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What running a task gave.

  Attributes:
    items: [N, ...] what each item contributes to the scores.
    worst: what the system got most wrong, worst first, for people to read:
      {"query", "answer", "rank", "retrieved"} of a ranking, {"texts",
      "expected", "found"} of anything else.
    vectors: [M, D] of some of the texts, for a map of them; None: no map.
    labels: of these M texts, {"text", "group"}; points of a group share a
      colour.
  """

  items: np.ndarray
  worst: Sequence[Mapping[str, Any]] = ()
  vectors: np.ndarray | None = None
  labels: Sequence[Mapping[str, str]] = ()


class Task(abc.ABC):
  """Something that systems are scored on.

  Attributes:
    kind: "retrieval", "sts" and so on.
    metrics: names of its scores, the main one first.
    lexical: whether a system that only compares words can run it.
    name: as it stands in tables.
    path: where its data is, or what it is made of.
    group: of tasks that are averaged, such as "mteb-en-v1/STS"; or "".
    published: main scores that others reported for the same data, by system.
  """

  kind: ClassVar[str]
  metrics: tuple[str, ...]
  lexical: ClassVar[bool] = False
  name: str
  path: str
  group: str = ""
  published: Mapping[str, float] = {}

  @property
  @abc.abstractmethod
  def size(self) -> str:
    """How much there is of what, such as "1,379 pairs"."""

  @abc.abstractmethod
  def fingerprint(self) -> str:
    """A hash of all that decides the scores besides the system."""

  @abc.abstractmethod
  def run(self, system: System) -> Outcome:
    """Runs a system.

    Raises:
      UserError: for embeddings that are not finite.
    """

  @abc.abstractmethod
  def scores(self, items: np.ndarray) -> dict[str, float]:
    """The `metrics` of some rows of `Outcome.items`, in any order."""

  def main(self, items: np.ndarray) -> float:
    """The first of `scores`; overridden where alone it is quicker."""
    return self.scores(items)[self.metrics[0]]
