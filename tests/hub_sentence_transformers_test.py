# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""sentence-transformers opens our models and gives the same vectors."""

import json

import numpy as np
import pytest
import sentence_transformers
from support import hub_random
import tokenizers
import transformers

import nomic_jax
from nomic_jax.errors import UserError
from nomic_jax.hub import model_directory
from nomic_jax.hub import sentence_transformers as wrapper
from nomic_jax.model.config import EncoderConfig
from nomic_jax.model.encoder import Encoder
from nomic_jax.model.head import Head
from nomic_jax.model.head import Module
from nomic_jax.text import tokenizer as tokenizer_lib
from nomic_jax.text.prompts import PROMPTS

TEXTS = [
  "the quick brown fox jumps over the lazy dog",
  "a dog",
  "",
  "Brown foxes, lazy dogs; and the fox again and again and again " * 9,
]
NOMIC = dict(width=64, layers=2, heads=4, mlp_width=256, max_length=32)
CLASSIC = NOMIC | dict(
  position="learned",
  activation="gelu",
  qkv_bias=True,
  mlp_in_bias=True,
  mlp_out_bias=True,
)


@pytest.fixture(scope="module")
def tokenizer():
  return tokenizer_lib.train(TEXTS + ["search_query: document:"], 96)


@pytest.fixture
def directory(tmp_path, tokenizer):
  """Returns a function that writes a random model and returns its path."""

  def write(
    prompts=PROMPTS, max_tokens=None, written=None, matryoshka_dims=(), **config
  ):
    config = EncoderConfig(
      vocab_size=tokenizer.get_vocab_size(), **NOMIC | config
    ).architecture
    model_directory.write_model(
      tmp_path / "model",
      config,
      hub_random.trees(config)["encoder"],
      written or tokenizer,
      prompts,
      max_tokens=max_tokens,
      matryoshka_dims=matryoshka_dims,
    )
    return tmp_path / "model"

  return write


@pytest.mark.parametrize(
  "config",
  [
    {},
    CLASSIC,
    dict(pooling="cls"),
    dict(pooling="last"),
    dict(pooling="weighted"),
    dict(pooled_norm=True),
    dict(rotary_factor=2.0, trained_length=16),
    dict(pooled_norm=True, projection=24),
  ],
)
def test_equal_vectors(directory, config):
  path = directory(**config)
  model = nomic_jax.load(str(path))
  vectors = {}
  for prompt in (None, "search_query"):
    # One by one, from short to long: with dynamic NTK, transformers uses the
    # longest text of this and all earlier batches.
    width = config.get("projection", 64)
    expected = np.zeros((len(TEXTS), width), np.float32)
    theirs = sentence_transformers.SentenceTransformer(str(path), device="cpu")
    for i in sorted(range(len(TEXTS)), key=lambda i: len(TEXTS[i])):
      expected[i] = theirs.encode(TEXTS[i], prompt_name=prompt)
    vectors[prompt] = model.encode(TEXTS, prompt=prompt)
    np.testing.assert_allclose(vectors[prompt], expected, rtol=0, atol=1e-5)
  # Negative control: prompts matter.
  assert np.abs(vectors[None] - vectors["search_query"]).max() > 1e-3


@pytest.mark.parametrize("pooled_norm", [False, True])
def test_equal_vectors_of_fewer_dimensions(directory, pooled_norm):
  path = directory(pooled_norm=pooled_norm)
  theirs = sentence_transformers.SentenceTransformer(
    str(path), truncate_dim=16, device="cpu"
  )
  expected = theirs.encode(TEXTS, normalize_embeddings=True)
  ours = nomic_jax.load(str(path)).encode(TEXTS, dim=16)
  np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
  "config", [{}, {"pooled_norm": True, "projection": 24}]
)
def test_exported_with_fewer_dimensions(directory, tmp_path, config):
  path = directory(matryoshka_dims=(8, 16, 32), **config)
  full = nomic_jax.load(str(path))
  output = str(tmp_path / "small")
  nomic_jax.export(model=str(path), output=output, dim=16)
  theirs = sentence_transformers.SentenceTransformer(output, device="cpu")
  ours = nomic_jax.load(output)
  expected = full.encode(TEXTS, dim=16)
  np.testing.assert_allclose(theirs.encode(TEXTS), expected, rtol=0, atol=1e-5)
  np.testing.assert_allclose(ours.encode(TEXTS), expected, rtol=0, atol=1e-5)
  assert ours.matryoshka_dims == (8, 16)
  with pytest.raises(UserError, match="--dim: dim 17 is not between 1 and 16"):
    nomic_jax.export(model=output, output=str(tmp_path / "none"), dim=17)
  with pytest.warns(UserWarning, match="dim 9 is not one of those"):
    nomic_jax.export(model=output, output=str(tmp_path / "nine"), dim=9)
  nine = nomic_jax.load(str(tmp_path / "nine")).encode(TEXTS)
  np.testing.assert_allclose(nine, full.encode(TEXTS, dim=9), rtol=0, atol=1e-5)


