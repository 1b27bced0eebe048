# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Retrieval during training, on NanoBEIR or other tasks."""

from collections.abc import Callable
import pathlib

import ml_collections
import numpy as np
import tokenizers

from nomic_jax.errors import UserError
from nomic_jax.evaluation import retrieval
from nomic_jax.evaluation import tasks as tasks_lib
from nomic_jax.evaluation.evaluators.embeddings import Embeddings
from nomic_jax.evaluation.evaluators.evaluator import Training
from nomic_jax.losses.loss import Params
from nomic_jax.search import neighbours
from nomic_jax.storage import places


class Retrieval:
  """Scores of exact search by the model's similarity, over several tasks.

  Every process holds all vectors of a task, see `Embeddings`, and ranks them.
  """

  def __init__(
    self,
    options: ml_collections.ConfigDict,
    config: ml_collections.ConfigDict,
    tokenizer: tokenizers.Tokenizer,
    run: Training,
  ):
    """Reads the tasks; see `Evaluator`.

    Args:
      options: `tasks`, folders and names as for nomic-jax evaluate, separated
        by commas (default: the training run's data); `data`, a folder with the
        data of tasks with names; `query_length` and `document_length` in
        tokens; `query_prompt` and `document_prompt`.
      config: the training config.
      tokenizer: the tokenizer of the model.
      run: from `program.setup`.
    """
    self._embeddings = Embeddings(options, tokenizer, run)
    self._tasks = []
    for task in tasks_lib.find(
      places.listed(options.tasks) or [config.data.path],
      pathlib.Path(options.data) if options.data else None,
    ):
      if not isinstance(task, retrieval.RetrievalTask):
        raise UserError(f"tasks: {task.name} is {task.kind}, not retrieval")
      sides = self._embeddings.encode(task.queries, task.documents)
      self._tasks.append((task, *sides))
    self._embeddings.compile(
      run,
      max(len(t) for _, *sides in self._tasks for side in sides for t in side),
    )
    self.metrics = [*retrieval.METRICS]
    if len(self._tasks) > 1:
      self.metrics += [
        f"{task.name}/{m}"
        for task, *_ in self._tasks
        for m in retrieval.METRICS
      ]

  def __call__(
    self, params: Params, check: Callable[[], None] = lambda: None
  ) -> dict[str, float]:
    """Returns each metric's mean over tasks, and for each task if several."""
    by_task = {}
    for task, queries, documents in self._tasks:
      queries = self._embeddings.vectors(params, queries, check)
      documents = self._embeddings.vectors(params, documents, check)
      if not (np.isfinite(queries).all() and np.isfinite(documents).all()):
        by_task[task.name] = dict.fromkeys(retrieval.METRICS, float("nan"))
        continue
      depth = retrieval.DEPTH + bool(len(task.itself))
      best = neighbours.top_k(queries, documents, min(depth, len(documents)))
      if len(task.itself):
        best = retrieval.without(*best, task.itself)
      scores = retrieval.retrieval_scores(best[1], task.relevant)
      by_task[task.name] = {m: float(x.mean()) for m, x in scores.items()}
    means = {
      m: float(np.mean([scores[m] for scores in by_task.values()]))
      for m in retrieval.METRICS
    }
    if len(by_task) > 1:
      means |= {
        f"{name}/{m}": value
        for name, scores in by_task.items()
        for m, value in scores.items()
      }
    return means
