# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The files of configs/, which are part of the wheel.

A path that exists is used as it is. Otherwise, configs/NAME.py means the file
shipped with this nomic_jax: beside the package in a clone, or in
share/nomic_jax/configs if installed from a wheel.
"""

import functools
import importlib.metadata
import os
import pathlib

import nomic_jax

_FOLDER = "configs"
_INSTALLED = f"share/nomic_jax/{_FOLDER}"  # setup.cfg, options.data_files


def find(path: str | os.PathLike) -> pathlib.Path:
  """Returns the file at `path`, else the shipped one, else `path`."""
  path = pathlib.Path(path)
  if not path.exists() and path.parent == pathlib.Path(_FOLDER):
    return _shipped().get(path.name, path)
  return path


def paths() -> list[str]:
  """Returns the paths of the shipped files, valid in any folder."""
  return [f"{_FOLDER}/{name}" for name in _shipped()]


def folders() -> list[str]:
  """Returns the folder of the shipped files; [] if they are not installed."""
  return sorted({str(file.absolute().parent) for file in _shipped().values()})


@functools.cache
def _shipped() -> dict[str, pathlib.Path]:
  root = pathlib.Path(nomic_jax.__file__).parents[1]
  if (root / "setup.cfg").is_file():  # a clone, not site-packages
    files = (root / _FOLDER).glob("*.py")
  else:
    try:
      installed = importlib.metadata.files("nomic_jax") or []
    except importlib.metadata.PackageNotFoundError:
      installed = []
    files = [
      pathlib.Path(os.path.normpath(file.locate()))
      for file in installed
      if file.parent.as_posix().endswith(_INSTALLED)
    ]
  return {file.name: file for file in sorted(files) if file.suffix == ".py"}
