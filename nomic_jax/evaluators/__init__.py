# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""What is measured while a training goes on: named evaluators, from config.

Each has data and a cadence of its own: `config.evaluators.NAME` says its
`kind`, a name in `_KINDS`, after how many steps it comes (`every`; 0: never;
also after the last), and its kind's options. Its figures stand in
metrics.jsonl as NAME/METRIC, and `config.checkpoint.best` may be one of them.

They compute on the training's mesh, in every process, with the training's
parameters where they lie: nothing is copied, and a block of rows takes less
than a step on as many. A new kind is a new file here and a line in `_KINDS`.
"""

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import Protocol

from jax.experimental import multihost_utils
import ml_collections
import numpy as np
import tokenizers

from nomic_jax.cli import ranges
from nomic_jax.errors import one_of
from nomic_jax.errors import UserError
from nomic_jax.evaluators.labels import Labels
from nomic_jax.evaluators.loss import HeldOutLoss
from nomic_jax.evaluators.retrieval import Retrieval


def _nothing() -> None:
  pass


class Evaluator(Protocol):
  """Built before a training starts, so that what is wrong is told then.

  Attributes:
    metrics: names of what a call returns.
  """

  metrics: Sequence[str]

  def __init__(
    self,
    options: ml_collections.ConfigDict,
    config: ml_collections.ConfigDict,
    tokenizer: tokenizers.Tokenizer,
    run: Any,
  ):
    """Opens the data and traces what is to be computed.

    Args:
      options: of this evaluator.
      config: of the training.
      tokenizer: of the model.
      run: of `train.setup`.

    Raises:
      UserError: if the data is missing or does not fit.
    """

  def __call__(
    self, params: Any, check: Callable[[], None] = _nothing
  ) -> dict[str, float]:
    """Measures a training's parameters; all processes call it at once.

    Args:
      params: of the training.
      check: called before each batch; what it raises ends the measurement.
    """


_KINDS = {"labels": Labels, "loss": HeldOutLoss, "retrieval": Retrieval}


class Evaluators:
  """Those of a config that are to run; nothing if none is."""

  def __init__(
    self,
    config: ml_collections.ConfigDict,
    tokenizer: tokenizers.Tokenizer,
    run: Any,
  ):
    """Builds each; see `Evaluator`."""
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
        "set config.evaluators.NAME.every to run one; expected one of",
      )

  def due(self, step: int) -> list[str]:
    """Names of those that come after this step."""
    return [
      name
      for name, every in self._every.items()
      if step % every == 0 or step == self._last
    ]

  def __call__(
    self,
    names: Sequence[str],
    params: Any,
    check: Callable[[], None] = _nothing,
  ) -> dict[str, float]:
    """{"NAME/METRIC": number} of those named, the same in every process."""
    found = {
      f"{name}/{metric}": value
      for name in names
      for metric, value in self._called[name](params, check).items()
    }
    # What decides which checkpoint is kept must not differ by a rounding.
    values = multihost_utils.broadcast_one_to_all(
      np.array([*found.values()], np.float64).view(np.uint32)
    )
    return dict(zip(found, np.asarray(values).view(np.float64).tolist()))
