# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The commands: `nomic-jax NAME` is the function NAME of NAME.py in here.

A new command is such a file, and its name in NAMES. Parameters are flags, and
the docstring is their help; see `cli.flags`. Nothing heavy is imported before
a job runs, so that --help answers at once.
"""

import importlib

from nomic_jax.cli import command_line
from nomic_jax.cli import flags

# In the order of --help, that of the work.
NAMES = (
  "prepare",
  "tokenise",
  "train",
  "compile",
  "sweep",
  "plot",
  "clean",
  "filter",
  "mine",
  "teach",
  "export",
  "verify",
  "embed",
  "evaluate",
  "search",
  "report",
)


def parser() -> tuple[command_line.Parser, dict[str, command_line.Parser]]:
  """The whole command, and its jobs by name."""
  return flags.parser(
    [
      getattr(importlib.import_module(f"{__name__}.{name}"), name)
      for name in NAMES
    ]
  )
