# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Starts a run from fresh weights, a model, or a BERT converted to rotary."""

from collections.abc import Mapping
import dataclasses
import pathlib
from typing import Any
from typing import NamedTuple

import ml_collections

from nomic_jax import families
from nomic_jax.data import dataset
from nomic_jax.data import loader
from nomic_jax.data import teacher
from nomic_jax.errors import about
from nomic_jax.errors import options_of
from nomic_jax.errors import UserError
from nomic_jax.hub import long_context
from nomic_jax.hub import sentence_transformers
from nomic_jax.hub.model_directory import ModelFiles
from nomic_jax.model import selection
from nomic_jax.model.architecture import Architecture
from nomic_jax.model.usage import Usage
from nomic_jax.run import models
from nomic_jax.run import objective
from nomic_jax.run import work_directory
from nomic_jax.text import special_tokens
from nomic_jax.text import tokenizer as tokenizer_lib

# Fields of config.encoder that also apply to a loaded model, unless None.
_ROPE = {"rotary_base": "base", "rotary_factor": "factor"}
OWN = (
  "pooling",
  "pooled_norm",
  "projection",
  "max_length",
  *_ROPE,
  "rotary_base_local",
  "dropout",
  "head_dropout",
)


class Start(NamedTuple):
  """What a training run starts from."""

  architecture: Architecture
  tokenizer: pathlib.Path  # a tokenizer.json, or a folder with one
  params: dict | None  # None for fresh weights
  usage: Usage = Usage()  # of the trained model


