# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Writes sentence-transformers' modules.json and the modules' folders."""

from collections.abc import Mapping
import json
import pathlib

import numpy as np
import safetensors.numpy

from nomic_jax.errors import UserError
from nomic_jax.hub import modules
from nomic_jax.hub.weights import WEIGHTS
from nomic_jax.model.head import Head
from nomic_jax.model.head import Module
from nomic_jax.storage.values import Json

_WRITTEN = modules.OWN + "models."


def write(
  directory: pathlib.Path,
  head: Head,
  width: int,
  params: Mapping[str, modules.Params],
  normalize: bool,
) -> None:
  """Writes modules.json, and each module's folder.

  Args:
    directory: the directory of the model.
    head: what follows the encoder; a LayerNorm without parameters is written
      with ones and zeros, which is equivalent.
    width: the width of the encoder.
    params: the parameters of the head's modules, by name.
    normalize: whether vectors have length 1.

  Raises:
    UserError: if there are modules but no pooling.
  """
  written: list[tuple[str, dict, dict]] = [("Transformer", {}, {})]
  if head.pooling not in (*modules.SUPPORTED, "none"):
    raise UserError(
      f"config.encoder.pooling: sentence-transformers has no '{head.pooling}'; "
      f"expected one of {', '.join(modules.SUPPORTED)}"
    )
  if head.pooling != "none":
    modes = {
      key: ours == head.pooling for ours, (key, _) in modules.POOLING.items()
    }
    written.append(
      (
        "Pooling",
        {"word_embedding_dimension": width, **modes, "include_prompt": True},
        {},
      )
    )
  elif head.modules:
    raise UserError(
      "config.encoder: sentence-transformers has no norm or projection "
      "without pooling; choose a pooling"
    )
  for name, module in zip(head.names, head.modules, strict=True):
    tensors = {
      k: np.asarray(v, np.float32) for k, v in params.get(name, {}).items()
    }
    if module.kind == "dense":
      written.append(_dense(module, tensors))
    elif module.kind == "norm":
      written.append(
        (
          "LayerNorm",
          {"dimension": module.width},
          {
            "norm.weight": tensors.get(
              "scale", np.ones(module.width, np.float32)
            ),
            "norm.bias": tensors.get(
              "bias", np.zeros(module.width, np.float32)
            ),
          },
        )
      )
    else:
      written.append(("Normalize", {}, {}))
  if normalize and head.pooling != "none":
    written.append(("Normalize", {}, {}))
  _write(directory, written)


def _dense(module: Module, params: modules.Params) -> tuple[str, dict, dict]:
  kernel = params["kernel"]
  tensors = {"linear.weight": np.ascontiguousarray(kernel.T)} | (
    {"linear.bias": params["bias"]} if module.bias else {}
  )
  return (
    "Dense",
    {
      "in_features": kernel.shape[0],
      "out_features": module.width,
      "bias": module.bias,
      "activation_function": modules.ACTIVATIONS[module.activation],
    },
    tensors,
  )


def _write(
  directory: pathlib.Path, written: list[tuple[str, dict, dict]]
) -> None:
  listed = []
  for i, (kind, settings, tensors) in enumerate(written):
    path = f"{i}_{kind}" if i else ""  # the encoder is the directory itself
    folder = directory / path
    folder.mkdir(exist_ok=True)
    listed.append(
      {"idx": i, "name": str(i), "path": path, "type": _WRITTEN + kind}
    )
    if settings:
      dump(folder / "config.json", settings)
    if tensors:
      safetensors.numpy.save_file(
        tensors, folder / WEIGHTS, metadata={"format": "pt"}
      )
  dump(directory / modules.FILE, listed)


def dump(path: pathlib.Path, values: Json) -> None:
  """Writes a JSON file."""
  path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
