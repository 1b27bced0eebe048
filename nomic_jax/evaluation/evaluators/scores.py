# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Correlation of similarities with scores, for the encoder in training."""

from collections.abc import Callable
import pathlib

import ml_collections
import numpy as np
import tokenizers

from nomic_jax.errors import UserError
from nomic_jax.evaluation import pairs
from nomic_jax.evaluation import tasks as tasks_lib
from nomic_jax.evaluation.evaluators.embeddings import Embeddings
from nomic_jax.evaluation.evaluators.evaluator import Training
from nomic_jax.losses.loss import Params
from nomic_jax.storage import places


class Scores:
  """Spearman's and Pearson's correlation of similarities with the scores."""

  metrics = ("spearman", "pearson")

  def __init__(
    self,
    options: ml_collections.ConfigDict,
    config: ml_collections.ConfigDict,
    tokenizer: tokenizers.Tokenizer,
    run: Training,
  ):
    """See `Evaluator`. Options: those of `retrieval.Retrieval`; `tasks` are
    data directories of scored pairs, or folders of STS.
    """
    self._embeddings = Embeddings(options, tokenizer, run)
    self._tasks = []
    for task in tasks_lib.find(
      places.listed(options.tasks) or [config.data.path],
      pathlib.Path(options.data) if options.data else None,
    ):
      if not isinstance(task, pairs.StsTask):
        raise UserError(f"tasks: {task.name} is {task.kind}, without scores")
      sides = self._embeddings.encode(task.first, task.second)
      self._tasks.append((task, *sides))
    self._embeddings.compile(
      run,
      max(len(t) for _, *sides in self._tasks for side in sides for t in side),
    )

  def __call__(
    self, params: Params, check: Callable[[], None] = lambda: None
  ) -> dict[str, float]:
    """Returns the means over tasks; NaN if vectors are not finite."""
    found = []
    for task, *sides in self._tasks:
      first, second = (
        self._embeddings.vectors(params, side, check) for side in sides
      )
      alike = np.einsum("nd,nd->n", first, second)
      if not np.isfinite(alike).all():
        found.append((np.nan, np.nan))
        continue
      items = np.stack([alike, np.asarray(task.gold)], 1).astype(np.float64)
      scores = task.scores(items)
      found.append((scores["Spearman"], scores["Pearson"]))
    return dict(zip(self.metrics, map(float, np.mean(found, 0))))
