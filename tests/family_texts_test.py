# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Embeds texts with each family's tokenizer, against sentence-transformers."""

import json

import numpy as np
import pytest
import sentence_transformers
from support.family_cases import CASES

import nomic_jax
from nomic_jax.hub import model_directory
from nomic_jax.model.head import Head
from nomic_jax.text import subwords
from nomic_jax.text import tokenizer as tokenizer_lib

TEXTS = [
  "The quick brown fox jumps over the lazy dog.",
  "  Wie schön, daß   es regnet!\n\tÅngström, café",
  "日本語の文章です。 हिन्दी में भी",
  "x",
  "",
  "def f(x): return x[0] + CamelCase.getItem(2)  # comment",
  "A text that is too long: " + "fox dog café " * 20,
]
SIZES = {"wordpiece": 220, "bpe": 400, "unigram": 220}


@pytest.fixture(name="words", scope="module")
def _words():
  return {
    kind: tokenizer_lib.train(TEXTS * 3, size, kind=kind)
    for kind, size in SIZES.items()
  }


def _vocabulary(words):
  """A vocabulary with RoBERTa's special tokens, for transformers' classes."""
  state = json.loads(words.to_str())["model"]
  if state["type"] != "Unigram":
    return {"vocab": state["vocab"]} | (
      {"merges": [tuple(m) for m in state["merges"]]}
      if state["type"] == "BPE"
      else {}
    )
  # In XLM-R's class, <unk> has id 3.
  pieces = state["vocab"][len(subwords.SPECIAL) :]
  special = ("<s>", "<pad>", "</s>", "<unk>")
  return {"vocab": [(t, 0.0) for t in special] + [tuple(p) for p in pieces]}


def _write_modules(folder, pooling):
  """Writes sentence-transformers' files beside a model of transformers."""
  kind = "sentence_transformers.models."
  modules = [
    {"idx": 0, "name": "0", "path": "", "type": f"{kind}Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{kind}Pooling"},
  ]
  how = {
    "word_embedding_dimension": 32,
    "pooling_mode_cls_token": pooling == "cls",
    "pooling_mode_mean_tokens": pooling == "mean",
  }
  (folder / "1_Pooling").mkdir()
  for name, values in {
    "modules.json": modules,
    "1_Pooling/config.json": how,
    "sentence_bert_config.json": {"max_seq_length": 20},
  }.items():
    (folder / name).write_text(json.dumps(values))


def _same(folder, texts, **options):
  theirs = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
  ours = nomic_jax.load(folder)
  found = ours.encode(texts, **options)
  expected = theirs.encode(texts, **options)
  np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
  assert np.abs(found[0] - found[1]).max() > 1e-3  # control
  return theirs


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_published_model(name, words, tmp_path):
  """A model as both libraries save it, and the same model exported again."""
  case = CASES[name]
  pooling = case.pooling
  tokenizer = case.words(**_vocabulary(words[case.tokenizer]), **case.settings)
  sizes = {"vocab_size": len(tokenizer), "pad_token_id": case.pad}
  folder = tmp_path / "theirs"
  case.random("Model", **sizes).save_pretrained(folder)
  tokenizer.save_pretrained(folder)
  _write_modules(folder, pooling)
  pad = tokenizer.pad_token
  texts = [*TEXTS, f"one {pad} two", f"{pad}{pad} dog"]
  model = _same(folder, texts)
  files = model_directory.read_model(folder)
  assert files.architecture.head == Head(pooling)
  model_directory.write_model(
    tmp_path / "ours",
    files.architecture,
    files.params,
    files.tokenizer_path,
    {"query": "fox: "},
    max_tokens=files.max_tokens,
  )
  again = _same(tmp_path / "ours", texts)
  assert again.max_seq_length == 20
  expected = model.encode(texts, normalize_embeddings=True)
  np.testing.assert_allclose(again.encode(texts), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", SIZES)
def test_any_body_with_any_tokenizer(kind, words, tmp_path):
  """As paraphrase-multilingual-MiniLM, a BERT with XLM-R's tokenizer."""
  case = CASES["bert"]
  size = words[kind].get_vocab_size()
  case.random("Model", vocab_size=size).save_pretrained(tmp_path / "bert")
  tokenizer_lib.save(words[kind], tmp_path / "bert")
  files = model_directory.read_model(tmp_path / "bert")
  model_directory.write_model(
    tmp_path / "ours",
    files.architecture,
    files.params,
    files.tokenizer_path,
    {"query": "fox: "},
  )
  theirs = _same(tmp_path / "ours", TEXTS)
  assert type(theirs[0].auto_model).__name__ == "BertModel"
