# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Evaluation during training: named evaluators, set in the config.

Each has its own data and interval. `config.evaluators.NAME` specifies its
`kind` (a name in `_KINDS`), after how many steps it runs (`every`; 0 disables
it; also after the last step), and the options of its kind. Its results are
written to metrics.jsonl as NAME/METRIC, and `config.checkpoint.best` may name
one.

Evaluators run on the mesh of the training run, in every process, and use its
parameters without copying them. To add a kind, add a file here and a line in
`_KINDS`.
"""

from collections.abc import Callable
from collections.abc import Sequence

from jax.experimental import multihost_utils
import ml_collections
import numpy as np
import tokenizers

from nomic_jax.cli import ranges
from nomic_jax.errors import one_of
from nomic_jax.errors import UserError
from nomic_jax.evaluation.evaluators.evaluator import Evaluator
from nomic_jax.evaluation.evaluators.labels import Labels
from nomic_jax.evaluation.evaluators.loss import HeldOutLoss
from nomic_jax.evaluation.evaluators.retrieval import Retrieval
from nomic_jax.evaluation.evaluators.scores import Scores
from nomic_jax.model.params import Params
from nomic_jax.program import Run

_KINDS: dict[str, type[Evaluator]] = {
  "labels": Labels,
  "loss": HeldOutLoss,
  "retrieval": Retrieval,
  "scores": Scores,
}


class Evaluators:
  """The evaluators of a config that are enabled."""

  def __init__(
    self,
    config: ml_collections.ConfigDict,
    tokenizer: tokenizers.Tokenizer,
    run: Run,
  ):
    """Builds each evaluator; see `Evaluator`."""
    self._last = config.steps
    self._every, self._called = {}, {}
    for name, options in config.evaluators.items():
      one_of(
        options.kind,
        _KINDS,
        f"config.evaluators.{name}.kind: no kind '{options.kind}'",
      )
      ranges.at_least(f"config.evaluators.{name}", options, every=0, batches=1)
      if options.every:
        self._every[name] = options.every
        try:
          self._called[name] = _KINDS[options.kind](
            options, config, tokenizer, run
          )
        except UserError as e:
          raise UserError(f"config.evaluators.{name}: {e}") from e
    self._best = config.checkpoint.best
    names = [f"{n}/{m}" for n, e in self._called.items() for m in e.metrics]
    if self._best:
      one_of(
        self._best,
        names,
        f"config.checkpoint.best: nothing measures '{self._best}'",
        "enable an evaluator by config.evaluators.NAME.every; expected one of",
      )

  def due(self, step: int) -> list[str]:
    """Returns the names of the evaluators to run after this step."""
    return [
      name
      for name, every in self._every.items()
      if step % every == 0 or step == self._last
    ]

  def measuring(self, metric: str) -> list[str]:
    """Returns the names of evaluators that measure `metric` (NAME/METRIC)."""
    return [n for n in self._called if metric.startswith(f"{n}/")]

  def __call__(
    self,
    names: Sequence[str],
    params: Params,
    check: Callable[[], None] = lambda: None,
  ) -> dict[str, float]:
    """Returns {"NAME/METRIC": value}, the same in every process."""
    results = {
      f"{name}/{metric}": value
      for name in names
      for metric, value in self._called[name].measure(params, check).items()
    }
    # Rounding must not make processes choose different best checkpoints.
    values = multihost_utils.broadcast_one_to_all(
      np.array([*results.values()], np.float64).view(np.uint32)
    )
    return dict(zip(results, np.asarray(values).view(np.float64).tolist()))
