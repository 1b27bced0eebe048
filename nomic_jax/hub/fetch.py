# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Where a model lies, by a path, an address or a hub name."""

import os
import pathlib

from nomic_jax.hub import modules
from nomic_jax.hub.weights import WEIGHTS
from nomic_jax.storage import hub_cache

# Files of a hub model; modules.json names the folders with further weights.
HUB_FILES = (
  "*.json",
  "*.txt",
  WEIGHTS,
  "model-*.safetensors",
  "*LayerNorm/model.safetensors",
  "*Dense/model.safetensors",
)


def find(path: str | os.PathLike) -> pathlib.Path:
  """Returns the local folder of a model; see `hub_cache.find`.

  Every place where a model may be named goes through here.
  """
  return hub_cache.find(path, HUB_FILES, _of_modules)


def _of_modules(folder: pathlib.Path) -> list[str]:
  """Patterns of the files of the modules that modules.json lists."""
  if not (folder / modules.FILE).is_file():
    return []
  return [f"{name}/*" for name in modules.folders(folder)]