def test_their_query_and_document_prompts(directory):
  path = directory()
  theirs = sentence_transformers.SentenceTransformer(str(path), device="cpu")
  model = nomic_jax.load(str(path))
  np.testing.assert_allclose(
    model.encode(TEXTS, prompt="search_query"),
    theirs.encode_query(TEXTS),
    rtol=0,
    atol=1e-5,
  )
  np.testing.assert_allclose(
    model.encode(TEXTS, prompt="search_document"),
    theirs.encode_document(TEXTS),
    rtol=0,
    atol=1e-5,
  )


@pytest.mark.parametrize("form", ["object", "file", "folder"])
def test_every_form_of_tokenizer_gives_the_same_tokens(
  directory, tokenizer, tmp_path, form
):
  tokenizer_lib.save(tokenizer, tmp_path / "folder")
  written = {
    "object": tokenizer,
    "file": tmp_path / "folder" / "tokenizer.json",
    "folder": tmp_path / "folder",
  }[form]
  path = directory(written=written)
  theirs = transformers.AutoTokenizer.from_pretrained(path)
  assert theirs.model_max_length == 32
  assert theirs.pad_token_id == 0 and theirs.mask_token == "[MASK]"
  for text in TEXTS + ["Ünïcode 中文 don't [MASK]"]:
    assert theirs(text)["input_ids"] == tokenizer.encode(text).ids


@pytest.mark.parametrize("named", ["as before", "by its own names"])
def test_other_names_of_special_tokens(directory, tokenizer, tmp_path, named):
  written = tokenizer.to_str()
  for old, new in (
    ("[PAD]", "<pad>"),
    ("[CLS]", "<s>"),
    ("[SEP]", "</s>"),
    ("[UNK]", "<unk>"),
    ("[MASK]", "<mask>"),
  ):
    written = written.replace(json.dumps(old), json.dumps(new))
  other = tokenizers.Tokenizer.from_str(written)
  tokenizer_lib.save(other, tmp_path / "folder")
  if named == "as before":  # as in data that earlier versions prepared
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
      file = tmp_path / "folder" / name
      file.write_text(
        json.dumps(json.loads(file.read_text()) | tokenizer_lib.SPECIAL_TOKENS)
      )
  path = directory(written=tmp_path / "folder")
  theirs = sentence_transformers.SentenceTransformer(str(path), device="cpu")
  assert theirs.tokenizer.pad_token == "<pad>"
  assert theirs.tokenizer.pad_token_id == 0
  assert len(theirs.tokenizer) == tokenizer.get_vocab_size()
  np.testing.assert_allclose(  # texts of several lengths, hence padding
    nomic_jax.load(str(path)).encode(TEXTS),
    theirs.encode(TEXTS),
    rtol=0,
    atol=1e-5,
  )


def test_a_limit_left_in_a_tokenizer_is_not_passed_on(directory, tokenizer):
  short = tokenizers.Tokenizer.from_str(tokenizer.to_str())
  short.enable_truncation(4)
  short.enable_padding(length=4)
  path = directory(written=short)
  written = tokenizers.Tokenizer.from_file(str(path / "tokenizer.json"))
  assert len(written.encode(TEXTS[0]).ids) > 4
  assert written.truncation is None and written.padding is None


def test_what_was_written_is_read(directory):
  path = directory(
    pooling="last",
    pooled_norm=True,
    max_tokens=24,
    prompts=PROMPTS | {"title": "title: "},
  )
  files = model_directory.read_model(path)
  assert files.architecture.head == Head(
    "last", (Module("norm", 64, affine=False),)
  )
  assert files.max_tokens == 24 and files.architecture.max_length == 32
  assert files.prompts.items() >= (PROMPTS | {"title": "title: "}).items()
  theirs = sentence_transformers.SentenceTransformer(str(path), device="cpu")
  assert theirs.max_seq_length == 24
  assert theirs.prompts == files.prompts
  assert theirs.similarity_fn_name == "cosine"


