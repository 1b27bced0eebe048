# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""`nomic-jax sweep`."""

from typing import Annotated

from nomic_jax.cli.flags import ConfigFlags
from nomic_jax.cli.flags import Flag
from nomic_jax.cli.flags import Path


def sweep(
  *,
  workdir: Path,
  list: bool = False,
  commands: Annotated[str | None, Flag("LAUNCH", bare="")] = None,
  parallel: int = 1,
  metric: str = "loss",
  median: str | None = None,
  config: ConfigFlags,
) -> None:
  """Trains a model for each point of a config's sweep and compares them.

  Args:
    workdir: folder for the points' work directories
    list: only print the points
    commands: only print a command for each point, prefixed by LAUNCH, such as
      'sbatch launch/slurm.sbatch' or 'NAME=point-{n} bash launch/tpu_pod.sh
      babysit'
    parallel: number of points to train at a time, each in a process with a .log
      beside its work directory
    metric: name of the metric in metrics.jsonl to compare points by, in a table
      and in WORKDIR/sweep.png
    median: key of a field, such as seed, to take medians over: points that
      differ only in it share a line of the table
    config: config file, optionally followed by :ARG, which is passed to its
      get_config; for example configs/mlm.py:quickstart
  """
  from nomic_jax import sweep as points
  from nomic_jax.cli import config_flags

  config_flags.load(config)  # reports errors before the job starts
  points.sweep(
    config,
    workdir,
    only_list=list,
    commands=commands,
    parallel=parallel,
    metric=metric,
    median=median or "",
  )
