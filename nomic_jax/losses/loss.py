# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The contract of an objective: what the train step and evaluators rely on."""

import abc
from typing import Any

from jax import Array

Params = dict[str, Any]  # nested dicts of arrays
Batch = dict[str, Any]  # arrays, and those of `inputs` in a dict of their own
Outcome = tuple[Array, Array, dict[str, Array]]


class Loss(abc.ABC):
  """A function of parameters and a batch, to be minimised.

  Batches are global arrays and means are global means: no loss knows how many
  devices or hosts there are.

  Attributes:
    by_row: whether the sums are over rows, each computed without the others.
      Each device then adds up its own rows of all micro-batches, and the
      devices' sums are added once. Other losses communicate where they must.
    perplexity: whether exp(loss) is worth logging.
  """

  by_row: bool = False
  perplexity: bool = False

  @abc.abstractmethod
  def init(self, rng: Array) -> Params:
    """Returns fresh parameters, boxed with the logical names of their axes.

    They are `encoder`, and whatever else the objective learns.
    """

  @abc.abstractmethod
  def __call__(self, params: Params, batch: Batch, rng: Array) -> Outcome:
    """Returns (total, weight, metrics).

    `total` is a sum, `weight` what it is to be divided by, `metrics` sums over
    the same weight. The step divides once, after adding up micro-batches, so
    micro-batches of unequal weight are exact.
    """


class Predictor(Loss):
  """A loss whose model predicts what rows are labelled with."""

  @abc.abstractmethod
  def predict(self, params: Params, batch: Batch) -> Array:
    """Returns logits of classes, or numbers, without dropout: [N, labels]."""
