# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""`nomic-jax export`."""

from nomic_jax.cli.flags import ConfigFlags
from nomic_jax.cli.flags import Path


def export(
    *,
    workdir: Path | None = None,
    step: str = "latest",
    output: Path,
    config: ConfigFlags = (),
) -> None:
  """Exports a training to a model directory that PyTorch opens.

  Args:
    workdir: of the training to export
    step: checkpoint to take: latest, a number, or best (by
      config.checkpoint.best)
    output: model directory to make
    config: get_config(ARG) of this file, such as configs/mlm.py:quickstart
      instead of --workdir, exports its untrained model
  """
  from nomic_jax.cli import config_flags
  from nomic_jax.run import export as exporting

  untrained = config_flags.load(config) if config else None
  exporting.export(workdir, output, untrained, step)
