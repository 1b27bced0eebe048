# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""`nomic-jax compile`."""

from nomic_jax.cli.flags import ConfigFlags
from nomic_jax.cli.flags import Path


def compile(
  *,
  topology: str,
  num_slices: int = 1,
  output: Path | None = None,
  config: ConfigFlags,
) -> None:
  """Reports memory and time of a training run on hardware not attached here.

  Args:
    topology: devices to compile for: a TPU slice, such as v5e:16x16 (v5e-256 in
      Google Cloud), or GPUs, such as h100:8
    num_slices: number of such slices
    output: .json file to write the report to
    config: config file, optionally followed by :ARG, which is passed to its
      get_config; for example configs/mlm.py:quickstart
  """
  from nomic_jax.aot import check
  from nomic_jax.cli import config_flags

  check.check(config_flags.load(config), topology, num_slices, output)
