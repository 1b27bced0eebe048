# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""`nomic-jax plot`."""

from collections.abc import Sequence
from typing import Annotated

from nomic_jax.cli.flags import Flag
from nomic_jax.cli.flags import Path


def plot(
  workdirs: Annotated[Sequence[Path], Flag("WORKDIR")],
  *,
  output: Path,
  metric: Sequence[str] = (),
) -> None:
  """Plots the curves of several training runs in one PNG.

  Args:
    workdirs: [NAME=]DIR of a training run, local, gs:// or s3://
    output: .png file to write
    metric: name of a metric in metrics.jsonl; repeatable; default: common ones
  """
  from nomic_jax.report import plot as curves

  curves.plot(workdirs, output, metric)