def find_start(config: ml_collections.ConfigDict) -> Start:
  """Returns the encoder, tokenizer and weights that a training run starts from.

  With `config.init_from` they are those of a model or work directory. Without
  it, the tokenizer is the data's and the encoder `config.encoder`, with fresh
  weights.
  """
  if not config.data.path:
    raise UserError(
      "config.data.path is empty; set --config.data.path=DIR to a data "
      "directory made by nomic-jax prepare"
    )
  if config.get("init_as") and not config.init_from:
    raise UserError(
      f"config.init_as: '{config.init_as}' converts a loaded model; also set "
      "--config.init_from=DIR"
    )
  if config.init_from:
    return _loaded(config)
  folder = dataset.tokenizer_path(config.data.path)
  tokenizer = tokenizer_lib.load(folder)
  rows = special_tokens.vocabulary_rows(tokenizer)
  padded = -(-rows // 64) * 64  # as contrastors' pad_vocab_size_multiple
  pad = special_tokens.of(tokenizer).fill
  with about("config.encoder"):
    architecture = families.fresh(
      _with_projection(config, config.encoder.width)
      | {
        "vocab_size": padded,
        "pad_token_id": pad,
        "max_length": _longest(config),
      }
    )
  return Start(architecture, folder, None, work_directory.fresh_usage())


def _with_projection(
  config: ml_collections.ConfigDict, output_width: int
) -> dict[str, Any]:
  """Returns config.encoder, by default with a projection to a teacher's width.

  Args:
    config: the training config.
    output_width: the dimensions of a vector without that projection.
  """
  encoder = dict(config.encoder)
  folder = config.data.get("teacher")
  if folder and encoder.get("projection") is None:
    width = teacher.width(folder, config.data.split)
    if width not in (None, output_width):
      encoder["projection"] = width
  return encoder


def _longest(config: ml_collections.ConfigDict) -> int:
  """Returns max_length of a new encoder; default: the data's lengths."""
  return config.encoder.get("max_length") or max(
    loader.text_lengths(config.data).values()
  )


def merged(fresh: dict, loaded: dict, path: str = "params") -> dict:
  """Returns the tree `fresh` with the leaves that `loaded` also has.

  Other leaves of `loaded`, such as the head of another objective, are ignored.

  Raises:
    UserError: naming an array with a different shape.
  """
  tree = dict(fresh)
  for name in (name for name in fresh if name in loaded):
    old, new, where = fresh[name], loaded[name], f"{path}/{name}"
    if isinstance(old, dict):
      tree[name] = merged(old, new, where)
    elif old.shape == new.shape:
      tree[name] = new
    else:
      raise UserError(
        f"config.init_from: {where} has shape {list(new.shape)} there but "
        f"{list(old.shape)} in this config; set the sizes of the model"
      )
  return tree


def _loaded(config: ml_collections.ConfigDict) -> Start:
  """Loads the model of `config.init_from` and applies the config's changes."""
  model = models.read_model(config.init_from)
  # Other losses do not pool; a classifier reads the first token.
  if (
    not model.says_pooling
    and config.encoder.get("pooling") is None
    and not objective.predicts_labels(config)
    and objective.similarity(config, model.architecture)
  ):
    sentence_transformers.warn_of_pooling(config.init_from)
  if config.get("init_as"):
    model = _converted(config, model)
  # Only a classifier uses a pooler, and trains it further.
  encoder = dict(model.params)
  params = {"encoder": encoder}
  pooler = encoder.pop("pooler", None)
  if pooler and model.architecture.classifier.pooler:
    params["classification_head"] = {"pooler": pooler}
  heads = {
    "mlm_head": model.mlm_head,
    "classification_head": model.classification_head,
  }
  params |= {name: head for name, head in heads.items() if head is not None}
  if (mlm := model.mlm_head) and model.architecture.classifier.mlm_head:
    own = {"pooler": mlm["transform"], "norm": mlm["norm"]}
    params.setdefault("classification_head", own)
  _fit_classifier(config, params.get("classification_head", {}))
  a = model.architecture
  a = _changed(a, _with_projection(config, a.output_width))
  own = a.max_length == model.architecture.max_length
  usage = dataclasses.replace(
    model.usage,
    max_tokens=min(
      own and model.usage.max_tokens or a.max_length, a.max_length
    ),
  )
  return Start(a, model.tokenizer_path, params, usage)


def _changed(a: Architecture, config: Mapping[str, Any]) -> Architecture:
  """Returns a loaded model's architecture with OWN fields of config.encoder."""
  chosen = {k: config[k] for k in OWN if config.get(k) is not None}
  head = dataclasses.replace(
    a.head, pooling=chosen.get("pooling", a.head.pooling)
  )
  fields = ["dropout", "head_dropout"]
  if "rotary_base_local" in chosen:
    if not any(x.window and x.rope for x in a.attentions):
      raise UserError(
        "config.encoder.rotary_base_local: the model of config.init_from has "
        "no rotary layers with a window; leave it out"
      )
    a = a.with_rope(local=True, base=chosen["rotary_base_local"])
  if a.rotary:
    rope: dict[str, Any] = {
      ours: chosen[k] or None for k, ours in _ROPE.items() if k in chosen
    }
    a = a.with_rope(**rope)
    fields.append("max_length")
  with options_of("config.encoder"):
    head = head.simple(
      a.width, chosen.get("pooled_norm"), chosen.get("projection")
    )
  return dataclasses.replace(
    a, pooler=False, head=head, **{k: chosen[k] for k in fields if k in chosen}
  )


def _fit_classifier(config: ml_collections.ConfigDict, head: dict) -> None:
  """Drops a classifier with other labels, such as MNLI's for RTE."""
  if "classifier" not in head:
    return
  stored, wanted = head["classifier"]["bias"].size, config.loss.get("labels")
  if wanted is None and objective.predicts_labels(config):
    config = config.copy_and_resolve_references()
    objective.with_classes(config, Usage())
    wanted = config.loss.labels
  if wanted not in (None, stored):
    del head["classifier"]
    print(
      f"config.init_from: its classifier has {stored} labels and "
      f"config.loss {wanted}, so a new one replaces it"
    )


def _converted(
  config: ml_collections.ConfigDict, model: ModelFiles
) -> ModelFiles:
  """Returns the loaded model converted as `config.init_as` specifies."""
  if config.init_as == "selection":
    sizes = {k: config.encoder[k] for k in selection.SIZES}
    with options_of("config.encoder"):
      smaller, params = selection.select(
        model.architecture, model.params, **sizes
      )
    return model._replace(
      architecture=smaller,
      params=params,
      mlm_head=None,
      classification_head=None,
    )
  if config.init_as != "rotary":
    raise UserError(
      f"config.init_as: '{config.init_as}' is unknown; expected 'rotary', "
      "which converts a BERT to a long-context model, 'selection', which makes "
      "a smaller encoder from it, or an empty value"
    )
  return long_context.from_bert(
    model,
    **{
      k: v
      for k, v in config.encoder.items()
      if k in long_context.FIELDS and v is not None
    }
    | {"max_length": _longest(config)},
  )
