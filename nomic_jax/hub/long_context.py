# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Converts a BERT to a rotary, long-context model for further training.

Rotary embeddings of queries and keys replace the position table, so length is
unlimited; all other weights are kept. The model has not learned to use rotary
positions: its vectors are useless until it has been trained, starting with
masked language modelling (Nomic Embed, section 3, does so from scratch).
"""

import dataclasses
from typing import Any

import numpy as np

from nomic_jax import families
from nomic_jax.errors import UserError
from nomic_jax.hub.model_directory import ModelFiles
from nomic_jax.model.architecture import Architecture
from nomic_jax.model.architecture import Classifier
from nomic_jax.model.architecture import Rope

MULTIPLE = 64  # of the vocabulary size, for efficient matrix products
# Keys of a config's encoder that set positions -> fields of Rope.
_ROPE = {
  "trained_length": "trained_length",
  "rotary_base": "base",
  "rotary_fraction": "fraction",
  "rotary_factor": "factor",
}
FIELDS = ("max_length", *_ROPE)


def from_bert(model: ModelFiles, **positions: Any) -> ModelFiles:
  """Returns the model with rotary positions and a padded vocabulary.

  Rows added to the vocabulary are zeros, with −100 in the decoder's bias, so
  they are never predicted.

  Args:
    model: with learned positions.
    **positions: any of FIELDS, overriding the defaults.

  Raises:
    UserError: if the model is already rotary, or no family's files can express
      the result.
  """
  a = model.architecture
  if any(attention.relative for attention in a.attentions):
    raise UserError(
      "config.init_as: 'rotary' cannot replace a relative attention bias, "
      f"which this {a.family} has; expected a model like BERT or RoBERTa"
    )
  if a.rotary:
    raise UserError(
      "config.init_as: 'rotary' converts a BERT to a rotary model, but this "
      "model is already rotary; leave init_as empty to train it as it is"
    )
  vocab_size = -(-a.vocab_size // MULTIPLE) * MULTIPLE
  new = vocab_size - a.vocab_size
  rope = Rope(
    **{
      ours: positions.pop(name)
      for name, ours in _ROPE.items()
      if name in positions
    }
  )
  params = {k: v for k, v in model.params.items() if k != "position"}
  table = params["word"]["embedding"]
  params["word"] = {"embedding": np.pad(table, ((0, new), (0, 0)))}
  head = model.mlm_head
  if head is not None and "bias" in head:
    bias = np.pad(head["bias"], (0, new), constant_values=-100.0)
    head = head | {"bias": bias}
  classifier = model.classification_head
  if a.classifier != Classifier():  # the result would have NomicBERT's
    classifier = None
  rotary = dataclasses.replace(
    a.each_layer(
      lambda layer: dataclasses.replace(
        layer, attention=dataclasses.replace(layer.attention, rope=rope)
      )
    ),
    vocab_size=vocab_size,
    max_length=positions.get("max_length", Architecture.max_length),
    embedding=dataclasses.replace(
      a.embedding, positions=0, first_position=0, skips_padding=False
    ),
    classifier=Classifier(),
  )
  families.of(rotary)  # raises if no family can express it
  return model._replace(
    architecture=rotary,
    params=params,
    mlm_head=head,
    classification_head=classifier,
    usage=dataclasses.replace(model.usage, max_tokens=None),
  )
