# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Directories given on the command line as PATH or NAME=PATH."""

from collections.abc import Sequence
import pathlib

from nomic_jax.errors import UserError
from nomic_jax.hub import fetch
from nomic_jax.storage import buckets
from nomic_jax.storage import hub_cache


def named_paths(
  specs: Sequence[str],
  flag: str,
  reserved: Sequence[str] = (),
  checkpoints: bool = True,
  hub: bool = False,
) -> dict[str, pathlib.Path]:
  """Reads "PATH" (named by its last part) and "NAME=PATH", in order.

  Args:
    specs: the values of a flag; directories in a bucket are copied.
    flag: its name, for error messages.
    reserved: names that must not be used.
    checkpoints: whether to copy a checkpoint from a bucket too.
    hub: whether Hub names are accepted.

  Returns:
    Local paths by name.

  Raises:
    UserError: if a path does not exist or a name is used twice.
  """
  paths = {}
  for spec in specs:
    name, equals, path = spec.partition("=")
    if not equals or "/" in name or pathlib.Path(spec).exists():
      path = spec
      name = pathlib.Path(spec).resolve().name
    if hub and hub_cache.is_hub_name(path):
      path = str(fetch.find(path))
    path = buckets.fetch(path, checkpoints)
    if not path or not pathlib.Path(path).exists():
      raise UserError(
        f"{flag}={spec}: no such directory; expected PATH or NAME=PATH"
      )
    if name in paths or name in reserved:
      raise UserError(
        f"{flag}={spec}: the name '{name}' is taken; choose another, as in "
        f"{flag}=NAME={spec.removeprefix(f'{name}=')}"
      )
    paths[name] = pathlib.Path(path)
  return paths
