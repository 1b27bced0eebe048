# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Settings in other libraries' files are applied or refused, never ignored."""

import json
import shutil

import numpy as np
import pytest
import safetensors.numpy
import sentence_transformers
from support import hub_random
import tokenizers
from tokenizers import normalizers
import transformers
from transformers.models.auto import tokenization_auto

import nomic_jax
from nomic_jax import families
from nomic_jax.curate import teach
from nomic_jax.embed import store as embeddings
from nomic_jax.errors import UserError
from nomic_jax.evaluation import systems
from nomic_jax.hub import model_directory
from nomic_jax.model.config import EncoderConfig
from nomic_jax.search import answer as search
from nomic_jax.text import tokenizer as tokenizer_lib
from nomic_jax.text import tokenizer_settings
from nomic_jax.text.prompts import PROMPTS

pytestmark = pytest.mark.slow

TEXTS = [
  "the quick brown fox",
  "a dog",
  "lazy dogs and the fox again",
  "émile",
  "EMILE the DOG",
]
WIDTH = 32
OLD = "sentence_transformers.models."
NEW = "sentence_transformers.sentence_transformer.modules."


@pytest.fixture(name="plain", scope="module")
def _plain(tmp_path_factory):
  """A random BERT with prompts and a cased tokenizer."""
  place = tmp_path_factory.mktemp("foreign")
  tokenizer = tokenizer_lib.train(
    [t.lower() for t in TEXTS] + ["emile Émile émile DOG THE E M I L É é"], 150
  )
  tokenizer.normalizer = normalizers.BertNormalizer(
    lowercase=False, strip_accents=False
  )
  config = EncoderConfig(
    vocab_size=tokenizer.get_vocab_size(),
    width=WIDTH,
    layers=1,
    heads=2,
    mlp_width=64,
    max_length=32,
    position="learned",
    activation="gelu",
    qkv_bias=True,
    mlp_in_bias=True,
    mlp_out_bias=True,
  ).architecture
  model_directory.write_model(
    place / "model",
    config,
    hub_random.trees(config)["encoder"],
    tokenizer,
    PROMPTS,
  )
  return place / "model"


@pytest.fixture(name="copy")
def _copy(plain, tmp_path):
  shutil.copytree(plain, tmp_path / "model")
  return tmp_path / "model"


def _edit(path, **changes):
  values = json.loads(path.read_text()) if path.is_file() else {}
  path.write_text(json.dumps(values | changes))


def _theirs(path):
  return sentence_transformers.SentenceTransformer(str(path), device="cpu")


def _assert_same(path, **options):
  theirs = _theirs(path).encode(TEXTS, **options)
  ours = nomic_jax.load(str(path)).encode(TEXTS)
  np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
  return ours


_RNG = np.random.default_rng(0)


def _dense(inputs, outputs, activation="linear.Identity", bias=True):
  tensors = {"linear.weight": _RNG.normal(0, 0.3, (outputs, inputs))}
  if bias:
    tensors["linear.bias"] = _RNG.normal(0, 1, outputs)
  return (
    "Dense",
    {
      "in_features": inputs,
      "out_features": outputs,
      "bias": bias,
      "activation_function": f"torch.nn.modules.{activation}",
    },
    tensors,
  )


def _norm(width, weights=True):
  scale = 1 + weights * _RNG.normal(0, 0.5, width)
  shift = weights * _RNG.normal(0, 0.5, width)
  return (
    "LayerNorm",
    {"dimension": width},
    {"norm.weight": scale, "norm.bias": shift},
  )


NORMALIZE = ("Normalize", {}, {})


def _after(path, modules, prefix=OLD):
  """Writes the modules after Pooling."""
  listed = json.loads((path / "modules.json").read_text())[:2]
  for i, (kind, settings, tensors) in enumerate(modules, 2):
    folder = path / f"{i}_{kind}_x"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(settings))
    if tensors:
      safetensors.numpy.save_file(
        {k: v.astype("f") for k, v in tensors.items()},
        folder / "model.safetensors",
      )
    listed.append(
      {"idx": i, "name": str(i), "path": folder.name, "type": prefix + kind}
    )
  (path / "modules.json").write_text(json.dumps(listed))


