# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""RoBERTa (Liu et al. 2019), as transformers' RobertaModel computes it.

The encoder is BERT's. Positions follow fairseq: the first one is pad_token_id
+ 1, and padding tokens take no position.
"""

from collections.abc import Callable
import dataclasses

from nomic_jax.families import bert
from nomic_jax.families import family
from nomic_jax.families.family import classes
from nomic_jax.families.family import Family
from nomic_jax.model.architecture import Architecture
from nomic_jax.model.architecture import Classifier
from nomic_jax.storage.keys import Keys
from nomic_jax.storage.values import Json
from nomic_jax.storage.values import JsonObject


def _from_json(keys: Keys) -> Architecture:
  """Reads a RobertaConfig with its defaults."""
  keys = keys.with_defaults(vocab_size=50265, pad_token_id=1)
  return fairseq(bert.FAMILY.from_json(keys))


def fairseq(a: Architecture) -> Architecture:
  """Returns a BERT with the positions and heads of models from fairseq."""
  first = a.pad_token_id + 1
  return dataclasses.replace(
    a,
    embedding=dataclasses.replace(
      a.embedding, first_position=first, skips_padding=True
    ),
    # The activation of the MLM head is always GELU.
    prediction=dataclasses.replace(a.prediction, activation="gelu"),
    classifier=Classifier(pooler=False, drops_input=True),
    max_length=a.embedding.positions - first,
  )


def _to_json(a: Architecture) -> JsonObject:
  return bert.FAMILY.to_json(a) | {
    "model_type": "roberta",
    "max_position_embeddings": a.embedding.positions,
  }


# What the published models have, and RobertaConfig has not by default.
_USUAL = dict(type_vocab_size=1, layer_norm_eps=1e-5)


def fresh_by(
  from_json: Callable[[Keys], Architecture], **usual: Json
) -> Callable[..., Architecture]:
  """Returns a `Family.fresh` whose max_length excludes the unused positions."""
  make = family.fresh_by(from_json, **_USUAL, **usual)

  def fresh(
    *, pad_token_id: int = 1, max_length: int = 512, **keys: Json
  ) -> Architecture:
    positions = max_length + pad_token_id + 1
    return make(pad_token_id=pad_token_id, max_length=positions, **keys)

  return fresh


HEADS = {
  "mlm_head": {
    "transform": "lm_head.dense",
    "norm": "lm_head.layer_norm",
    "": "lm_head",
  },
  "classification_head": {
    "pooler": "classifier.dense",
    "classifier": "classifier.out_proj",
  },
}
(_BERT,) = bert.FAMILY.layouts
LAYOUT = dataclasses.replace(
  _BERT,
  heads=HEADS,
  tied={
    "lm_head.decoder.weight": _BERT.word,
    "lm_head.decoder.bias": "lm_head.bias",
  },
  mlm_prefix="lm_head.",
)

FAMILY = Family(
  name="roberta",
  from_json=_from_json,
  to_json=_to_json,
  classes=classes("Roberta"),
  layouts=(LAYOUT,),
  prefixes=("", "roberta."),
  fresh=fresh_by(_from_json),
)
