# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""MPNet (Song et al. 2020), as transformers' MPNetModel computes it.

It is a RoBERTa without token types and with a relative attention bias, which
all layers share.
"""

import dataclasses

from nomic_jax.errors import UserError
from nomic_jax.families import bert
from nomic_jax.families import roberta
from nomic_jax.families.family import classes
from nomic_jax.families.family import Family
from nomic_jax.families.family import Layout
from nomic_jax.families.family import sizes
from nomic_jax.model.architecture import Architecture
from nomic_jax.model.architecture import Relative
from nomic_jax.storage.keys import Keys
from nomic_jax.storage.values import JsonObject

# Constants of MPNetModel, which config.json cannot change.
_BUCKETS = 32
_PAD = 1


def _from_json(keys: Keys) -> Architecture:
  """Reads an MPNetConfig with its defaults."""
  for key, only in (
    ("relative_attention_num_buckets", _BUCKETS),
    ("pad_token_id", _PAD),
  ):
    if keys.get(key, int, only) != only:
      raise UserError(
        f"{keys.where}: {key}={keys.any(key)} is not supported; expected {only}"
      )
  keys = keys.with_defaults(vocab_size=30527, pad_token_id=_PAD)
  a = roberta.fairseq(bert.FAMILY.from_json(keys))
  a = a.each_layer(
    lambda layer: dataclasses.replace(
      layer,
      attention=dataclasses.replace(
        layer.attention, relative=Relative(_BUCKETS, furthest=128)
      ),
    )
  )
  return dataclasses.replace(
    a, embedding=dataclasses.replace(a.embedding, types=0)
  )


def _to_json(a: Architecture) -> JsonObject:
  activation = a.layers[0].mlp.activation
  if activation not in bert.ACTIVATIONS:
    raise UserError(f"MPNetModel does not compute activation '{activation}'")
  values = sizes(a) | {
    "model_type": "mpnet",
    "hidden_act": bert.ACTIVATIONS[activation],
    "hidden_dropout_prob": a.dropout,
    "attention_probs_dropout_prob": a.dropout,
    "max_position_embeddings": a.embedding.positions,
    "relative_attention_num_buckets": _BUCKETS,
  }
  del values["type_vocab_size"]
  return values


_LAYER = "encoder.layer.{}."
LAYOUT = Layout(
  encoder={
    "word": "embeddings.word_embeddings",
    "position": "embeddings.position_embeddings",
    "norm": "embeddings.LayerNorm",
    "relative": "encoder.relative_attention_bias",
    "pooler": "pooler.dense",
  },
  layer={
    "qkv": tuple(f"{_LAYER}attention.attn.{x}" for x in "qkv"),
    "out": f"{_LAYER}attention.attn.o",
    "norm1": f"{_LAYER}attention.LayerNorm",
    "up": f"{_LAYER}intermediate.dense",
    "down": f"{_LAYER}output.dense",
    "norm2": f"{_LAYER}output.LayerNorm",
  },
  heads=roberta.HEADS,
  tied=roberta.LAYOUT.tied,
  mlm_prefix=roberta.LAYOUT.mlm_prefix,
)

FAMILY = Family(
  name="mpnet",
  from_json=_from_json,
  to_json=_to_json,
  classes=classes("MPNet"),
  layouts=(LAYOUT,),
  prefixes=("", "mpnet."),
  fresh=roberta.fresh_by(_from_json),
)
