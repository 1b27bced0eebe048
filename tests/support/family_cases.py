# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A small model of transformers for each encoder family.

`families_test.py` compares each case with transformers. To add a family, add an
entry to CASES.
"""

from collections.abc import Mapping
import dataclasses
import functools
from typing import Any

import numpy as np
import torch
import transformers

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
    fresh: names of tensors that files may lack and transformers then
      initializes, since no embedding depends on them.
  """

  name: str
  values: Mapping[str, Any]
  limit: int = LIMIT
  pad: int = 0
  types: int = 0
  tokenizer: str = "wordpiece"
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


CASES = {
  "bert": Case("Bert", BERT | dict(max_position_embeddings=LIMIT), types=2),
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
    fresh=(),
  ),
  "mpnet": Case(
    "MPNet",
    BERT | dict(max_position_embeddings=LIMIT + 2, layer_norm_eps=1e-5),
    pad=1,
  ),
}
