# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The interface of evaluators, and what they use of a training run."""

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


def nothing() -> None:
  """Does nothing."""


class Evaluator(Protocol):
  """The interface of evaluators, built before training starts.

  Errors in their options are reported at that time.

  Attributes:
    metrics: names of the results of a call.
  """

  @property
  def metrics(self) -> Sequence[str]:
    """Names of the results of a call."""
    ...

  def __init__(
    self,
    options: ml_collections.ConfigDict,
    config: ml_collections.ConfigDict,
    tokenizer: tokenizers.Tokenizer,
    run: Training,
  ):
    """Opens the data and traces the computation.

    Args:
      options: the options of this evaluator.
      config: the training config.
      tokenizer: the tokenizer of the model.
      run: from `program.setup`.

    Raises:
      UserError: if the data is missing or does not fit.
    """

  def __call__(
    self, params: Params, check: Callable[[], None] = nothing
  ) -> dict[str, float]:
    """Measures the parameters of a training run; a collective of all processes.

    Args:
      params: the parameters being trained.
      check: called before each batch; an exception ends the measurement.
    """
    ...
