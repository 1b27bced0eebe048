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


@dataclasses.dataclass(frozen=True)
class Wrapper:
  """What follows the encoder, by a directory's files."""

  pooling: str = "mean"
  pooled_norm: bool = False
  max_tokens: int | None = None
  prompts: Mapping[str, str] | None = None  # None: the files do not say


def write(
    directory: pathlib.Path, config: EncoderConfig,
    prompts: Mapping[str, str], max_tokens: int,
) -> None:
  """Writes the wrapper's files into a model directory.

  A pooled norm becomes a LayerNorm module of ones and zeros, which computes
  the same, so the vectors are the same in sentence-transformers.
  """
  modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
  if config.pooled_norm:
    modules.append(("2_LayerNorm", "LayerNorm"))
  modules.append((f"{len(modules)}_Normalize", "Normalize"))
  for path, _ in modules[1:]:
    (directory / path).mkdir()
  _dump(directory / "modules.json", [
      {"idx": i, "name": str(i), "path": path, "type": MODULES + kind}
      for i, (path, kind) in enumerate(modules)
  ])
  pooling = {"word_embedding_dimension": config.width}
  pooling |= {key: ours == config.pooling for ours, (key, _) in POOLING.items()}
  _dump(directory / "1_Pooling" / "config.json",
        pooling | {"include_prompt": True})
  if config.pooled_norm:
    norm = directory / "2_LayerNorm"
    _dump(norm / "config.json", {"dimension": config.width})
    safetensors.numpy.save_file(
        {"norm.weight": np.ones(config.width, np.float32),
         "norm.bias": np.zeros(config.width, np.float32)},
        norm / "model.safetensors", metadata={"format": "pt"},
    )
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
  for module in listed:
    keys = Keys(module, str(modules))
    place = directory / keys.get("path", str)
    kind = keys.get("type", str).rpartition(".")[2]
    if kind == "Pooling":
      wrapper = dataclasses.replace(wrapper, pooling=_read_pooling(place))
    elif kind == "LayerNorm":
      _check_plain_norm(place)
      wrapper = dataclasses.replace(wrapper, pooled_norm=True)
    elif kind not in ("Transformer", "Normalize"):
      raise UserError(
          f"{modules}: module '{kind}' is not supported; expected Transformer, "
          "Pooling, LayerNorm and Normalize"
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
  path = directory / "model.safetensors"
  try:
    tensors = safetensors.numpy.load_file(path)
  except (OSError, safetensors.SafetensorError) as e:
    raise UserError(f"cannot read {path}: {e}") from e
  if np.any(tensors.get("norm.weight") != 1) or np.any(
      tensors.get("norm.bias") != 0):
    raise UserError(
        f"{path}: a LayerNorm with weights of its own is not supported; "
        "expected ones and zeros"
    )


def _dump(path: pathlib.Path, values) -> None:
  path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
