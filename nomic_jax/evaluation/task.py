# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The interface of tasks that systems are scored on.

A system is a `systems.Dense` (a model) or a `systems.Lexical` (BM25). A task
runs a system and keeps a row of numbers for each item: a query, a pair, a text.
Scores are computed from these rows alone, so they can be computed again from
rows drawn at random, which gives confidence intervals.

To add a kind of task, add a file with a subclass of `Task` and a line in
`tasks.py`.
"""

import abc
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import ClassVar

import numpy as np

from nomic_jax.evaluation.systems import System
from nomic_jax.storage.values import Json


@dataclasses.dataclass(frozen=True)
class Outcome:
  """The result of running a task.

  Attributes:
    items: [N, ...], what each item contributes to the scores.
    worst: what the system got most wrong, worst first, for people to read:
      {"query", "answer", "rank", "retrieved"} for rankings, {"texts",
      "expected", "found"} otherwise.
    vectors: [M, D] of some texts, for a map; None for no map.
    labels: {"text", "group"} of these M texts; points of a group share a
      colour.
  """

  items: np.ndarray
  worst: Sequence[Mapping[str, Json]] = ()
  vectors: np.ndarray | None = None
  labels: Sequence[Mapping[str, str]] = ()


class Task(abc.ABC):
  """A task that systems are scored on.

  Attributes:
    kind: "retrieval", "sts" and so on.
    metrics: names of its scores, the main one first.
    lexical: whether a system that only compares words can run it.
    name: as shown in tables.
    path: where its data is, or what it is made of.
    group: a set of tasks to average, such as "mteb-en-v1/STS"; or "".
    published: main scores reported by others for the same data, by system.
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
    """The amount of data, such as "1,379 pairs"."""

  @abc.abstractmethod
  def fingerprint(self) -> str:
    """Returns a hash of all that determines the scores besides the system."""

  @abc.abstractmethod
  def run(self, system: System) -> Outcome:
    """Runs a system.

    Raises:
      UserError: for embeddings that are not finite.
    """

  @abc.abstractmethod
  def scores(self, items: np.ndarray) -> dict[str, float]:
    """Returns the `metrics` of some rows of `Outcome.items`, in any order."""

  def main(self, items: np.ndarray) -> float:
    """Returns the first of `scores`; override it if it alone is faster."""
    return self.scores(items)[self.metrics[0]]
