# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""`nomic-jax verify`."""

from typing import Annotated

from nomic_jax.cli.flags import Flag
from nomic_jax.cli.flags import Path


def verify(directory: Annotated[Path, Flag("DIR")]) -> None:
  """Compares the recorded data, config and versions with those of now.

  Args:
    directory: work, model or data directory, with the reproduce.json that
      each has; its inputs, and theirs, are compared too
  """
  from nomic_jax.run import verify

  verify.verify(directory)
