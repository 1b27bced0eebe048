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
    workdir: folder of the points' work directories
    list: only print the points
    commands: only print a training for each point, after LAUNCH, such as
      'sbatch launch/slurm.sbatch' or 'NAME=point-{n} bash launch/tpu_pod.sh
      babysit'
    parallel: points to train at a time, each in a process with a .log beside
      its work directory
    metric: of metrics.jsonl, to compare the points by, in a table and, with
      matplotlib installed, in WORKDIR/sweep.png
    median: a key that varies, such as seed: one line for points that differ in
      it alone, with their median
    config: get_config(ARG) of this file, such as configs/mlm.py:quickstart
  """
  from nomic_jax import sweep as points
  from nomic_jax.cli import config_flags

  config_flags.load(config)  # a mistake in it ends the job before it starts
  points.sweep(
    config,
    workdir,
    only_list=list,
    commands=commands,
    parallel=parallel,
    metric=metric,
    median=median or "",
  )
