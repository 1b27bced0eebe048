# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A BERT turned into a rotary, long-context model, to be trained on.

Its weights are kept but for the table of positions: rotary embeddings of the
queries and keys take its place, which no length ends. Nothing has taught the
model to read them yet, so its vectors are of no use until it has been trained,
by masked language modelling first (Nomic Embed, section 3, starts so too,
though from nothing).
"""

import dataclasses
from typing import Any

import numpy as np

from nomic_jax.errors import UserError
from nomic_jax.hub.model_directory import ModelFiles
from nomic_jax.model.architecture import Architecture
from nomic_jax.model.architecture import Rope

MULTIPLE = 64  # of the vocabulary; what matrix units divide best
# Keys of a config's encoder that say how positions are told -> of a Rope.
_ROPE = {
  "trained_length": "trained_length",
  "rotary_base": "base",
  "rotary_fraction": "fraction",
  "rotary_factor": "factor",
}
FIELDS = ("max_length", *_ROPE)


def from_bert(model: ModelFiles, **positions: Any) -> ModelFiles:
  """The model with rotary positions and a padded vocabulary.

  Rows added to the vocabulary are zeros, and −100 in the decoder's bias, so
  that no token is ever predicted to be one of them.

  Args:
    model: of a learned position table.
    **positions: any of FIELDS, in place of the defaults.

  Raises:
    UserError: if the model is rotary already.
  """
  a = model.architecture
  if a.rotary:
    raise UserError(
      "config.init_as: 'rotary' turns a BERT into a rotary model, and this "
      "one is rotary already; leave init_as empty to train it on as it is"
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
  return model._replace(
    architecture=dataclasses.replace(
      a.each_layer(
        lambda layer: dataclasses.replace(
          layer, attention=dataclasses.replace(layer.attention, rope=rope)
        )
      ),
      vocab_size=vocab_size,
      max_length=positions.get("max_length", Architecture.max_length),
      embedding=dataclasses.replace(a.embedding, positions=0, first_position=0),
    ),
    params=params,
    mlm_head=head,
    usage=dataclasses.replace(model.usage, max_tokens=None),
  )
