# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Parsing of arguments that is common to all jobs.

argparse handles a job's own flags. --config and --config.KEY are passed on to
`config_flags`, and any other remaining argument is an error.
"""

import argparse
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import functools
import io
import os
import sys
from typing import NoReturn
import warnings

from nomic_jax.errors import nearest
from nomic_jax.errors import one_of
from nomic_jax.errors import UserError
from nomic_jax.storage import places


class Parser(argparse.ArgumentParser):
  """Reports errors as a UserError of one line."""

  takes_config = False  # whether the job has --config
  run: Callable[..., None]  # the job

  @property
  def actions(self) -> Sequence[argparse.Action]:
    """The parser's actions."""
    return self._actions

  def error(self, message: str) -> NoReturn:
    """Raises UserError in place of exiting."""
    raise UserError(f"{message}. See {self.prog} --help")


class Formatter(argparse.ArgumentDefaultsHelpFormatter):
  """Adds the default of each flag, or that it is required, to its help."""

  def _get_help_string(self, action: argparse.Action) -> str:
    if not action.option_strings and action.nargs == "*":
      return action.help or ""
    if action.required:
      return f"{action.help} (required)"
    if action.default in (None, []):
      told = "default" in (action.help or "")  # what happens without the flag
      return f"{action.help}{'' if told else ' (default: none)'}"
    return super()._get_help_string(action) or ""


def replace_unencodable() -> None:
  """Prints "?" for characters that the output's encoding lacks.

  Otherwise a file name or a dash in the output could crash a finished job.
  """
  for stream in (sys.stdout, sys.stderr):
    if isinstance(stream, io.TextIOWrapper):
      stream.reconfigure(errors="replace")


@functools.cache
def enable_compilation_cache() -> None:
  """Enables JAX's persistent compilation cache, in the user's cache folder."""
  import jax

  known = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]
  if known is None:
    base = os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache"))
    jax.config.update(
      "jax_compilation_cache_dir", os.path.join(base, "nomic_jax", "xla")
    )
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


@contextlib.contextmanager
def one_line_warnings() -> Iterator[None]:
  """Shows a UserWarning without its position in the code."""
  usual = warnings.formatwarning

  def formatted(message, category, *place):
    if category is UserWarning:
      return f"nomic-jax: warning: {message}\n"
    return usual(message, category, *place)

  warnings.formatwarning = formatted
  try:
    yield
  finally:
    warnings.formatwarning = usual


def check_flags(argv: Sequence[str], jobs: dict[str, Parser]) -> None:
  """Raises UserError for an unknown job or flag and suggests the nearest."""
  if not argv or argv[0].startswith("-"):
    return
  one_of(argv[0], jobs, f"no job '{argv[0]}'")
  job = jobs[argv[0]]
  known = [flag for action in job.actions for flag in action.option_strings]
  for argument in argv[1:]:
    flag = argument.split("=")[0]
    configures = flag == "--config" or flag.startswith("--config.")
    if (
      not flag.startswith("--")
      or flag in known
      or (configures and job.takes_config)
    ):
      continue
    raise UserError(
      f"{flag}: {argv[0]} has no such flag.{nearest(flag, known)} See "
      f"nomic-jax {argv[0]} --help"
    )


def check_rest(arguments: Sequence[str], job: str) -> None:
  """Raises UserError for a remaining argument other than --config."""
  for argument in arguments:
    if not argument.startswith("--config"):
      raise UserError(
        f"{argument}: {job} takes no such argument. See nomic-jax {job} --help"
      )


def join_values(arguments: list[str]) -> list[str]:
  """Rewrites --config X as --config=X and expands ~ in paths."""
  whole: list[str] = []
  for a in arguments:
    if whole and whole[-1].startswith("--config") and "=" not in whole[-1]:
      whole[-1] += "=" + a
    else:
      whole.append(a)
  return [places.expanded(a) if a.startswith("--config=") else a for a in whole]


def add_config_help(
  parser: argparse.ArgumentParser, text: str, file: bool = True
) -> None:
  """Documents --config in the help, though `config_flags` parses it.

  Args:
    parser: the parser of the job.
    text: the help of the job's parameter.
    file: whether the job accepts a config file, or only its fields.
  """
  flags = {"--config.KEY=VALUE": "sets one field, such as config.optimizer.b2"}
  if file:
    flags = {"--config=FILE.py[:ARG]": text} | flags
  else:
    flags["--config.KEY=VALUE"] = text
  group = parser.add_argument_group("config")
  for flag, shown in flags.items():
    group.add_argument(
      flag, dest="_", metavar="", default=argparse.SUPPRESS, help=shown
    )
