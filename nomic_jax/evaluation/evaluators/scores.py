# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Correlation of similarities with scores, for the encoder in training."""

import numpy as np

from nomic_jax.evaluation import pairs
from nomic_jax.evaluation.evaluators.vectors import OfVectors
from nomic_jax.evaluation.evaluators.vectors import Texts


class Scores(OfVectors):
  """Spearman's and Pearson's correlation of similarities with the scores.

  Options: those of `OfVectors.tasks`, which are data directories of scored
  pairs, or folders of STS.
  """

  scores = ("spearman", "pearson")

  def texts(self) -> list[Texts]:
    """Reads the pairs."""
    return [
      Texts(task.name, task.first, task.second, task)
      for task in self.tasks(pairs.StsTask, "without scores")
    ]

  def score(
    self, texts: Texts, queries: np.ndarray, documents: np.ndarray
  ) -> dict[str, float]:
    """Returns both correlations."""
    task = texts.task
    assert isinstance(task, pairs.StsTask)
    alike = np.einsum("nd,nd->n", queries, documents)
    items = np.stack([alike, np.asarray(task.gold)], 1).astype(np.float64)
    found = task.scores(items)
    return {name: float(found[name.capitalize()]) for name in self.scores}
