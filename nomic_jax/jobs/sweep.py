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
  """Trains every point of the sweep that a config defines.

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
    median: key that varies, such as seed; points that differ only in it become
      one line of the table, with their median
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
