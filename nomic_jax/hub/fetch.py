# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Locates a model by path, address or Hub name."""

import os
import pathlib

from nomic_jax.hub import modules
from nomic_jax.hub.weights import WEIGHTS
from nomic_jax.storage import hub_cache

# Files of a Hub model; modules.json names folders with further weights.
HUB_FILES = (
  "*.json",
  "*.txt",
  "README.md",
  WEIGHTS,
  "model-*.safetensors",
  "*LayerNorm/model.safetensors",
  "*Dense/model.safetensors",
)


def find(path: str | os.PathLike) -> pathlib.Path:
  """Returns the local folder of a model; see `hub_cache.find`.

  Every model path that a user specifies must go through this function.
  """
  return hub_cache.find(path, HUB_FILES, _of_modules)


def _of_modules(folder: pathlib.Path) -> list[str]:
  """Returns patterns of the files of the modules that modules.json lists."""
  if not (folder / modules.FILE).is_file():
    return []
  return [f"{name}/*" for name in modules.folders(folder)]
