# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Reads sentence-transformers' modules.json: what follows the encoder.

The modules are listed in order. Each has a folder with its settings and perhaps
its tensors. A module, an order or a setting that is not supported is an error
that names it; otherwise vectors would differ silently.
"""

from collections.abc import Collection
from collections.abc import Mapping
import pathlib

import numpy as np
import safetensors
import safetensors.numpy

from nomic_jax.errors import UserError
from nomic_jax.hub.weights import WEIGHTS
from nomic_jax.model.head import Head
from nomic_jax.model.head import Module
from nomic_jax.model.pooling import POOLINGS
from nomic_jax.storage.keys import ANY
from nomic_jax.storage.keys import Keys
from nomic_jax.storage.keys import read_json
from nomic_jax.storage.values import Json

# Parameters of a module in our tree, such as kernel and bias.
Params = dict[str, np.ndarray]

FILE = "modules.json"
# Our name -> the boolean key in sentence-transformers' 1_Pooling/config.json,
# and the name in newer versions.
POOLING = {
  "cls": ("pooling_mode_cls_token", "cls"),
  "max": ("pooling_mode_max_tokens", "max"),
  "mean": ("pooling_mode_mean_tokens", "mean"),
  "sqrt": ("pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens"),
  "weighted": ("pooling_mode_weightedmean_tokens", "weightedmean"),
  "last": ("pooling_mode_lasttoken", "lasttoken"),
}
SUPPORTED = tuple(p for p in POOLINGS if p in POOLING)
OWN = "sentence_transformers."
TORCH = "torch.nn.modules."
# Our name -> PyTorch's.
ACTIVATIONS = {
  "identity": TORCH + "linear.Identity",
  "tanh": TORCH + "activation.Tanh",
  "relu": TORCH + "activation.ReLU",
  "gelu": TORCH + "activation.GELU",
  "sigmoid": TORCH + "activation.Sigmoid",
  "silu": TORCH + "activation.SiLU",
}
# The features a module reads and writes; with other values, a module would not
# act on the pooled vector.
_VECTOR = {
  "module_input_name": (None, "sentence_embedding"),
  "module_output_name": (None, "sentence_embedding"),
}
_POOLING_KEYS = {
  "word_embedding_dimension": ANY,
  "embedding_dimension": ANY,
  "pooling_mode": ANY,
  "include_prompt": ANY,
  **{key: ANY for key, _ in POOLING.values()},
}
_DENSE_KEYS = {
  "in_features": ANY,
  "out_features": ANY,
  "bias": ANY,
  "activation_function": ANY,
  "use_residual": ANY,
  **_VECTOR,
}


def read(
  directory: pathlib.Path, width: int
) -> tuple[Head, dict[str, Params], bool]:
  """Reads modules.json and the folders that it names.

  Args:
    directory: the directory of the model.
    width: the width of the encoder.

  Returns:
    The head, the parameters of its modules, and whether vectors are normalized
    at the end.

  Raises:
    UserError: for an unsupported module, order or setting.
  """
  listed = _listed(directory / FILE)[1:]
  pooling = "none"
  if listed and listed[0][0] == "Pooling":
    pooling = _read_pooling(listed.pop(0)[1], width)
  elif listed:
    raise UserError(
      f"{directory / FILE}: module '{listed[0][0]}' right after the "
      "Transformer is not supported; expected Pooling there"
    )
  modules: list[tuple[Module, Params]] = []
  for kind, folder in listed:
    if kind == "Dense":
      modules.append(_read_dense(folder, width))
    elif kind == "LayerNorm":
      modules.append(_read_norm(folder, width))
    elif kind == "Normalize":
      _check_settings(folder, _VECTOR)
      modules.append((Module("normalize", width), {}))
    else:
      raise UserError(
        f"{directory / FILE}: a second {kind} is not supported; expected only "
        "LayerNorm, Dense and Normalize after the first"
      )
    width = modules[-1][0].width
  normalize = False
  while modules and modules[-1][0].kind == "normalize":
    normalize = True
    modules.pop()
  if (
    modules and modules[0][0].kind == "norm" and _changes_nothing(modules[0][1])
  ):
    modules[0] = Module("norm", modules[0][0].width, affine=False), {}
  head = Head(pooling, tuple(module for module, _ in modules))
  return (
    head,
    {
      name: params
      for name, (_, params) in zip(head.names, modules, strict=True)
      if params
    },
    normalize,
  )


def _changes_nothing(norm: Params) -> bool:
  """Returns whether a LayerNorm has scale 1 and bias 0."""
  return not (norm["scale"] - 1).any() and not norm["bias"].any()


def folders(directory: pathlib.Path) -> list[str]:
  """Returns the folders beside the encoder that modules.json names."""
  paths = [folder for _, folder in _listed(directory / FILE)]
  return [str(f.relative_to(directory)) for f in paths if f != directory]


def _listed(path: pathlib.Path) -> list[tuple[str, pathlib.Path]]:
  """Returns (kind, folder) of every module; the first is the encoder."""
  listed = read_json(path)
  if not isinstance(listed, list):
    raise UserError(f"{path}: expected a JSON array of modules")
  result = []
  for module in listed:
    keys = Keys(module, str(path))
    keys.only(
      {"idx": ANY, "name": ANY, "path": ANY, "type": ANY, "kwargs": (None, [])}
    )
    kind = keys.get("type", str)
    short = kind.rpartition(".")[2]
    if not kind.startswith(OWN) or short not in (
      "Transformer",
      "Pooling",
      "LayerNorm",
      "Dense",
      "Normalize",
      "Dropout",
    ):
      raise UserError(
        f"{path}: module '{short}' is not supported ({kind}); expected "
        f"Transformer, Pooling, LayerNorm, Dense and Normalize of {OWN[:-1]}"
      )
    location = keys.get("path", str)
    if pathlib.PurePath(location).is_absolute() or ".." in location.split("/"):
      raise UserError(
        f"{path}: path '{location}'; expected a folder beside the file"
      )
    result.append((short, path.parent / location))
  names = [module.get("name") for module in listed]
  if len(set(names)) < len(names):
    raise UserError(
      f"{path}: two modules have the same name; expected different names"
    )
  where = [i for i, (kind, _) in enumerate(result) if kind == "Transformer"]
  if where != [0] or result[0][1] != path.parent:
    raise UserError(
      f"{path}: expected one Transformer, first and with the path '', so that "
      "the encoder's files are beside this file"
    )
  return [f for f in result if f[0] != "Dropout"]  # inactive when embedding


def _read_pooling(folder: pathlib.Path, width: int) -> str:
  keys = _check_settings(folder, _POOLING_KEYS)
  if "pooling_mode" in keys:
    given = keys.any("pooling_mode")
    names = given if isinstance(given, list) else [given]
  else:  # older files; without any mode, the mean
    names = [
      new for old, new in POOLING.values() if keys.get(old, bool, False)
    ] or ["mean"]
  ours = {new: name for name, (_, new) in POOLING.items()}
  chosen = [ours.get(str(name), str(name)) for name in names]
  if len(chosen) != 1 or chosen[0] not in SUPPORTED:
    raise UserError(
      f"{keys.where}: pooling by {' and '.join(chosen) or 'no mode'} "
      f"is not supported; expected exactly one of {', '.join(SUPPORTED)}"
    )
  if not keys.get("include_prompt", bool, True):
    raise UserError(
      f"{keys.where}: include_prompt=false is not supported; expected true, "
      "which pools a prompt with its text"
    )
  for key in ("word_embedding_dimension", "embedding_dimension"):
    if keys.get(key, int, width) != width:
      raise UserError(
        f"{keys.where}: {key} is {keys.get(key, int)}, but the encoder has "
        f"width {width}; copy the model again"
      )
  return chosen[0]


def _read_norm(folder: pathlib.Path, width: int) -> tuple[Module, Params]:
  _check_settings(folder, {"dimension": ANY})
  tensors = _tensors(folder, {"norm.weight": (width,), "norm.bias": (width,)})
  return Module("norm", width), {
    "scale": tensors["weight"],
    "bias": tensors["bias"],
  }


def _read_dense(folder: pathlib.Path, width: int) -> tuple[Module, Params]:
  keys = _check_settings(folder, _DENSE_KEYS)
  activation = keys.get("activation_function", str, ACTIVATIONS["tanh"])
  ours = [
    name
    for name, theirs in ACTIVATIONS.items()
    if theirs.rpartition(".")[2] == activation.rpartition(".")[2]
  ]
  if not ours or not activation.startswith("torch.nn."):
    raise UserError(
      f"{keys.where}: activation_function '{activation}' is not supported; "
      f"expected one of {', '.join(ACTIVATIONS.values())}"
    )
  if keys.get("use_residual", bool, False):
    raise UserError(f"{keys.where}: use_residual=true is not supported")
  if keys.get("in_features", int, width) != width:
    raise UserError(
      f"{keys.where}: in_features is {keys.get('in_features', int)}, but the "
      f"module before it has width {width}; copy the model again"
    )
  out = keys.get("out_features", int)
  bias = keys.get("bias", bool, True)
  shapes = {"linear.weight": (out, width)} | (
    {"linear.bias": (out,)} if bias else {}
  )
  tensors = _tensors(folder, shapes)
  params = {"kernel": np.ascontiguousarray(tensors.pop("weight").T)}
  return Module("dense", out, bias, ours[0]), params | tensors


def _check_settings(
  folder: pathlib.Path, known: Mapping[str, Collection[Json] | None]
) -> Keys:
  """Reads and checks a module's config.json, which may be absent."""
  path = folder / "config.json"
  values = read_json(path) if path.is_file() or known is not _VECTOR else {}
  keys = Keys(values, str(path))
  keys.only(known)
  return keys


def _tensors(
  folder: pathlib.Path, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, np.ndarray]:
  """Returns a module's tensors in float32, by the last part of their names."""
  path = folder / WEIGHTS
  try:
    loaded = safetensors.numpy.load_file(path)
  except (OSError, safetensors.SafetensorError) as e:
    raise UserError(f"cannot read {path}: {e}") from e
  actual = {name: x.shape for name, x in loaded.items()}
  if actual != dict(shapes):
    raise UserError(
      f"{path}: holds {actual}, expected {dict(shapes)}; copy the model again"
    )
  return {
    name.rpartition(".")[2]: x.astype(np.float32) for name, x in loaded.items()
  }