@pytest.mark.parametrize(
  "modules",
  [
    (),
    (NORMALIZE, _dense(WIDTH, 16)),
    (_dense(WIDTH, 16), NORMALIZE),
    (_dense(WIDTH, 16), _dense(16, 8, bias=False), NORMALIZE),
    (_dense(WIDTH, 24, "activation.Tanh"), _norm(24)),
    (_norm(WIDTH, False), _dense(WIDTH, 8, "activation.GELU")),
    (_norm(WIDTH), NORMALIZE, ("Dropout", {"dropout": 0.5}, {})),
    (_norm(WIDTH, False), NORMALIZE, _norm(WIDTH), NORMALIZE),
  ],
)
def test_modules_in_any_order(copy, tmp_path, modules):
  _after(copy, modules)
  ours = _assert_same(copy)
  # The model is written again and is still the same.
  files = model_directory.read_model(copy)
  model_directory.write_model(
    tmp_path / "again",
    files.architecture,
    files.params,
    files.tokenizer_path,
    **files.usage.to_json(),
  )
  np.testing.assert_allclose(
    _assert_same(tmp_path / "again"), ours, rtol=0, atol=1e-6
  )


def test_vectors_are_as_long_as_theirs(copy):
  _after(copy, ())
  lengths = np.linalg.norm(_assert_same(copy), axis=1)
  assert np.abs(lengths - 1).max() > 0.5
  model = nomic_jax.load(str(copy))
  unit = model.encode(TEXTS, normalize=True)
  np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-6)
  # It is compared by cosine all the same.
  scores, _ = systems.Dense(model).search(TEXTS, TEXTS, 2)
  assert scores.max() <= 1 + 1e-6


def test_dot_products_rank_where_the_files_say_so(copy, tmp_path, capsys):
  # Lengths differ much, so that cosines give another ranking.
  _after(copy, [_dense(WIDTH, 8)])
  _edit(copy / "config_sentence_transformers.json", similarity_fn_name="dot")
  theirs, model = _theirs(copy), nomic_jax.load(str(copy))
  expected = theirs.similarity(
    theirs.encode_query(TEXTS), theirs.encode_document(TEXTS)
  ).numpy()
  scores, rows = systems.Dense(model).search(TEXTS, TEXTS, len(TEXTS))
  np.testing.assert_allclose(
    scores, np.take_along_axis(expected, rows, 1), rtol=1e-4
  )
  assert (np.diff(scores, axis=1) <= 0).all()
  cosine = theirs.encode_document(TEXTS, normalize_embeddings=True)
  assert (rows[:, 0] != (theirs.encode_query(TEXTS) @ cosine.T).argmax(1)).any()
  embeddings.embed(model, TEXTS, "", tmp_path / "pieces", label="", where=str)
  np.testing.assert_allclose(
    embeddings.Store(tmp_path / "pieces", len(TEXTS))[:],
    theirs.encode(TEXTS),
    rtol=0,
    atol=1e-4,
  )
  corpus = tmp_path / "corpus.txt"
  corpus.write_text("\n".join(TEXTS) + "\n")
  search.search(str(copy), str(corpus), [TEXTS[0]], index=str(tmp_path / "i"))
  best = expected[0].max()
  assert f"\n  {best:5.3f}  " in capsys.readouterr().out
  with pytest.raises(UserError, match="learns the cosines of its teacher"):
    from nomic_jax.data import dataset

    dataset.write(
      tmp_path / "data", {"train": [dataset.row("a", "b")]}, stats={}
    )
    teach.teach(model, tmp_path / "data", tmp_path / "taught")


def test_other_similarities_embed_and_are_not_ranked(copy):
  _edit(
    copy / "config_sentence_transformers.json", similarity_fn_name="euclidean"
  )
  _assert_same(copy)
  model = nomic_jax.load(str(copy))
  with pytest.raises(UserError, match="compares by 'euclidean'"):
    systems.Dense(model).search(TEXTS, TEXTS, 1)


