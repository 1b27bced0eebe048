# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""`nomic-jax verify`."""

from typing import Annotated

from nomic_jax.cli.flags import Flag
from nomic_jax.cli.flags import Path


def verify(directory: Annotated[Path, Flag("DIR")]) -> None:
  """Compares the recorded data, config and versions with the current ones.

  Args:
    directory: work, model or data directory with a reproduce.json; the
      directories it was made from are compared too, recursively
  """
  from nomic_jax.run import verify

  verify.verify(directory)
