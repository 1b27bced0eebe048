# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Imports config files: Python files with get_config and perhaps sweep."""

from collections.abc import Iterator
import contextlib
import importlib.util
import os
import pathlib
import sys
import traceback
from types import ModuleType

import ml_collections

from nomic_jax.cli import shipped_configs
from nomic_jax.errors import nearest
from nomic_jax.errors import UserError


def load(path: str, arg: str) -> ml_collections.ConfigDict:
  """Returns the config that a file's get_config makes from `arg`, if any.

  Raises:
    UserError: for a missing file, or an error in it, with its position.
  """
  try:
    config = module(path).get_config(arg or None)
  except ValueError as e:
    raise UserError(str(e)) from e
  except UserError:
    raise
  except Exception as e:
    raise error_in(e, path) from e
  if not isinstance(config, ml_collections.ConfigDict):
    raise UserError(
      f"--config: {path}: get_config returned a {type(config).__name__}; "
      "expected an ml_collections.ConfigDict"
    )
  return config


def module(path: str) -> ModuleType:
  """Imports a config file and the modules that it imports.

  Modules are found in its own folder, and in that of the shipped configs.

  Args:
    path: the path of the file. If configs/NAME.py does not exist, the shipped
      file is used; see `shipped_configs`.

  Raises:
    UserError: if there is no such file, or it is not a config.
  """
  file = shipped_configs.find(path)
  if not file.is_file():
    there = [str(f) for f in sorted(file.parent.glob("*.py"))]
    raise UserError(
      f"--config: no file {path}; expected a Python file with get_config."
      f"{nearest(path, there + shipped_configs.paths())}"
    )
  if file != pathlib.Path(path):
    # Not on standard output, where `sweep` prints commands.
    print(f"config: {path} not found here; using {file}", file=sys.stderr)
  isolated = _importing_from(str(file.parent.absolute()))
  spec = importlib.util.spec_from_file_location(file.stem, file)
  if spec is None or spec.loader is None:
    raise UserError(f"--config={path}: expected a Python file, ending in .py")
  loaded = importlib.util.module_from_spec(spec)
  try:
    isolated(spec.loader.exec_module)(loaded)
  except SyntaxError as e:
    raise UserError(
      f"--config: {e.filename}, line {e.lineno}: {e.msg}; correct the file"
    ) from e
  except Exception as e:
    raise error_in(e, path) from e
  if not hasattr(loaded, "get_config"):
    raise UserError(f"--config: {path} has no function get_config(arg)")
  for name in ("get_config", "sweep"):  # these may also import
    if hasattr(loaded, name):
      setattr(loaded, name, isolated(getattr(loaded, name)))
  return loaded


@contextlib.contextmanager
def _importing_from(folder: str) -> Iterator[None]:
  """Puts `folder` on the path, then forgets the modules imported from it.

  The shipped configs come last, so a config file anywhere can import their
  `common`.

  Configs in another folder may import a different module of the same name,
  such as `common`. Folders that the config file adds to the path are handled
  likewise.
  """
  path, before = list(sys.path), set(sys.modules)
  sys.path[:] = [folder, *path, *shipped_configs.folders()]
  try:
    yield
  finally:
    added = {folder} | set(map(os.path.abspath, sys.path)) - set(
      map(os.path.abspath, path)
    )
    sys.path[:] = path
    fresh = [name for name in sys.modules if name not in before]
    local = {
      name
      for name in fresh
      if "." not in name and _home(sys.modules[name]) in added
    }
    for name in fresh:
      if name.partition(".")[0] in local:
        del sys.modules[name]


def _home(module: ModuleType) -> str:
  """Returns the folder from which a module or a package was imported."""
  paths = [*getattr(module, "__path__", ()), getattr(module, "__file__", "")]
  return os.path.dirname(os.path.abspath(paths[0])) if paths[0] else ""


def error_in(error: Exception, file: str) -> UserError:
  """Returns a UserError with the position in a config file that raised."""
  folder = shipped_configs.find(file).absolute().parent
  frames = [
    f
    for f in traceback.extract_tb(error.__traceback__)
    if pathlib.Path(f.filename).absolute().parent == folder
  ]
  where = f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else file
  text = str(error).strip().partition("\n")[0]
  return UserError(
    f"--config: {where}: {type(error).__name__}: {text}; correct the file"
  )
