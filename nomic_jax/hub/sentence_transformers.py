# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The files by which sentence-transformers knows what follows the encoder.

They say how to pool, whether to normalise, how long a text may be and which
prompts there are. What they ask for and this project does not do is an error:
vectors that differ without a word are worse.
"""

import dataclasses
import json
import pathlib
from typing import Mapping

import numpy as np
import safetensors
import safetensors.numpy

from nomic_jax.errors import UserError
from nomic_jax.hub.keys import Keys
from nomic_jax.hub.keys import read_json
from nomic_jax.hub.weights import WEIGHTS
from nomic_jax.model.config import EncoderConfig

# Other names of our prompts, as in nomic-embed-text-v2-moe: what encode_query
# and encode_document of sentence-transformers look for, and MTEB's task types.
ALIASES = {
    "query": "search_query",
    "document": "search_document",
    "passage": "search_document",
    "Classification": "classification",
    "MultilabelClassification": "classification",
    "PairClassification": "classification",
    "STS": "classification",
    "Summarization": "classification",
    "Clustering": "clustering",
    "Speed": "search_document",
}
# Ours: sentence-transformers' switch in 1_Pooling/config.json, and its newer
# single name.
POOLING = {
    "cls": ("pooling_mode_cls_token", "cls"),
    "max": ("pooling_mode_max_tokens", "max"),
    "mean": ("pooling_mode_mean_tokens", "mean"),
    "sqrt": ("pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens"),
    "weighted": ("pooling_mode_weightedmean_tokens", "weightedmean"),
    "last": ("pooling_mode_lasttoken", "lasttoken"),
}
SUPPORTED = ("mean", "cls", "last")
MODULES = "sentence_transformers.models."
IDENTITY = "torch.nn.modules.linear.Identity"


@dataclasses.dataclass(frozen=True)
class Wrapper:
  """What follows the encoder, by a directory's files."""

  pooling: str = "mean"
  pooled_norm: bool = False
  max_tokens: int | None = None
  prompts: Mapping[str, str] | None = None  # None: the files do not say
  projection: Mapping[str, np.ndarray] = dataclasses.field(
      default_factory=dict)  # of a Dense module, named as in contrastors


def write(
    directory: pathlib.Path, config: EncoderConfig,
    prompts: Mapping[str, str], max_tokens: int,
    projection: Mapping[str, np.ndarray],
) -> None:
  """Writes the wrapper's files into a model directory.

  A pooled norm becomes a LayerNorm module of ones and zeros and a projection
  (weight [out, in] and bias) a Dense module, which compute the same, so the
  vectors are the same in sentence-transformers.

  Raises:
    UserError: for a norm or projection of vectors that are not pooled.
  """
  width = config.width
  modules = [("Transformer", {}, {})]
  if config.pooling != "none":
    modes = {key: ours == config.pooling for ours, (key, _) in POOLING.items()}
    modules.append(("Pooling", {
        "word_embedding_dimension": width} | modes | {"include_prompt": True},
        {}))
  elif config.pooled_norm or projection:
    raise UserError(
        "config.encoder: sentence-transformers has no norm or projection "
        "without pooling; choose a pooling"
    )
  if config.pooled_norm:
    modules.append(("LayerNorm", {"dimension": width}, {
        "norm.weight": np.ones(width, np.float32),
        "norm.bias": np.zeros(width, np.float32)}))
  if projection:
    modules.append(("Dense", {
        "in_features": width, "out_features": config.projection, "bias": True,
        "activation_function": IDENTITY},
        {f"linear.{name}": values for name, values in projection.items()}))
  if config.pooling != "none":
    modules.append(("Normalize", {}, {}))
  _write_modules(directory, modules)
  _dump(directory / "sentence_bert_config.json",
        {"max_seq_length": max_tokens, "do_lower_case": False})
  _dump(directory / "config_sentence_transformers.json", {
      "prompts": with_aliases(prompts),
      "default_prompt_name": None,
      "similarity_fn_name": "cosine",
  })


def read(directory: pathlib.Path) -> Wrapper:
  """Reads the wrapper's files; without modules.json, the defaults.

  Raises:
    UserError: for a module, pooling or weights this project does not have.
  """
  lengths = directory / "sentence_bert_config.json"
  max_tokens = None
  if lengths.is_file():
    max_tokens = Keys(read_json(lengths), str(lengths)).get(
        "max_seq_length", int, None)
  wrapper = Wrapper(max_tokens=max_tokens, prompts=_read_prompts(directory))
  modules = directory / "modules.json"
  if not modules.is_file():
    return wrapper
  listed = read_json(modules)
  if not isinstance(listed, list):
    raise UserError(f"{modules}: expected a JSON array of modules")
  wrapper = dataclasses.replace(wrapper, pooling="none")
  for module in listed:
    keys = Keys(module, str(modules))
    place = directory / keys.get("path", str)
    kind = keys.get("type", str).rpartition(".")[2]
    if kind == "Pooling":
      wrapper = dataclasses.replace(wrapper, pooling=_read_pooling(place))
    elif kind == "LayerNorm":
      _check_plain_norm(place)
      wrapper = dataclasses.replace(wrapper, pooled_norm=True)
    elif kind == "Dense":
      wrapper = dataclasses.replace(wrapper, projection=_read_dense(place))
    elif kind not in ("Transformer", "Normalize"):
      raise UserError(
          f"{modules}: module '{kind}' is not supported; expected Transformer, "
          "Pooling, LayerNorm, Dense and Normalize"
      )
  return wrapper


