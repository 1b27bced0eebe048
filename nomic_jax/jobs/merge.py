# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""`nomic-jax merge`."""

import argparse
from collections.abc import Sequence
from typing import Annotated

from nomic_jax.cli.flags import Flag
from nomic_jax.cli.flags import Path


def _weights(text: str) -> list[float]:
  try:
    return [float(number) for number in text.split(",")]
  except ValueError:
    raise argparse.ArgumentTypeError(
      f"'{text}' is not a list of numbers such as 0.7,0.3"
    ) from None


def merge(
  models: Annotated[Sequence[Path], Flag("MODEL")],
  *,
  output: Path,
  weights: Annotated[Sequence[float], Flag("W,...", _weights)] = (),
  slerp: Annotated[float | None, Flag("SHARE")] = None,
) -> None:
  """Averages the weights of models of one architecture into a model directory.

  Args:
    models: model directories, work directories or Hub names, two or more, such
      as an adapted model and the model it started from
    output: model directory to write
    weights: share of each model, in their order, separated by commas; they sum
      to 1; default: equal shares
    slerp: merge two models by spherical interpolation of each tensor instead of
      averaging; 0 gives the first model, 1 the second
  """
  from nomic_jax.run import merge as merging

  merging.merge(models, output, weights, slerp)