def test_a_default_prompt_stands_before_what_names_none(copy, tmp_path):
  _edit(
    copy / "config_sentence_transformers.json",
    prompts={"title": "the title "},
    default_prompt_name="title",
  )
  ours = _assert_same(copy)
  model, theirs = nomic_jax.load(str(copy)), _theirs(copy)
  assert np.abs(ours - theirs.encode(TEXTS, prompt="")).max() > 1e-3
  # As in sentence-transformers, queries get no prompt unless the files set one.
  np.testing.assert_allclose(
    systems.Dense(model).encode(TEXTS, "search_query"),
    theirs.encode_query(TEXTS),
    rtol=0,
    atol=1e-5,
  )
  embeddings.embed(
    model, TEXTS, "own ", tmp_path / "pieces", label="", where=str
  )
  np.testing.assert_allclose(
    embeddings.Store(tmp_path / "pieces", len(TEXTS))[:],
    theirs.encode(TEXTS, prompt="own "),
    rtol=0,
    atol=1e-5,
  )


@pytest.mark.parametrize("side", ["query", "document"])
def test_a_default_prompt_is_for_neither_queries_nor_documents(copy, side):
  other = {"query": "document", "document": "query"}[side]
  _edit(
    copy / "config_sentence_transformers.json",
    prompts={side: "the fox "},
    default_prompt_name=side,
  )
  model, theirs = nomic_jax.load(str(copy)), _theirs(copy)
  by_side = {
    name: getattr(model, f"encode_{name}")(TEXTS) for name in (side, other)
  }
  for name, vectors in by_side.items():
    np.testing.assert_allclose(
      vectors, getattr(theirs, f"encode_{name}")(TEXTS), rtol=0, atol=1e-5
    )
  assert np.abs(by_side[side] - by_side[other]).max() > 1e-3
  assert model.default_prompt == side  # of encode, as before
  _assert_same(copy)


LOWER = {"tokenizer_class": "BertTokenizerFast"}


@pytest.mark.parametrize(
  "name, changes",
  [
    ("sentence_bert_config.json", {"do_lower_case": True}),
    ("sentence_distilbert_config.json", {"do_lower_case": True}),
    ("tokenizer_config.json", LOWER | {"do_lower_case": True}),
    ("tokenizer_config.json", LOWER),  # transformers' default is True
    ("tokenizer_config.json", {"tokenizer_class": None}),  # a BERT's default
    (
      "tokenizer_config.json",
      LOWER | {"do_lower_case": False, "strip_accents": True},
    ),
    ("tokenizer_config.json", {"do_lower_case": True}),  # its class ignores it
  ],
)
def test_texts_are_changed_as_the_files_beside_say(
  copy, tmp_path, name, changes
):
  before = nomic_jax.load(str(copy)).encode(TEXTS)
  if name.startswith("sentence"):  # also under the older names of this file
    (copy / "sentence_bert_config.json").rename(copy / name)
  _edit(copy / name, **changes)
  ours = _assert_same(copy)
  asks = "tokenizer_class" in changes or name.startswith("sentence")
  assert (np.abs(ours - before).max() > 1e-3) == asks
  # The exported tokenizer includes the change.
  files = model_directory.read_model(copy)
  model_directory.write_model(
    tmp_path / "again",
    files.architecture,
    files.params,
    files.tokenizer_path,
    **files.usage.to_json(),
  )
  np.testing.assert_allclose(
    _assert_same(tmp_path / "again"), ours, rtol=0, atol=1e-6
  )
  tokenizer_lib.save(tokenizer_lib.load(copy), tmp_path / "saved")
  assert [
    e.ids for e in tokenizer_lib.load(tmp_path / "saved").encode_batch(TEXTS)
  ] == [e.ids for e in tokenizer_lib.load(copy).encode_batch(TEXTS)]