def with_aliases(prompts: Mapping[str, str]) -> dict[str, str]:
  """The prompts under all their names, ours and sentence-transformers'."""
  named = dict(prompts)
  for alias, ours in ALIASES.items():
    if alias in prompts:
      named.setdefault(ours, prompts[alias])
    elif ours in prompts:
      named[alias] = prompts[ours]
  return named


def _write_modules(
    directory: pathlib.Path, modules: list[tuple[str, dict, dict]]
) -> None:
  """Writes modules.json, and each module's folder: settings and tensors."""
  listed = []
  for i, (kind, settings, tensors) in enumerate(modules):
    path = f"{i}_{kind}" if i else ""  # the encoder is the directory itself
    place = directory / path
    place.mkdir(exist_ok=True)
    listed.append(
        {"idx": i, "name": str(i), "path": path, "type": MODULES + kind})
    if settings:
      _dump(place / "config.json", settings)
    if tensors:
      safetensors.numpy.save_file(
          tensors, place / WEIGHTS, metadata={"format": "pt"})
  _dump(directory / "modules.json", listed)


def _read_prompts(directory: pathlib.Path) -> dict[str, str] | None:
  path = directory / "config_sentence_transformers.json"
  if not path.is_file():
    return None
  keys = Keys(read_json(path), str(path))
  prompts = keys.get("prompts", dict, None)
  if prompts is None:
    return None
  for name, text in prompts.items():
    if not isinstance(text, str):
      raise UserError(f"{path}: prompt '{name}' is {text!r}; expected a string")
  if default := keys.get("default_prompt_name", str, None):
    if prompts.get(default):
      raise UserError(
          f"{path}: default_prompt_name='{default}' is not supported, as a "
          "prompt is always asked for by name here; set it to null"
      )
  return with_aliases(prompts)


def _read_pooling(directory: pathlib.Path) -> str:
  path = directory / "config.json"
  keys = Keys(read_json(path), str(path))
  if "pooling_mode" in keys:
    name = keys.get("pooling_mode", str)
    chosen = [ours for ours, (_, new) in POOLING.items() if new == name]
  else:
    chosen = [
        ours for ours, (key, _) in POOLING.items()
        if keys.get(key, bool, False)
    ]
  if len(chosen) != 1 or chosen[0] not in SUPPORTED:
    raise UserError(
        f"{path}: pooling by {' and '.join(chosen) or 'an unknown mode'} is "
        f"not supported; expected exactly one of {', '.join(SUPPORTED)}"
    )
  if not keys.get("include_prompt", bool, True):
    raise UserError(
        f"{path}: include_prompt=false is not supported; expected prompts to "
        "be pooled with their text"
    )
  return chosen[0]


def _check_plain_norm(directory: pathlib.Path) -> None:
  path = directory / WEIGHTS
  tensors = _load(path)
  if np.any(tensors.get("norm.weight") != 1) or np.any(
      tensors.get("norm.bias") != 0):
    raise UserError(
        f"{path}: a LayerNorm with weights of its own is not supported; "
        "expected ones and zeros"
    )


def _read_dense(directory: pathlib.Path) -> dict[str, np.ndarray]:
  """A Dense module's weight and bias, under contrastors' names."""
  path = directory / "config.json"
  keys = Keys(read_json(path), str(path))
  activation = keys.get("activation_function", str, "torch.nn...Tanh")
  if activation.rpartition(".")[2] != "Identity":
    raise UserError(
        f"{path}: activation_function '{activation}' is not supported; "
        f"expected a linear layer alone, '{IDENTITY}'"
    )
  if keys.get("use_residual", bool, False):
    raise UserError(f"{path}: use_residual=true is not supported")
  path = directory / WEIGHTS
  tensors = _load(path)
  if "linear.weight" not in tensors:
    raise UserError(f"{path}: no 'linear.weight'; copy the model again")
  weight = tensors["linear.weight"]
  bias = tensors.get("linear.bias", np.zeros(len(weight), weight.dtype))
  return {"proj.weight": weight, "proj.bias": bias}


def _load(path: pathlib.Path) -> dict[str, np.ndarray]:
  try:
    return safetensors.numpy.load_file(path)
  except (OSError, safetensors.SafetensorError) as e:
    raise UserError(f"cannot read {path}: {e}") from e


def _dump(path: pathlib.Path, values) -> None:
  path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
