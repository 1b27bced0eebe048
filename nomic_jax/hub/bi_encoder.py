# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Training checkpoints of contrastors: a trunk inside a BiEncoder.

Their config.json describes how vectors are made and only names the model whose
architecture the trunk has, so that model's config.json is needed too.
"""

import pathlib
from typing import Any

import numpy as np

from nomic_jax.errors import one_of
from nomic_jax.errors import UserError
from nomic_jax.model.head import Head
from nomic_jax.model.pooling import POOLINGS
from nomic_jax.storage.keys import Keys
from nomic_jax.storage.keys import read_json
from nomic_jax.storage.values import Json
from nomic_jax.storage.values import JsonObject

TRUNK = "trunk_config.json"


def is_one(values: Json) -> bool:
  """Returns whether a config.json is a BiEncoder's, without an architecture."""
  return (
    isinstance(values, dict)
    and "model_name" in values
    and not (values.keys() & {"n_embd", "hidden_size"})
  )


def trunk_config(
  directory: pathlib.Path, values: JsonObject
) -> tuple[Any, pathlib.Path]:
  """Returns the trunk's config.json and its path.

  That is trunk_config.json in the directory, or the config.json of the model
  that `values` names: a directory, or a Hub model, cached or online.

  Raises:
    UserError: if neither is found.
  """
  keys = Keys(values, str(directory / "config.json"))
  name = keys.get("model_name", str)
  for path in (directory / TRUNK, pathlib.Path(name) / "config.json"):
    if path.is_file():
      return read_json(path), path
  import huggingface_hub

  try:
    path = pathlib.Path(huggingface_hub.hf_hub_download(name, "config.json"))
  except (OSError, ValueError) as e:  # includes the Hub's own errors
    raise UserError(
      f"{keys.where}: a contrastors training checkpoint with the architecture "
      f"of '{name}', which was not found; save that model's config.json beside "
      f"this file as {TRUNK}"
    ) from e
  return read_json(path), path


def head(
  directory: pathlib.Path, values: JsonObject, width: int, tensors: JsonObject
) -> tuple[Head, JsonObject]:
  """Returns the head and its parameters.

  Args:
    directory: the directory of the checkpoint.
    values: the values of its config.json.
    width: the width of the trunk.
    tensors: the tensors of its file; removes those of the projection.

  Raises:
    UserError: for an unsupported pooling.
  """
  keys = Keys(values, str(directory / "config.json"))
  pooling = keys.get("pooling", str, "last")  # contrastors' default
  one_of(
    pooling, POOLINGS, f"{keys.where}: pooling '{pooling}' is not supported"
  )
  tensors_of = {
    leaf: tensors.pop(f"proj.{name}")
    for leaf, name in (("kernel", "weight"), ("bias", "bias"))
    if f"proj.{name}" in tensors
  }
  projection = tensors_of["kernel"].shape[0] if "kernel" in tensors_of else 0
  made = Head(pooling).simple(
    width, keys.get("hamming", bool, False), projection
  )
  return made, {
    "projection": {
      name: np.asarray(x, np.float32).T for name, x in tensors_of.items()
    }
  } if projection else {}