@pytest.mark.parametrize(
  "name, asked, spaced",
  [
    ("RobertaTokenizerFast", {"add_prefix_space": True}, True),
    ("RobertaTokenizer", {}, False),
    ("PreTrainedTokenizerFast", {}, True),  # as in tokenizer.json
  ],
)
def test_a_space_before_the_first_word_is_as_the_files_say(
  tmp_path, name, asked, spaced
):
  tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
  tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(
    add_prefix_space=not asked
  )
  tokenizer.train_from_iterator(
    TEXTS,
    tokenizers.trainers.BpeTrainer(
      vocab_size=300,
      show_progress=False,
      initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
    ),
  )
  tokenizer.save(str(tmp_path / "tokenizer.json"))
  _edit(tmp_path / "config.json", model_type="bert")
  _edit(tmp_path / "tokenizer_config.json", tokenizer_class=name, **asked)
  ours = tokenizer_lib.load(tmp_path).encode(TEXTS[0]).tokens
  theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
  assert ours == [t for t in theirs.tokenize(TEXTS[0])]
  assert ours[0].startswith("Ġ") == spaced


def test_the_class_of_a_type_of_model_is_that_of_transformers():
  theirs = tokenization_auto.TOKENIZER_MAPPING_NAMES
  ours = tokenizer_settings.OF_TYPE
  assert ours == {kind: theirs.get(kind) for kind in ours}
  for family in families.table():  # a new one needs a line if it has a class
    expected = theirs.get(family.name)
    assert ours.get(family.name, "TokenizersBackend") == expected or (
      expected not in ours.values()
    )


def test_a_modernbert_s_tokenizer_is_that_of_its_file(copy):
  """transformers ignores the class that such a model's files name."""
  _edit(copy / "tokenizer_config.json", **LOWER)
  words = tokenizers.Tokenizer.from_file(str(copy / "tokenizer.json"))
  for kind, changed in (("bert", True), ("modernbert", False)):
    _edit(copy / "config.json", model_type=kind, rope_parameters=None)
    ours = tokenizer_lib.load(copy).encode(TEXTS[4]).ids
    theirs = transformers.AutoTokenizer.from_pretrained(copy)
    assert ours == theirs(TEXTS[4])["input_ids"]
    assert (ours != words.encode(TEXTS[4]).ids) == changed


def test_tokens_that_only_the_settings_add_are_added(copy):
  before = nomic_jax.load(str(copy)).encode(TEXTS)
  _edit(
    copy / "tokenizer_config.json",
    added_tokens_decoder={
      "5": {
        "content": "o",
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "single_word": False,
        "special": False,
      }
    },
  )
  ours = tokenizer_lib.load(copy).encode(TEXTS[0])
  theirs = transformers.AutoTokenizer.from_pretrained(copy)
  assert ours.ids == theirs(TEXTS[0])["input_ids"]
  assert np.abs(_assert_same(copy) - before).max() > 1e-3


@pytest.mark.parametrize(
  "name, changes",
  [
    ("tokenizer_config.json", {"mask_token": "fox"}),
    ("tokenizer_config.json", {"extra_special_tokens": ["fox"]}),
    ("tokenizer_config.json", {"additional_special_tokens": ["fox"]}),
    ("special_tokens_map.json", {"additional_special_tokens": ["fox"]}),
    ("added_tokens.json", {"fox": 9}),
  ],
)
def test_declared_tokens_are_found_inside_words(copy, name, changes):
  tokenizer = tokenizer_lib.load(copy)
  assert tokenizer.token_to_id("fox") is not None  # precondition
  text = "the dogfoxdog"
  before = tokenizer.encode(text).tokens
  _edit(copy / name, **changes)
  ours = tokenizer_lib.load(copy).encode(text)
  theirs = transformers.AutoTokenizer.from_pretrained(copy)
  assert ours.ids == theirs(text)["input_ids"]
  assert "fox" in ours.tokens and "fox" not in before
  # One that the vocabulary lacks has no embedding.
  _edit(copy / "tokenizer_config.json", mask_token="<none>")
  assert tokenizer_lib.load(copy).token_to_id("<none>") is None


def test_special_tokens_that_a_text_may_not_have_are_refused(copy):
  _edit(copy / "tokenizer_config.json", split_special_tokens=True)
  with pytest.raises(UserError, match="split_special_tokens=true is not supp"):
    nomic_jax.load(str(copy))
  _edit(copy / "tokenizer_config.json", split_special_tokens=False)
  _assert_same(copy)


