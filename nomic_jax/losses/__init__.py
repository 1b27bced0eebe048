# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Objectives, each a subclass of `loss.Loss`, the interface that the step uses.

To add an objective, add a file here with a class that is built from an encoder,
and a line in `_LOSSES`.
"""

import inspect

import ml_collections

from nomic_jax.errors import one_of
from nomic_jax.errors import OptionError
from nomic_jax.losses.angle import AnglE
from nomic_jax.losses.classification import Classification
from nomic_jax.losses.cosent import CoSENT
from nomic_jax.losses.distill import Distill
from nomic_jax.losses.info_nce import InfoNCE
from nomic_jax.losses.loss import Loss
from nomic_jax.losses.loss import Predictor
from nomic_jax.losses.mlm import MLM
from nomic_jax.losses.triplet import Triplet
from nomic_jax.model.encoder import Encoder

_LOSSES = {
  "mlm": MLM,
  "info_nce": InfoNCE,
  "classification": Classification,
  "distill": Distill,
  "cosent": CoSENT,
  "angle": AnglE,
  "triplet": Triplet,
}


def make(config: ml_collections.ConfigDict, encoder: Encoder) -> Loss:
  """Builds the loss `config.name` with the other fields as arguments.

  Raises:
    OptionError: for an unknown name or an argument the loss does not have.
  """
  options = config.to_dict()
  name = options.pop("name")
  _check(name)
  known = [*inspect.signature(_LOSSES[name]).parameters][1:]
  for option in options:
    one_of(
      option,
      known,
      f"{option}: the loss {name} has no such argument",
      "it has",
      OptionError,
    )
  return _LOSSES[name](encoder, **options)


def predicts_labels(config: ml_collections.ConfigDict) -> bool:
  """Returns whether the loss `config.name` is a `Predictor`.

  Raises:
    OptionError: for an unknown name.
  """
  _check(config.name)
  return issubclass(_LOSSES[config.name], Predictor)


def _check(name: str) -> None:
  one_of(name, _LOSSES, f"name: no loss '{name}'", error=OptionError)
