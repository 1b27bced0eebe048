# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Objectives. Each is a module with one contract; the step knows no other.

A loss is built from an encoder and has two functions:

  init(rng) -> params
      The tree to train, boxed with logical axis names: `encoder`, and
      whatever else the objective learns.
  __call__(params, batch, rng) -> (total, weight, metrics)
      `total` is a sum, `weight` what it is to be divided by, `metrics` sums
      over the same weight. The step divides once, after adding up
      micro-batches, so unequal ones stay exact.

`perplexity = True` on the class says that exp(loss) is worth logging.

A loss whose sums are over rows, each computed without the others, says so by
`by_row = True`: each device then sums up its own rows of all micro-batches, and
the devices' sums are added once. Other losses cross the mesh where they must.

Batches are global arrays and means are global means: no loss knows how many
devices or hosts there are. A new objective is a new file here and a line in
`_LOSSES`.
"""

import inspect
from typing import Any
from typing import Protocol

from jax import Array
import ml_collections

from nomic_jax.errors import one_of
from nomic_jax.losses.classification import Classification
from nomic_jax.losses.distill import Distill
from nomic_jax.losses.info_nce import InfoNCE
from nomic_jax.losses.mlm import MLM
from nomic_jax.model.encoder import Encoder

Params = dict[str, Any]
Batch = dict[str, Array]
Outcome = tuple[Array, Array, dict[str, Array]]


class Loss(Protocol):
  """See the module's docstring."""

  def init(self, rng: Array) -> Params: ...

  def __call__(self, params: Params, batch: Batch, rng: Array) -> Outcome: ...


_LOSSES = {
  "mlm": MLM,
  "info_nce": InfoNCE,
  "classification": Classification,
  "distill": Distill,
}


def make(config: ml_collections.ConfigDict, encoder: Encoder) -> Loss:
  """Builds the loss `config.name` with the other fields as arguments.

  Raises:
    UserError: for an unknown name or an argument the loss does not have.
  """
  options = config.to_dict()
  name = options.pop("name")
  one_of(name, _LOSSES, f"config.loss.name: no loss '{name}'")
  known = [*inspect.signature(_LOSSES[name]).parameters][1:]
  for option in options:
    one_of(
      option,
      known,
      f"config.loss.{option}: the loss {name} has no such argument",
      "it has",
    )
  return _LOSSES[name](encoder, **options)
