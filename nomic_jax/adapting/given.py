# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Refuses arguments of an adaptation that clash or have no effect."""

from collections.abc import Sequence
import os

from nomic_jax.adapting.objectives import Objective
from nomic_jax.data import dataset
from nomic_jax.errors import UserError
from nomic_jax.storage.values import JsonObject

# Fields of the config that adapt sets, and the flag to use instead.
_SET = {
  "init_from": "--model",
  "data.path": "--source",
  "data.split": "",
  "data.negatives": "--negatives",
  "checkpoint.best": "",
  "evaluators.retrieval.every": "",
  "evaluators.retrieval.tasks": "",
  "evaluators.scores.every": "",
  "evaluators.scores.tasks": "",
  "evaluators.scores.data": "",
}
# Flags and the fields that they set; two fields set the length of a run.
_SAME = {
  "epochs": ("epochs", "steps"),
  "batch_size": ("data.batch_size",),
  "learning_rate": ("optimizer.learning_rate",),
}


def check_fields(
  overrides: Sequence[str], given: dict[str, float | None]
) -> None:
  """Checks the fields of the config that the user sets.

  Args:
    overrides: "--config.KEY=VALUE" of the user.
    given: values of the flags of _SAME; None if not given.

  Raises:
    UserError: for a field that adapt sets, or one that is set twice.
  """
  keys = [o.removeprefix("--config.").partition("=")[0] for o in overrides]
  for key in keys:
    if (flag := _SET.get(key)) is not None:
      raise UserError(
        f"--config.{key}: adapt sets this field; "
        + (f"use {flag} instead" if flag else "leave it out")
        + ", or train with nomic-jax train"
      )
  for flag, fields in _SAME.items():
    named = [f"--config.{key}" for key in keys if key in fields]
    if given[flag] is not None:
      named.append(f"--{flag}")
    if len(named) > 1:
      raise UserError(
        f"{named[0]} and {named[1]}: both set the same value; leave one out"
      )


def check_reading(
  source: str, held_out: float | None, reading: JsonObject
) -> None:
  """Checks flags on how to read the source, if that is a data directory.

  Args:
    source: the value of --source.
    held_out: fraction of the rows to hold out; None if not given.
    reading: arguments of `prepare` that are set.

  Raises:
    UserError: for a flag that only `prepare` uses.
  """
  if not is_prepared(source):
    return
  for name, value in reading.items():
    if value:
      raise UserError(
        f"--{name}: {source} is a data directory, whose rows are already "
        "read; leave this out, or run nomic-jax prepare with it"
      )
  if held_out is not None and "test" in dataset.splits(source):
    raise UserError(
      f"--held_out={held_out:g}: {source} is a data directory with held-out "
      "rows; leave this out, or run nomic-jax prepare with it"
    )


def is_prepared(source: str) -> bool:
  """Returns whether a source is a data directory."""
  return os.path.isfile(os.path.join(source, "dataset_info.json"))


def check_negatives(objective: Objective, negatives: int | None) -> None:
  """Raises UserError for hard negatives that the objective does not use."""
  if negatives and not objective.mines:
    raise UserError(
      f"--negatives={negatives}: rows of the kind {objective.kind} are trained "
      "without hard negatives; leave it out"
    )
