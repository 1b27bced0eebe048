# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The interface of evaluators, and what they use of a training run."""

import abc
from collections.abc import Callable
from collections.abc import Sequence
from typing import Protocol

from jax.sharding import Mesh
from jaxtyping import PyTree
import ml_collections
import tokenizers

from nomic_jax.losses.loss import Loss
from nomic_jax.losses.loss import Params
from nomic_jax.model.encoder import Encoder


class Training(Protocol):
  """What evaluators use of a `program.Run`.

  Attributes:
    mesh: the mesh of all devices.
    encoder: without dropout.
    loss: the loss of that encoder.
    state: shapes and shardings of the `TrainState`.
  """

  @property
  def mesh(self) -> Mesh:
    """The mesh of all devices."""
    ...

  @property
  def encoder(self) -> Encoder:
    """The encoder without dropout."""
    ...

  @property
  def loss(self) -> Loss:
    """The loss of that encoder."""
    ...

  @property
  def state(self) -> PyTree:
    """Shapes and shardings of the `TrainState`."""
    ...

  def on_mesh(
    self, f: Callable[[PyTree, PyTree], PyTree]
  ) -> Callable[..., PyTree]:
    """Returns f(params, batch), jitted as the train step is."""
    ...


class Evaluator(abc.ABC):
  """A measurement during training, built before training starts.

  A subclass opens its data in `open` and measures in `measure`.

  Attributes:
    options: the options of this evaluator, `config.evaluators.NAME`.
    config: the training config.
    tokenizer: the tokenizer of the model.
    run: what it uses of the training run.
    metrics: names of the results, known once it is open.
  """

  metrics: Sequence[str]

  def __init__(
    self,
    options: ml_collections.ConfigDict,
    config: ml_collections.ConfigDict,
    tokenizer: tokenizers.Tokenizer,
    run: Training,
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

  def __call__(
    self, params: Params, check: Callable[[], None] = lambda: None
  ) -> dict[str, float]:
    """Returns what `measure` does."""
    return self.measure(params, check)
