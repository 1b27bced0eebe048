# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""What a training starts from: fresh weights, a model, or a BERT made rotary.
"""

import dataclasses
import pathlib
from typing import Any, NamedTuple

import ml_collections

from nomic_jax.data import dataset
from nomic_jax.data import special_tokens
from nomic_jax.data import tokenizer as tokenizer_lib
from nomic_jax.errors import UserError
from nomic_jax.model.config import EncoderConfig


class Start(NamedTuple):
  """What a training starts from."""

  config: EncoderConfig
  tokenizer: pathlib.Path  # a tokenizer.json, or a folder with one
  params: dict | None  # None: fresh


def find_start(config: ml_collections.ConfigDict) -> Start:
  """Encoder, tokenizer and weights that a training starts from.

  With `config.init_from` they are those of a model or work directory; without
  it the tokenizer is the data's and the encoder is `config.encoder`, fresh.
  """
  if not config.data.path:
    raise UserError(
        "config.data.path is empty; give --config.data.path=DIR, a data "
        "directory made by nomic-jax prepare"
    )
  if config.get("init_as") and not config.init_from:
    raise UserError(
        f"config.init_as: '{config.init_as}' says what becomes of a loaded "
        "model; give --config.init_from=DIR too"
    )
  if config.init_from:
    return _loaded(config)
  folder = dataset.tokenizer_path(config.data.path)
  tokenizer = tokenizer_lib.load(folder)
  rows = special_tokens.vocabulary_rows(tokenizer)
  padded = -(-rows // 64) * 64  # reference: pad_vocab_size_multiple
  pad = special_tokens.of(tokenizer).fill
  return Start(
      EncoderConfig(vocab_size=padded, pad_token_id=pad, **config.encoder),
      folder, None)


def merged(fresh: dict, loaded: dict, path: str = "params") -> dict:
  """The tree `fresh` with the leaves that `loaded` has in their place.

  What else is in `loaded`, such as a head of another objective, is left out.

  Raises:
    UserError: naming an array of another shape.
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
          f"config.init_from: {where} is {list(new.shape)} there and "
          f"{list(old.shape)} by this config; give it the model's sizes"
      )
  return tree


def _loaded(config: ml_collections.ConfigDict) -> Start:
  """The model of `config.init_from`, with what the config changes in it."""
  from nomic_jax.hub import model_directory  # reads torch's layouts

  model = model_directory.read_model(config.init_from)
  if config.get("init_as"):
    model = _converted(config, model)
  own = ("pooling", "pooled_norm", "projection")
  changes = {k: v for k, v in config.encoder.items() if k in own}
  changes["projection"] = (
      changes.get("projection") or model.config.projection)
  # A pooler is of use to a classifier alone, which trains it on.
  encoder = dict(model.params)
  params = {"encoder": encoder}
  if "pooler" in encoder:
    params["classification_head"] = {"pooler": encoder.pop("pooler")}
  for name in ("mlm_head", "classification_head"):
    if getattr(model, name) is not None:
      params[name] = getattr(model, name)
  _fit_classifier(config, params.get("classification_head", {}))
  architecture = dataclasses.replace(model.config, pooler=False, **changes)
  return Start(architecture, model.tokenizer_path, params)


def _fit_classifier(config: ml_collections.ConfigDict, head: dict) -> None:
  """Leaves out a classifier of other labels: from MNLI's to RTE's, say."""
  if "classifier" not in head:
    return
  there, wanted = head["classifier"]["bias"].size, config.loss.get("labels")
  if wanted not in (None, there):
    del head["classifier"]
    print(f"config.init_from: its classifier has {there} labels and "
          f"config.loss {wanted}, so a fresh one takes its place")


def _converted(config: ml_collections.ConfigDict, model: Any) -> Any:
  """The loaded model as `config.init_as` wants it."""
  from nomic_jax.hub import long_context

  if config.init_as != "rotary":
    raise UserError(
        f"config.init_as: '{config.init_as}' is unknown; expected 'rotary', "
        "which turns a BERT into a long-context model, or nothing"
    )
  return long_context.from_bert(model, **{
      k: v for k, v in config.encoder.items() if k in long_context.FIELDS
  })
