# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A small model of transformers for each encoder family.

`families_test.py` compares each case with transformers. The case of a family
without an entry in `_OWN` follows from the family, so that a new one is tested
without naming it here; an entry tests what is unusual.
"""

from collections.abc import Mapping
import dataclasses
import functools
from typing import Any

import numpy as np
import torch
import transformers
from transformers.models.auto import tokenization_auto

from nomic_jax import families
from nomic_jax.families.family import Family

VOCAB, LIMIT = 120, 40  # tokens of the vocabulary and of the longest text
FIRST_WORD = 5  # ids below it are special tokens

BERT = dict(
  vocab_size=VOCAB,
  hidden_size=32,
  num_hidden_layers=2,
  num_attention_heads=4,
  intermediate_size=48,
)


@dataclasses.dataclass(frozen=True)
class Case:
  """A family's classes in transformers and a configuration of them.

  Attributes:
    name: prefix of transformers' classes, such as Bert.
    values: of the configuration.
    limit: tokens of the longest text.
    pad: id of padding.
    types: number of token types; tests use two.
    tokenizer: kind of the tokenizer that its models usually have.
    settings: arguments of the tokenizer's class.
    pooling: of its embedding models.
    fresh: names of tensors that files may lack and transformers then
      initializes, since no embedding depends on them.
  """

  name: str
  values: Mapping[str, Any]
  limit: int = LIMIT
  pad: int = 0
  types: int = 0
  tokenizer: str = "wordpiece"
  settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  pooling: str = "mean"
  fresh: tuple[str, ...] = ("pooler.dense.weight", "pooler.dense.bias")

  @functools.cached_property
  def config(self) -> Any:
    return getattr(transformers, f"{self.name}Config")(**self.values)

  def random(self, kind: str, **values: Any) -> torch.nn.Module:
    """Returns a random model, such as kind="ForMaskedLM".

    No bias is 0 and no scale is 1. Its hidden states are near 1, so that an
    error of 1e-5 is one of arithmetic.
    """
    torch.manual_seed(0)
    config = type(self.config)(**{**self.values, **values})
    model = getattr(transformers, self.name + kind)(config).eval()
    with torch.no_grad():
      for name, parameter in model.named_parameters():
        scale = parameter.dim() == 1 and name.endswith("weight")
        parameter.normal_(mean=float(scale), std=0.1)
    return model

  @property
  def words(self) -> Any:
    """The class of its tokenizer in transformers."""
    names = tokenization_auto.TOKENIZER_MAPPING_NAMES
    name = names.get(self.config.model_type)
    if name not in _KINDS:
      name = next(n for n, kind in _KINDS.items() if kind == self.tokenizer)
    return getattr(transformers, name)

  def auto(self, kind: str, path: Any) -> torch.nn.Module:
    """Returns a directory's model, as transformers' Auto classes open it.

    Fails if tensors of the model are missing or unexpected.
    """
    names = {
      "Model": "AutoModel",
      "ForMaskedLM": "AutoModelForMaskedLM",
      "ForSequenceClassification": "AutoModelForSequenceClassification",
    }
    model, report = getattr(transformers, names[kind]).from_pretrained(
      path, output_loading_info=True
    )
    assert type(model).__name__ == self.name + kind
    assert set(report["missing_keys"]) <= set(self.fresh)
    # An encoder is opened without the head that its file may hold.
    assert kind == "Model" or not report["unexpected_keys"]
    assert not report["mismatched_keys"]
    return model.eval()

  def texts(self, lengths: tuple[int, ...] = ()) -> list[np.ndarray]:
    """Random ids, of 1 token up to the limit."""
    rng = np.random.default_rng(3)
    lengths = lengths or (1, 7, self.limit, 2, 19, 11)
    return [rng.integers(FIRST_WORD, VOCAB, n) for n in lengths]


# Classes of tokenizers, and what `tokenizer_lib.train` calls their kind.
_KINDS = {
  "BertTokenizer": "wordpiece",
  "MPNetTokenizer": "wordpiece",
  "RobertaTokenizer": "bpe",
  "XLMRobertaTokenizer": "unigram",
  "CamembertTokenizer": "unigram",
}

_OWN = {
  "bert": Case(
    "Bert",
    BERT | dict(max_position_embeddings=LIMIT),
    types=2,
    settings={"do_lower_case": False},
  ),
  "roberta": Case(
    "Roberta",
    BERT
    | dict(
      max_position_embeddings=LIMIT + 2, type_vocab_size=1, layer_norm_eps=1e-5
    ),
    pad=1,
    tokenizer="bpe",
  ),
  "xlm_roberta": Case(
    "XLMRoberta",
    BERT
    | dict(
      max_position_embeddings=LIMIT + 4,
      pad_token_id=3,
      type_vocab_size=1,
      hidden_act="relu",  # of the encoder; the head's stays GELU
    ),
    pad=3,
    tokenizer="unigram",
    pooling="cls",
  ),
  "distilbert": Case(
    "DistilBert",
    dict(
      vocab_size=VOCAB,
      dim=32,
      n_layers=2,
      n_heads=4,
      hidden_dim=48,
      max_position_embeddings=LIMIT,
    ),
    fresh=(),
  ),
  "modernbert": Case(
    "ModernBert",
    dict(
      vocab_size=VOCAB,
      hidden_size=32,
      intermediate_size=48,
      num_hidden_layers=7,
      num_attention_heads=4,
      max_position_embeddings=LIMIT,
      local_attention=12,
      pad_token_id=1,
      **dict.fromkeys(("bos_token_id", "cls_token_id"), 0),
      **dict.fromkeys(("eos_token_id", "sep_token_id"), 2),
    ),
    pad=1,
    tokenizer="bpe",
    pooling="cls",
    fresh=(),
  ),
  "mpnet": Case(
    "MPNet",
    BERT | dict(max_position_embeddings=LIMIT + 2, layer_norm_eps=1e-5),
    pad=1,
    settings={
      "cls_token": "[CLS]",
      "sep_token": "[SEP]",
      "pad_token": "[PAD]",
      "mask_token": "[MASK]",
      "bos_token": "[CLS]",
      "eos_token": "[SEP]",
    },
  ),
}


def _of(family: Family) -> Case:
  """Returns the case of a family: its fresh weights, of the usual sizes."""
  assert family.fresh is not None, f"{family.name}: needs an entry in _OWN"
  a = family.fresh(
    vocab_size=VOCAB,
    width=32,
    layers=2,
    heads=4,
    mlp_width=48,
    max_length=LIMIT,
  )
  values = family.to_json(a)
  del values["model_type"], values["torch_dtype"]
  names = tokenization_auto.TOKENIZER_MAPPING_NAMES
  return Case(
    family.classes["encoder"].removesuffix("Model"),
    values,
    pad=a.pad_token_id,
    types=2 if a.embedding.types > 1 else 0,
    tokenizer=_KINDS.get(names.get(family.name), "bpe"),
    fresh=tuple(
      f"{family.layouts[0].encoder['pooler']}.{x}" for x in ("weight", "bias")
    )
    if "pooler" in family.layouts[0].encoder
    else (),
  )


# By module. NomicBERT has tests of its own, against another implementation.
CASES = {
  module: _OWN.get(module) or _of(family)
  for module, family in zip(families.NAMES, families.table(), strict=True)
  if family.name != "nomic_bert"
}
