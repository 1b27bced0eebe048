# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""DistilBERT (Sanh et al. 2019), as transformers' DistilBertModel computes it.

It has BERT's layers, but neither token types nor a pooler.
"""

import dataclasses

from nomic_jax.errors import UserError
from nomic_jax.families import bert
from nomic_jax.families.family import classes
from nomic_jax.families.family import Family
from nomic_jax.families.family import fresh_by
from nomic_jax.families.family import Layout
from nomic_jax.families.family import NUMBERS
from nomic_jax.model.architecture import Architecture
from nomic_jax.model.architecture import Classifier
from nomic_jax.model.config import EncoderConfig
from nomic_jax.storage.keys import Keys
from nomic_jax.storage.values import JsonObject

# Names that DistilBertConfig shares with other classes.
_ALIASES = {
  "dim": "hidden_size",
  "n_layers": "num_hidden_layers",
  "n_heads": "num_attention_heads",
}


def _from_json(keys: Keys) -> Architecture:
  """Reads a DistilBertConfig with its defaults."""
  for name, alias in _ALIASES.items():
    if alias in keys:
      keys = keys.with_defaults(**{name: keys.any(alias)})
      keys.same(alias, name)
  a = EncoderConfig(
    vocab_size=keys.get("vocab_size", int, 30522),
    width=keys.get("dim", int, 768),
    layers=keys.get("n_layers", int, 6),
    heads=keys.get("n_heads", int, 12),
    mlp_width=keys.get("hidden_dim", int, 3072),
    max_length=keys.get("max_position_embeddings", int, 512),
    type_vocab_size=0,
    position="learned",
    activation=keys.activation("activation", bert.READ, "gelu"),
    qkv_bias=True,
    mlp_in_bias=True,
    mlp_out_bias=True,
    initializer_range=keys.get("initializer_range", float, 0.02),
    pad_token_id=keys.get("pad_token_id", int, 0),
    dropout=keys.get("dropout", float, 0.1),
    head_dropout=keys.get("seq_classif_dropout", float, 0.2),
  ).architecture
  return dataclasses.replace(a, classifier=Classifier("relu", pooler=False))


def _to_json(a: Architecture) -> JsonObject:
  layer = a.layers[0]
  activation = layer.mlp.activation
  if activation not in bert.ACTIVATIONS:
    raise UserError(
      f"DistilBertModel does not compute activation '{activation}'"
    )
  return {
    "model_type": "distilbert",
    "vocab_size": a.vocab_size,
    "dim": a.width,
    "n_layers": len(a.layers),
    "n_heads": layer.attention.heads,
    "hidden_dim": layer.mlp.width,
    "max_position_embeddings": a.max_length,
    "activation": bert.ACTIVATIONS[activation],
    "initializer_range": a.initializer_range,
    "pad_token_id": a.pad_token_id,
    "dropout": a.dropout,
    "attention_dropout": a.dropout,
    "seq_classif_dropout": a.head_dropout,
    "torch_dtype": "float32",
  }


_LAYER = "transformer.layer.{}."
LAYOUT = Layout(
  encoder={
    "word": "embeddings.word_embeddings",
    "position": "embeddings.position_embeddings",
    "norm": "embeddings.LayerNorm",
  },
  layer={
    "qkv": tuple(f"{_LAYER}attention.{x}_lin" for x in "qkv"),
    "out": f"{_LAYER}attention.out_lin",
    "norm1": f"{_LAYER}sa_layer_norm",
    "up": f"{_LAYER}ffn.lin1",
    "down": f"{_LAYER}ffn.lin2",
    "norm2": f"{_LAYER}output_layer_norm",
  },
  heads={
    "mlm_head": {
      "transform": "vocab_transform",
      "norm": "vocab_layer_norm",
      "": "vocab_projector",
    },
    "classification_head": {
      "pooler": "pre_classifier",
      "classifier": "classifier",
    },
  },
  tied={"vocab_projector.weight": "embeddings.word_embeddings.weight"},
  mlm_prefix="vocab_",
)

FAMILY = Family(
  name="distilbert",
  from_json=_from_json,
  to_json=_to_json,
  classes=classes("DistilBert"),
  layouts=(LAYOUT,),
  prefixes=("", "distilbert."),
  fresh=fresh_by(
    _from_json,
    NUMBERS
    | {
      "width": "dim",
      "layers": "n_layers",
      "heads": "n_heads",
      "mlp_width": "hidden_dim",
    },
  ),
)
