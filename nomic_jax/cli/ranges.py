# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The least that whole numbers of a config may be.

Each option is checked by what reads it: here those of a training and of its
data; an objective's and an evaluator's by themselves. Options of others, which
this table does not name, may be any number.
"""

from collections.abc import Mapping
from typing import Any

from nomic_jax.errors import OptionError
from nomic_jax.errors import UserError

_LEAST = {
  "": dict(seed=0, steps=1, log_every=1, skip_nonfinite=0),
  "checkpoint": dict(every=0, minutes=0, keep=1, keep_every=0),
  "log": dict(hang_minutes=0),
  "compute": dict(unroll=1),
  "encoder": dict(
    width=1,
    layers=1,
    heads=1,
    mlp_width=1,
    max_length=1,
    projection=0,
    type_vocab_size=0,
  ),
  "data": dict(
    batch_size=1,
    micro_batches=1,
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
  ),
}


def check(config: Mapping[str, Any]) -> None:
  """Raises UserError for an option of a training that is too small."""
  for group, least in _LEAST.items():
    values = config.get(group, {}) if group else config
    at_least(f"--config.{group}".rstrip("."), values, **least)


def check_data(config: Mapping[str, Any]) -> None:
  """Likewise for an evaluator's data."""
  at_least("config.data", config, **_LEAST["data"])


def at_least(where: str, values: Mapping[str, Any], **least: int) -> None:
  """Raises UserError for the first of `values` that is too small.

  Args:
    where: the values' group, such as "config.data"; "": not known here, and
      the error is an OptionError.
    values: by name; those absent, or no numbers, pass.
    **least: the least of each.
  """
  for name, limit in least.items():
    value = values.get(name)
    if isinstance(value, int | float) and value < limit:
      problem = f"{name}: {value} is too small; expected {limit} or more"
      raise UserError(f"{where}.{problem}") if where else OptionError(problem)
