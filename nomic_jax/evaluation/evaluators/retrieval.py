# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Retrieval during training, on NanoBEIR or other tasks."""

import numpy as np

from nomic_jax.evaluation import retrieval
from nomic_jax.evaluation.evaluators.vectors import OfVectors
from nomic_jax.evaluation.evaluators.vectors import Texts
from nomic_jax.search import neighbours


class Retrieval(OfVectors):
  """Scores of exact search by the model's similarity, over several tasks.

  Options: those of `OfVectors.tasks`.
  """

  scores = tuple(retrieval.METRICS)

  def texts(self) -> list[Texts]:
    """Reads the tasks."""
    return [
      Texts(task.name, task.queries, task.documents, task)
      for task in self.tasks(retrieval.RetrievalTask, "not retrieval")
    ]

  def score(
    self, texts: Texts, queries: np.ndarray, documents: np.ndarray
  ) -> dict[str, float]:
    """Returns the means over queries."""
    task = texts.task
    assert isinstance(task, retrieval.RetrievalTask)
    depth = retrieval.DEPTH + bool(len(task.itself))
    best = neighbours.top_k(queries, documents, min(depth, len(documents)))
    if len(task.itself):
      best = retrieval.without(*best, task.itself)
    scores = retrieval.retrieval_scores(best[1], task.relevant)
    return {name: float(x.mean()) for name, x in scores.items()}
