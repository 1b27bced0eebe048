# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""`nomic-jax verify`."""

from typing import Annotated

from nomic_jax.cli.flags import Flag
from nomic_jax.cli.flags import Path


def verify(directory: Annotated[Path, Flag("DIR")]) -> None:
  """Compares the recorded data, config and versions with those of now.

  Args:
    directory: work directory or exported model, with the reproduce.json that
      both have
  """
  from nomic_jax.run import manifest

  manifest.verify(directory)
