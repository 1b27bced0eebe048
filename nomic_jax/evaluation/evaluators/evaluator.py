# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The interface of evaluators."""

import abc
from collections.abc import Callable
from collections.abc import Sequence

import ml_collections
import tokenizers

from nomic_jax.losses.loss import Params
from nomic_jax.program import Run


class Evaluator(abc.ABC):
  """A measurement during training, built before training starts.

  A subclass opens its data in `open` and measures in `measure`.

  Attributes:
    options: the options of this evaluator, `config.evaluators.NAME`.
    config: the training config.
    tokenizer: the tokenizer of the model.
    run: the program of the training run.
    metrics: names of the results, known once it is open.
  """

  metrics: Sequence[str]

  def __init__(
    self,
    options: ml_collections.ConfigDict,
    config: ml_collections.ConfigDict,
    tokenizer: tokenizers.Tokenizer,
    run: Run,
  ):
    self.options, self.config = options, config
    self.tokenizer, self.run = tokenizer, run
    self.open()

  @abc.abstractmethod
  def open(self) -> None:
    """Opens the data and traces the computation.

    So mistakes are reported before training starts.

    Raises:
      UserError: for wrong options, or data that is missing or does not fit.
    """

  @abc.abstractmethod
  def measure(
    self, params: Params, check: Callable[[], None]
  ) -> dict[str, float]:
    """Returns the metrics of the parameters being trained.

    Every process calls it, with the same data.

    Args:
      params: the parameters being trained.
      check: called before each batch; an exception ends the measurement.
    """
