# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""BERT (Devlin et al. 2019), as transformers' BertModel computes it."""

from nomic_jax.errors import UserError
from nomic_jax.families.family import classes
from nomic_jax.families.family import Family
from nomic_jax.families.family import fresh_by
from nomic_jax.families.family import Layout
from nomic_jax.families.family import numbers
from nomic_jax.families.family import sizes
from nomic_jax.model.architecture import Architecture
from nomic_jax.model.config import EncoderConfig
from nomic_jax.storage.keys import Keys
from nomic_jax.storage.values import JsonObject

# Ours -> what transformers calls the activation.
ACTIVATIONS = {
  "gelu": "gelu",
  "gelu_tanh": "gelu_pytorch_tanh",
  "quick_gelu": "quick_gelu",
  "relu": "relu",
  "silu": "silu",
}
READ = {theirs: ours for ours, theirs in ACTIVATIONS.items()} | {
  "gelu_new": "gelu_tanh",
  "gelu_fast": "gelu_tanh",
  "swish": "silu",
}


def _from_json(keys: Keys) -> Architecture:
  """Reads a BertConfig with its defaults."""
  return EncoderConfig(
    **numbers(keys, dropout=0.1),
    max_length=keys.get("max_position_embeddings", int, 512),
    position="learned",
    activation=keys.activation("hidden_act", READ, "gelu"),
    qkv_bias=True,
    mlp_in_bias=True,
    mlp_out_bias=True,
  ).architecture


def _to_json(a: Architecture) -> JsonObject:
  activation = a.layers[0].mlp.activation
  if activation not in ACTIVATIONS or not a.embedding.types:
    raise UserError(
      "BertModel computes neither this activation nor an encoder without "
      "token types"
    )
  return sizes(a) | {
    "model_type": "bert",
    "hidden_act": ACTIVATIONS[activation],
    "hidden_dropout_prob": a.dropout,
    "attention_probs_dropout_prob": a.dropout,  # in BERT's files the same
    "classifier_dropout": a.head_dropout,
    "max_position_embeddings": a.max_length,
    "position_embedding_type": "absolute",
  }


_LAYER = "encoder.layer.{}."
LAYOUT = Layout(
  encoder={
    "word": "embeddings.word_embeddings",
    "type": "embeddings.token_type_embeddings",
    "position": "embeddings.position_embeddings",
    "norm": "embeddings.LayerNorm",
    "pooler": "pooler.dense",
  },
  layer={
    "qkv": tuple(
      f"{_LAYER}attention.self.{x}" for x in ("query", "key", "value")
    ),
    "out": f"{_LAYER}attention.output.dense",
    "norm1": f"{_LAYER}attention.output.LayerNorm",
    "up": f"{_LAYER}intermediate.dense",
    "down": f"{_LAYER}output.dense",
    "norm2": f"{_LAYER}output.LayerNorm",
  },
  heads={
    "mlm_head": {
      "transform": "cls.predictions.transform.dense",
      "norm": "cls.predictions.transform.LayerNorm",
      "": "cls.predictions",
    },
    "classification_head": {
      "pooler": "pooler.dense",
      "classifier": "classifier",
    },
  },
  tied={
    "cls.predictions.decoder.weight": "embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
  },
)

FAMILY = Family(
  name="bert",
  from_json=_from_json,
  to_json=_to_json,
  classes=classes("Bert"),
  layouts=(LAYOUT,),
  prefixes=("", "trunk.", "bert.", "nomic_bert."),
  fresh=fresh_by(_from_json, vocab_size=30522),
)
