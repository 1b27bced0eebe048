# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Evaluators that score vectors of texts."""

import abc
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import pathlib
from typing import NamedTuple
from typing import TypeVar

import numpy as np

from nomic_jax.errors import UserError
from nomic_jax.evaluation import tasks as tasks_lib
from nomic_jax.evaluation.evaluators.embeddings import Embeddings
from nomic_jax.evaluation.evaluators.evaluator import Evaluator
from nomic_jax.evaluation.task import Task
from nomic_jax.losses.loss import Params
from nomic_jax.storage import places

T = TypeVar("T", bound=Task)


class Texts(NamedTuple):
  """Texts to embed and score together; either side may be empty.

  Attributes:
    name: the name of the set.
    queries: texts that get the prompt of queries.
    documents: texts that get the prompt of documents.
    task: the task that they belong to, if any.
  """

  name: str
  queries: Sequence[str]
  documents: Sequence[str]
  task: Task | None = None


class OfVectors(Evaluator):
  """Scores vectors of one or several sets of texts.

  A subclass names its `scores`, returns its `texts`, and computes the scores
  of the vectors of one set in `score`. All sets are measured with the lengths,
  prompts and similarity of the model, see `Embeddings`. Every process holds all
  vectors of a set.

  Options: `query_length` and `document_length` in tokens, `query_prompt` and
  `document_prompt`, and those of the subclass.

  Attributes:
    scores: names of the results of `score`. The evaluator's results are their
      means over the sets, and, if there are several, NAME/SCORE for each set.
  """

  scores: tuple[str, ...]

  @abc.abstractmethod
  def texts(self) -> Sequence[Texts]:
    """Returns the sets of texts; they are tokenised once.

    Raises:
      UserError: for wrong options or missing data.
    """

  @abc.abstractmethod
  def score(
    self, texts: Texts, queries: np.ndarray, documents: np.ndarray
  ) -> dict[str, float]:
    """Returns the `scores` of one set.

    Args:
      texts: the set.
      queries: float32 [N, D], their vectors, finite. Inner products are the
        similarity: for cosines, vectors have length 1.
      documents: float32 [M, D], those of documents.
    """

  def open(self) -> None:
    """Reads and tokenises the texts, and traces the encoder."""
    embeddings = Embeddings(self.options, self.tokenizer, self.run)
    self._sets = [
      (texts, *embeddings.encode(texts.queries, texts.documents))
      for texts in self.texts()
    ]
    longest = max(len(t) for _, *sides in self._sets for s in sides for t in s)
    embeddings.compile(self.run, longest)
    self._embeddings = embeddings
    self.metrics = [*self.scores]
    if len(self._sets) > 1:
      self.metrics += [
        f"{t.name}/{m}" for t, *_ in self._sets for m in self.scores
      ]

  def measure(
    self, params: Params, check: Callable[[], None]
  ) -> dict[str, float]:
    """Returns the scores; NaN for a set whose vectors are not finite."""
    by_set = {}
    for texts, *sides in self._sets:
      vectors = [self._embeddings.vectors(params, x, check) for x in sides]
      if all(np.isfinite(x).all() for x in vectors):
        by_set[texts.name] = self.score(texts, *vectors)
      else:
        by_set[texts.name] = dict.fromkeys(self.scores, float("nan"))
    means = {
      m: float(np.mean([found[m] for found in by_set.values()]))
      for m in self.scores
    }
    if len(by_set) > 1:
      means |= {
        f"{name}/{m}": value
        for name, found in by_set.items()
        for m, value in found.items()
      }
    return means

  def tasks(self, kind: type[T], what: str) -> Iterator[T]:
    """Yields the tasks of the options, which must be of one kind.

    Options: `tasks`, folders and names as for nomic-jax evaluate, separated by
    commas (default: the training run's data); `data`, a folder with the data of
    tasks with names.

    Args:
      kind: the class of the tasks.
      what: what another task lacks, for the message.

    Raises:
      UserError: for a task of another kind.
    """
    folder = self.options.data
    for task in tasks_lib.find(
      places.listed(self.options.tasks) or [self.config.data.path],
      pathlib.Path(folder) if folder else None,
    ):
      if not isinstance(task, kind):
        raise UserError(f"tasks: {task.name} is {task.kind}, {what}")
      yield task