def test_what_sentence_transformers_saves_is_read(directory, tmp_path):
  path = directory(pooled_norm=True, max_tokens=24)
  theirs = sentence_transformers.SentenceTransformer(str(path), device="cpu")
  theirs.save(str(tmp_path / "again"))
  first = nomic_jax.load(str(path))
  again = nomic_jax.load(str(tmp_path / "again"))
  assert again.prompts == first.prompts
  assert model_directory.read_model(tmp_path / "again").max_tokens == 24
  np.testing.assert_allclose(
    again.encode(TEXTS[:2], prompt="clustering"),
    first.encode(TEXTS[:2], prompt="clustering"),
    rtol=0,
    atol=1e-6,
  )


def test_prompts_of_a_file_that_does_not_say(directory):
  """v1 and v1.5 list their prompts only in the model card."""
  path = directory(prompts={})
  assert model_directory.read_model(path).prompts == {}
  settings = path / "config_sentence_transformers.json"
  settings.write_text('{"__version__": {}}')
  assert model_directory.read_model(path).prompts == PROMPTS


def test_names_of_the_same_prompt():
  v2 = {
    "query": "search_query: ",
    "passage": "search_document: ",
    "Clustering": "clustering: ",
  }
  named = wrapper.with_aliases(v2)
  assert named["search_query"] == "search_query: "
  assert named["search_document"] == "search_document: "
  assert named["clustering"] == "clustering: "
  assert "classification" not in named
  assert wrapper.with_aliases(named) == named | {
    "document": "search_document: ",
    "Speed": "search_document: ",
  }


@pytest.mark.parametrize(
  "name, change, message",
  [
    (
      "modules.json",
      lambda v: v.append(
        dict(idx=3, name="3", path="3_Asym", type="x.models.Asym")
      ),
      "module 'Asym' is not supported",
    ),
    (
      "2_Dense/config.json",
      lambda v: v.update(activation_function="torch.nn.Softplus"),
      "activation_function 'torch.nn.Softplus' is not supported",
    ),
    (
      "2_Dense/config.json",
      lambda v: v.update(use_residual=True),
      "use_residual=true is not supported",
    ),
    (
      "2_Dense/config.json",
      lambda v: v.update(in_features=1),
      "in_features is 1, but the module before it has width",
    ),
    (
      "sentence_bert_config.json",
      lambda v: v.update(max_seq_length=0),
      "max_seq_length=0; expected 1 or more",
    ),
    ("modules.json", lambda v: v[1].pop("path"), "key 'path' is missing"),
    (
      "1_Pooling/config.json",
      lambda v: v.update(pooling_mode_max_tokens=True),
      "pooling by max and mean is not supported",
    ),
    (
      "1_Pooling/config.json",
      lambda v: v.update(include_prompt=False),
      "include_prompt=false is not supported",
    ),
    (
      "sentence_bert_config.json",
      lambda v: v.update(max_seq_length="512"),
      "max_seq_length='512' is a str; expected int",
    ),
    (
      "config_sentence_transformers.json",
      lambda v: v.update(default_prompt_name="title"),
      "default_prompt_name='title' is not one of the prompts",
    ),
    (
      "config_sentence_transformers.json",
      lambda v: v["prompts"].update(query=7),
      "prompt 'query' is 7",
    ),
  ],
)
def test_what_would_change_the_vectors_is_an_error(
  directory, name, change, message
):
  path = directory(projection=24) / name
  values = json.loads(path.read_text())
  change(values)
  path.write_text(json.dumps(values))
  with pytest.raises(UserError, match=message) as error:
    model_directory.read_model(path.parents[name.count("/")])
  assert str(path) in str(error.value)


def test_vectors_of_tokens(directory):
  """Without pooling, sentence-transformers returns the vectors of tokens."""
  path = directory(pooling="none")
  theirs = sentence_transformers.SentenceTransformer(str(path), device="cpu")
  expected = theirs.encode(TEXTS[0], output_value="token_embeddings").numpy()
  files = model_directory.read_model(path)
  assert files.architecture.head == Head("none")
  ids = theirs.tokenizer(TEXTS[0])["input_ids"]
  matrix = (
    Encoder(files.architecture)
    .embed(
      files.params,
      {
        "ids": np.array([ids]),
        "segment_ids": np.ones((1, len(ids)), np.int32),
        "positions": np.arange(len(ids))[None],
      },
      1,
    )
    .vectors
  )
  np.testing.assert_allclose(matrix[0], expected, rtol=0, atol=1e-5)
  with pytest.raises(UserError, match="'none' gives a vector per token"):
    nomic_jax.load(str(path))
  with pytest.raises(UserError, match="no norm or projection without pooling"):
    directory(pooling="none", pooled_norm=True)
