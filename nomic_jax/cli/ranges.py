# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Ranges of the numbers in a config.

Each option is checked by the code that reads it. This table covers training
runs and their data; objectives and evaluators check their own options. Options
not named here may have any value.
"""

from collections.abc import Mapping

import ml_collections

from nomic_jax.errors import OptionError
from nomic_jax.errors import UserError

_LEAST = {
  "": dict(seed=0, log_every=1, skip_nonfinite=0),
  "checkpoint": dict(every=0, minutes=0, keep=1, keep_every=0, patience=0),
  "log": dict(hang_minutes=0),
  "compute": dict(unroll=1),
  "optimizer": dict(learning_rate=0, weight_decay=0, eps=0, b1=0, b2=0),
  "encoder": dict(
    width=1,
    layers=1,
    heads=1,
    mlp_width=1,
    max_length=1,
    projection=0,
    type_vocab_size=0,
    dropout=0,
    head_dropout=0,
  ),
  "data": dict(
    batch_size=1,
    micro_batches=1,
    batch_warmup=0,
    row_length=1,
    slots=1,
    rows_multiple=1,
    query_length=1,
    document_length=1,
    text_length=1,
    labels=1,
    negatives=0,
    classes=0,
    workers=0,
    token_dropout=0,
  ),
}
# Decays and rates, which must also be below 1.
_BELOW_ONE = {
  "optimizer": ("b1", "b2"),
  "encoder": ("dropout", "head_dropout"),
  "data": ("token_dropout",),
}


def check(config: ml_collections.ConfigDict) -> None:
  """Raises UserError for an option of a training run outside its range."""
  for group, least in _LEAST.items():
    values = config.get(group, {}) if group else config
    at_least(f"--config.{group}".rstrip("."), values, **least)
  for group, names in _BELOW_ONE.items():
    for name in names:
      value = config.get(group, {}).get(name)
      if isinstance(value, int | float) and value >= 1:
        raise UserError(
          f"--config.{group}.{name}: {value:g} is too large; expected a number "
          "below 1"
        )
  check_length(config)


def check_length(config: ml_collections.ConfigDict) -> None:
  """Raises UserError unless exactly one of steps and epochs is set."""
  steps, epochs = config.get("steps", 0), config.get("epochs", 0)
  if steps and epochs:
    raise UserError(
      f"--config.steps={steps} and --config.epochs={epochs:g} both say how "
      "long to train; give one and set the other to 0"
    )
  if epochs < 0:
    raise UserError(
      f"--config.epochs: {epochs:g} is too small; expected a number above 0, "
      "or 0 and --config.steps"
    )
  if not epochs and "steps" in config:
    at_least("--config", {"steps": steps}, steps=1)


def check_data(config: ml_collections.ConfigDict) -> None:
  """Raises UserError for an option of an evaluator's data below its minimum."""
  at_least("config.data", config, **_LEAST["data"])


def at_least(where: str, values: Mapping[str, object], **least: int) -> None:
  """Raises UserError for the first of `values` below its minimum.

  Args:
    where: the group of the values, such as "config.data"; "" if it is not
      known here, which raises an OptionError.
    values: by name; absent values and other types pass.
    **least: the minimum of each.
  """
  for name, limit in least.items():
    value = values.get(name)
    if isinstance(value, int | float) and value < limit:
      problem = f"{name}: {value} is too small; expected {limit} or more"
      raise UserError(f"{where}.{problem}") if where else OptionError(problem)
