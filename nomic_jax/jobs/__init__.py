# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The commands: `nomic-jax NAME` is the function NAME in NAME.py here.

To add a command, add such a file and its name in NAMES. Parameters are flags
and the docstring is their help; see `cli.flags`. Heavy imports happen inside
the jobs, so --help is fast.
"""

from collections.abc import Callable
import functools
import importlib
import inspect
from typing import Any

from nomic_jax.cli import command_line
from nomic_jax.cli import flags
from nomic_jax.cli import functions
from nomic_jax.mesh import compiler_flags

# In the order of --help, which is that of the pipeline.
NAMES = (
  "adapt",
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
  "merge",
  "verify",
  "embed",
  "classify",
  "evaluate",
  "search",
  "report",
)


def function(name: str) -> Callable[..., Any]:
  """Returns the job as a Python function; see `cli.functions`."""
  return functions.function(_job(name))


def _job(name: str) -> Callable[..., Any]:
  job = getattr(importlib.import_module(f"{__name__}.{name}"), name)
  if "model" not in inspect.signature(job).parameters:
    return job

  @functools.wraps(job)
  def call(*args: Any, **kwargs: Any) -> Any:
    # The next job that uses the model need not compile the same programs again.
    command_line.enable_compilation_cache()
    compiler_flags.set_for_this_machine()
    return job(*args, **kwargs)

  return call


def parser() -> tuple[command_line.Parser, dict[str, command_line.Parser]]:
  """Returns the parser of the whole command, and its jobs by name."""
  return flags.parser([_job(name) for name in NAMES])