@pytest.mark.parametrize(
  "settings",
  [
    {},
    {"pooling_mode_mean_tokens": False},
    {"pooling_mode_cls_token": True},
    {"pooling_mode": ["cls"], "pooling_mode_mean_tokens": True},
  ],
)
def test_every_spelling_of_pooling(copy, settings):
  (copy / "1_Pooling" / "config.json").write_text(
    json.dumps({"word_embedding_dimension": WIDTH} | settings)
  )
  _assert_same(copy)


def test_token_types_are_refused(copy):
  tokenizer = tokenizers.Tokenizer.from_file(str(copy / "tokenizer.json"))
  tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
    single="[CLS]:1 $A:1 [SEP]:1",
    special_tokens=[(t, tokenizer.token_to_id(t)) for t in ("[CLS]", "[SEP]")],
  )
  tokenizer.save(str(copy / "tokenizer.json"))
  with pytest.raises(UserError, match="token types other than 0"):
    nomic_jax.load(str(copy))


@pytest.mark.parametrize(
  "kind, path",
  [("Router", ""), ("StaticEmbedding", ""), ("Transformer", "0_Transformer")],
)
def test_a_folder_without_an_encoder_beside_its_modules_is_named(
  tmp_path, kind, path
):
  (tmp_path / "modules.json").write_text(
    json.dumps([{"idx": 0, "name": "0", "path": path, "type": OLD + kind}])
  )
  if path:
    (tmp_path / path).mkdir()
    (tmp_path / path / "config.json").write_text("{}")
  with pytest.raises(UserError, match="modules.json: .*" + kind):
    nomic_jax.load(str(tmp_path))


@pytest.mark.parametrize("beside", [True, False])
def test_truncation_of_the_start_is_refused(copy, beside):
  if beside:
    _edit(copy / "tokenizer_config.json", truncation_side="left")
  else:
    _edit(
      copy / "tokenizer.json",
      truncation={
        "direction": "Left",
        "max_length": 9,
        "stride": 0,
        "strategy": "LongestFirst",
      },
    )
  with pytest.raises(UserError, match="truncation_side='left'"):
    nomic_jax.load(str(copy))
  _edit(copy / "tokenizer_config.json", truncation_side="right")
  _assert_same(copy)


def test_a_missing_post_processor_is_reported(copy):
  _edit(copy / "tokenizer.json", post_processor=None)
  with pytest.warns(UserWarning, match="no post-processor that adds special"):
    model = nomic_jax.load(str(copy))
  np.testing.assert_allclose(
    model.encode(TEXTS), _theirs(copy).encode(TEXTS), rtol=0, atol=1e-5
  )
  assert not model.encode([""]).any()
  # transformers' own class adds them anyway.
  _edit(
    copy / "tokenizer_config.json",
    tokenizer_class="BertTokenizer",
    do_lower_case=False,
  )
  _assert_same(copy)


def test_a_missing_modules_json_is_reported(copy):
  (copy / "modules.json").unlink()
  shutil.rmtree(copy / "1_Pooling")
  with pytest.warns(UserWarning, match="mean pooling is assumed"):
    _assert_same(copy)


