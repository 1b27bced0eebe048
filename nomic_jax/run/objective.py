# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""What the loss of a config asks of the model and of the data."""

import dataclasses

import ml_collections

from nomic_jax import losses
from nomic_jax.data import kinds
from nomic_jax.errors import options_of
from nomic_jax.errors import UserError
from nomic_jax.model.architecture import Architecture
from nomic_jax.model.encoder import Encoder
from nomic_jax.model.usage import Usage


def similarity(
  config: ml_collections.ConfigDict, architecture: Architecture
) -> str:
  """Returns how the loss compares vectors; "" if it compares none."""
  with options_of("config.loss"):
    return losses.make(config.loss, Encoder(architecture)).similarity


def predicts_labels(config: ml_collections.ConfigDict) -> bool:
  """Returns whether the loss predicts labels."""
  with options_of("config.loss"):
    return losses.predicts_labels(config.loss)


def with_classes(config: ml_collections.ConfigDict, usage: Usage) -> Usage:
  """Fills in from the data what the config leaves open about labels.

  Returns:
    The usage, with the names of the classes.
  """
  known = kinds.of(config.data.path)
  predicts = predicts_labels(config)
  if known.name != "labels":
    raise UserError(
      f"{config.data.path}: its rows are {known.name} and have no labels; "
      "prepare it from a source with a column of labels, see prepare --columns "
      "label=COLUMN"
    )
  asked = {f"data.{k}": config.data[k] for k in ("labels", "classes")}
  if predicts:
    asked |= {f"loss.{k}": config.loss.get(k) for k in ("kind", "labels")}
  missing = [name for name, value in asked.items() if value is None]
  if missing and not known.task:
    raise UserError(
      f"{config.data.path}: does not record its classes; set "
      + " and ".join(f"config.{name}" for name in missing)
    )
  with config.unlocked():
    if predicts and config.loss.get("kind") is None:
      config.loss.kind = known.task
    task = config.loss.kind if predicts else known.task
    of_numbers = task == "regression"
    if config.data.labels is None:
      config.data.labels = known.labels
    if config.data.classes is None:
      config.data.classes = 0 if of_numbers else len(known.classes)
    if not predicts:
      return usage
    if config.loss.get("labels") is None:
      config.loss.labels = (
        config.data.labels if of_numbers else config.data.classes
      )
  classes = () if of_numbers else tuple(known.classes)
  if len(classes) != config.loss.labels:
    classes = ()
  return dataclasses.replace(usage, classes=classes, task=config.loss.kind)
