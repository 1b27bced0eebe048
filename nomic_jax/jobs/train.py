# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""`nomic-jax train`."""

import functools
from typing import Annotated

from nomic_jax.cli.flags import ConfigFlags
from nomic_jax.cli.flags import Flag
from nomic_jax.cli.flags import Path


def train(
  *,
  config: ConfigFlags,
  workdir: Path,
  profile: Annotated[str | None, Flag("FIRST:LAST")] = None,
  distributed: bool = False,
) -> None:
  """Trains a model as a config specifies; resumes after an interruption.

  Args:
    workdir: folder, gs://BUCKET/PATH or s3://BUCKET/PATH for checkpoints and
      logs; the same command resumes there
    profile: steps to record under WORKDIR/profile, for xprof or Perfetto
    distributed: run as one of several processes that train together, started
      on each host of a pod, by Slurm, or by launch/local.sh
    config: config file, optionally followed by :ARG, which is passed to its
      get_config; for example configs/mlm.py:quickstart; default: the config
      recorded in WORKDIR
  """
  from nomic_jax import training
  from nomic_jax.cli import config_flags
  from nomic_jax.mesh import processes
  from nomic_jax.run import work_directory

  recorded = functools.partial(work_directory.recorded_config, workdir)
  chosen = config_flags.load(config, recorded)
  with processes.joined(distributed, saves=True):
    training.train(
      chosen,
      workdir,
      profile or "",
      extend=config_flags.sets(config, "steps")
      or config_flags.sets(config, "epochs"),
    )