@pytest.mark.parametrize(
  "name, changes, message",
  [
    (
      "config_sentence_transformers.json",
      {"truncate_dim": 8},
      "truncate_dim=8 is not supported; expected None",
    ),
    (
      "config_sentence_transformers.json",
      {"model_type": "SparseEncoder"},
      "model_type='SparseEncoder' is not supported",
    ),
    (
      "config_sentence_transformers.json",
      {"similarity_fn_name": "maxsim"},
      "similarity_fn_name='maxsim' is not supported",
    ),
    (
      "config_sentence_transformers.json",
      {"sparsity": 1},
      "unknown key 'sparsity'",
    ),
    (
      "sentence_bert_config.json",
      {"max_seq_lenght": 8},
      "unknown key 'max_seq_lenght'.* Did you mean 'max_seq_length'",
    ),
    (
      "sentence_bert_config.json",
      {"query_length": 8},
      "query_length=8 is not supported",
    ),
    (
      "sentence_bert_config.json",
      {"transformer_task": "fill-mask"},
      "transformer_task='fill-mask' is not supported",
    ),
    (
      "sentence_bert_config.json",
      {"tokenizer_args": {"add_eos": True}},
      "tokenizer_args: unknown key 'add_eos'",
    ),
    (
      "sentence_bert_config.json",
      {"modality_config": {"image": {}}},
      "modality_config is ",
    ),
    (
      "1_Pooling/config.json",
      {"pooling_mode_first": True},
      "unknown key 'pooling_mode_first'",
    ),
    (
      "1_Pooling/config.json",
      {"word_embedding_dimension": 64},
      "word_embedding_dimension is 64, but the encoder has width 32",
    ),
    (
      "1_Pooling/config.json",
      {"pooling_mode": ["cls", "mean"]},
      "pooling by cls and mean is not supported",
    ),
    (
      "1_Pooling/config.json",
      {"pooling_mode": ["mean", "first"]},
      "pooling by mean and first is not supported",
    ),
    (
      "1_Pooling/config.json",
      {"pooling_mode": ["mean", "mean"]},
      "pooling by mean and mean is not supported",
    ),
    (
      "config.json",
      {"pad_token_id": 5000},
      "pad_token_id=5000 has no row in a table of vocab_size",
    ),
    (
      "config.json",
      {"architectures": ["BertForSequenceClassification"]},
      "BertForSequenceClassification, not an embedding model",
    ),
    (
      "config.json",
      {"architectures": ["HF_ColBERT"]},
      "HF_ColBERT, not an embedding model",
    ),
    ("adapter_config.json", {}, "adapter_config.json, but a PEFT adapter"),
  ],
)
def test_what_is_not_computed_is_refused(copy, name, changes, message):
  _edit(copy / name, **changes)
  with pytest.raises(UserError, match=message) as error:
    nomic_jax.load(str(copy))
  assert str(copy) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
  "change, message",
  [
    (
      lambda m: m.insert(1, {"path": "w", "type": OLD + "WordEmbeddings"}),
      "module 'WordEmbeddings' is not supported",
    ),
    (
      lambda m: m[1].update(
        type=("sentence_transformers.sparse_encoder.modules.SpladePooling")
      ),
      "module 'SpladePooling' is not supported",
    ),
    (
      lambda m: m[1].update(type="pylate.models.Pooling"),
      r"module 'Pooling' is not supported \(pylate.models.Pooling\)",
    ),
    (lambda m: m[2].update(kwargs=["task"]), "kwargs=.'task'. is not suppor"),
    (lambda m: m[2].update(only_query=True), "unknown key 'only_query'"),
    (lambda m: m.reverse(), "expected one Transformer, first"),
    (lambda m: m.insert(1, m.pop()), "module 'Normalize' right after the Tra"),
    (lambda m: m[0].update(path="0_Transformer"), "expected one Transformer"),
    (lambda m: m[2].update(path="../x"), "expected a folder beside the file"),
    (lambda m: m[2].update(name="0"), "two modules have the same name"),
  ],
)
def test_modules_that_are_not_computed_are_refused(copy, change, message):
  listed = json.loads((copy / "modules.json").read_text())
  change(listed)
  (copy / "modules.json").write_text(
    json.dumps([{"idx": i, "name": f"n{i}"} | x for i, x in enumerate(listed)])
  )
  with pytest.raises(UserError, match=message) as error:
    nomic_jax.load(str(copy))
  assert str(copy) in str(error.value)


def test_newer_names_of_the_same(copy):
  """The spellings of version 6 that differ from earlier versions."""
  _theirs(copy).save_pretrained(str(copy.parent / "newer"))
  listed = json.loads((copy.parent / "newer" / "modules.json").read_text())
  assert any(not x["type"].startswith(OLD) for x in listed)  # precondition
  _assert_same(copy.parent / "newer")


def test_ids_beyond_the_table_are_refused(copy):
  words = tokenizer_lib.load(copy)
  rows = words.get_vocab_size()
  words.add_tokens([f"zz{i}" for i in range(3)])
  words.save(str(copy / "tokenizer.json"))
  with pytest.raises(
    UserError,
    match=(
      f"tokenizer.json has id {rows + 2}, but the model has {rows} embedding "
      "rows; specify the tokenizer"
    ),
  ):
    nomic_jax.load(str(copy))
