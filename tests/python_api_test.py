# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The package's Python interface does what the command line does."""

import dataclasses
import json
import pathlib
import shutil

import ml_collections
import numpy as np
import pytest
import sentence_transformers
from support import small_data
from support import tiny

import nomic_jax
from nomic_jax.cli import functions
from nomic_jax.embed.model import Model
from nomic_jax.errors import UserError
from nomic_jax.hub import model_directory
from nomic_jax.jobs import adapt as adapt_job
from nomic_jax.jobs import evaluate as evaluate_job
from nomic_jax.jobs import train as train_job
from nomic_jax.main import main
from nomic_jax.model.encoder import Encoder

ARCHITECTURE = dataclasses.replace(
  tiny.CONFIG, vocab_size=200, max_length=100
).architecture
PROMPTS = {"search_query": "search : ", "search_document": "item : "}
TEXTS = ["alpha beta", "gamma"]


@pytest.fixture(name="directory", scope="module")
def _directory(tmp_path_factory):
  path = tmp_path_factory.mktemp("api") / "model"
  model_directory.write_model(
    path,
    ARCHITECTURE,
    tiny.params(Encoder(ARCHITECTURE)),
    tiny.words(),
    PROMPTS,
  )
  return path


@pytest.fixture(name="model", scope="module")
def _model(directory):
  return nomic_jax.load(str(directory))


@pytest.fixture(name="data", scope="module")
def _data(tmp_path_factory):
  return small_data.make(tmp_path_factory.mktemp("data"))


@pytest.mark.slow
def test_train_and_evaluate_do_what_the_commands_do(data, tmp_path):
  config = nomic_jax.config(
    f"{small_data.ROOT}/configs/mlm.py:miniature",
    f"data.path={data}",
    "steps=3",
  )
  assert isinstance(config, ml_collections.ConfigDict)
  config.checkpoint.every = 1  # not locked, and not what train changes
  nomic_jax.train(config, tmp_path / "here")
  assert (
    main(
      [
        "train",
        f"--config={small_data.ROOT}/configs/mlm.py:miniature",
        f"--config.data.path={data}",
        "--config.steps=3",
        "--config.checkpoint.every=1",
        f"--workdir={tmp_path}/there",
      ]
    )
    == 0
  )
  losses = [
    [
      json.loads(line).get("loss")
      for line in (tmp_path / run / "metrics.jsonl").read_text().splitlines()
    ]
    for run in ("here", "there")
  ]
  assert losses[0] == losses[1] and losses[0][0] is not None
  found = nomic_jax.evaluate(tasks=data, baseline="bm25")
  (system,) = found["models"]
  assert system["name"] == "bm25" and not (tmp_path / "here.json").exists()


def test_arguments_are_those_of_the_command_and_checked():
  assert set(nomic_jax.__dir__()) >= {"train", "evaluate", "mine", "prepare"}
  for wrong, message in (
    (dict(worker=1), "train has no argument worker. Did you mean 'workdir'"),
    (dict(config="x.py"), "train needs the argument workdir"),
  ):
    with pytest.raises(TypeError, match=message):
      nomic_jax.train(**wrong)
  with pytest.raises(TypeError, match="train was given config twice"):
    nomic_jax.train("x.py", config="x.py")
  with pytest.raises(TypeError, match="takes at most 4 arguments"):
    nomic_jax.train(1, 2, 3, 4, 5)
  with pytest.raises(UserError, match="no file nowhere.py"):
    nomic_jax.train("nowhere.py", "run")
  with pytest.raises(AttributeError, match="no attribute 'trian'"):
    _ = nomic_jax.trian
  flag = "optimizer.lr=1"  # of the usual name; difflib finds encoder.layers
  with pytest.raises(UserError, match="Did you mean 'optimizer.learning_rate'"):
    nomic_jax.config(f"{small_data.ROOT}/configs/mlm.py", flag)
  given = {}

  def job(*, model=(), dim=(), config=None, fields=None):
    given.update(model=model, dim=dim, config=config)
    assert fields in (None, ["--config.steps=2", "--config.b=1"])

  job.__annotations__ = {
    "model": evaluate_job.evaluate.__annotations__["model"],
    "dim": evaluate_job.evaluate.__annotations__["dim"],
    "config": train_job.train.__annotations__["config"],
    "fields": adapt_job.adapt.__annotations__["config"],
  }
  call = functions.function(job)
  call(model=pathlib.Path("a"), dim="8,4", config=["f.py", "steps=2"])
  assert given == {
    "model": ["a"],
    "dim": [8, 4],
    "config": ["--config=f.py", "--config.steps=2"],
  }
  fields = ["steps=2", "--config.b=1"]
  call(["a", pathlib.Path("b")], 8, "f.py:x", fields)
  assert given == {
    "model": ["a", "b"],
    "dim": [8],
    "config": ["--config=f.py:x"],
  }


@pytest.mark.parametrize(
  "given, message",
  [
    (dict(negatives=True), "negatives=True: expected a whole number"),
    (dict(batch_size=16.5), "batch_size=16.5: expected a whole number"),
    (dict(batch_size="many"), "batch_size='many': expected a whole number"),
    (dict(epochs="some"), "epochs='some': expected a number"),
    (dict(epochs=[3]), r"epochs=\[3\]: expected a number"),
    (dict(export_start="no"), "export_start='no': expected True or False"),
    # Read as the command does, and then found too small.
    (dict(epochs="0"), "--epochs=0: expected more than 0"),
    (dict(batch_size=np.int64(1)), "--batch_size=1: expected 2 or more"),
    (dict(learning_rate="0"), "--learning_rate=0: expected more than 0"),
  ],
)
def test_values_of_another_type_are_named(tmp_path, given, message):
  with pytest.raises(UserError, match=f"^{message}$"):
    nomic_jax.adapt("no model", "no source", tmp_path / "out", **given)


def test_lists_that_cannot_be_read_are_named():
  with pytest.raises(UserError, match="dim: 'wide' is not a list of whole"):
    nomic_jax.evaluate("no model", tasks="x", dim="wide")


def test_habits_of_sentence_transformers(model, directory):
  theirs = sentence_transformers.SentenceTransformer(
    str(directory), device="cpu"
  )
  close = lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6)
  one = model.encode(TEXTS[0])
  assert one.shape == (model.width,)
  close(one, theirs.encode(TEXTS[0]))
  close(model.encode_query(TEXTS), theirs.encode_query(TEXTS))
  close(model.encode_document(TEXTS[1]), theirs.encode_document(TEXTS[1]))
  assert np.abs(model.encode_query(TEXTS) - model.encode(TEXTS)).max() > 0.01
  for options in (
    dict(prompt_name="search_query"),
    dict(truncate_dim=8, normalize_embeddings=True),
    dict(normalize_embeddings=False),
    dict(convert_to_numpy=True, convert_to_tensor=False, device=None),
    dict(output_value="sentence_embedding", show_progress_bar=False),
  ):
    close(model.encode(TEXTS, **options), theirs.encode(TEXTS, **options))
  vectors = model.encode([*TEXTS, "delta"], normalize=False)
  for name in ("cosine", "dot", "euclidean", "manhattan"):
    theirs.similarity_fn_name = name
    ours = Model(
      model.architecture, model.params, model.tokenizer, {}, similarity=name
    )
    for compare, a, b in (
      ("similarity", vectors[:2], vectors),
      ("similarity_pairwise", vectors[:2], vectors[1:]),
    ):
      np.testing.assert_allclose(
        getattr(ours, compare)(a, b),
        getattr(theirs, compare)(a, b),
        rtol=1e-4,
        atol=2e-5,
      )
  assert model.similarity(vectors[0], vectors[0]).shape == (1, 1)


def test_prompts_are_found_as_in_sentence_transformers(directory, tmp_path):
  """An explicit prompt replaces the one of queries or documents."""
  copy = tmp_path / "model"
  shutil.copytree(directory, copy)
  settings = copy / "config_sentence_transformers.json"
  values = json.loads(settings.read_text())
  prompts = {"query": "alpha ", "document": "beta "}
  settings.write_text(json.dumps(values | {"prompts": prompts}))
  ours = nomic_jax.load(str(copy))
  theirs = sentence_transformers.SentenceTransformer(str(copy), device="cpu")
  for name, options in (
    ("encode_query", {}),
    ("encode_document", {}),
    ("encode_document", dict(prompt_name="query")),
    ("encode_query", dict(normalize_embeddings=True, truncate_dim=4)),
  ):
    np.testing.assert_allclose(
      getattr(ours, name)(TEXTS, **options),
      getattr(theirs, name)(TEXTS, **options),
      atol=2e-6,
    )
  ours.prompts = theirs.prompts = {"query": "kappa "}
  np.testing.assert_allclose(
    ours.encode_query(TEXTS), theirs.encode_query(TEXTS), atol=2e-6
  )
  ours.default_prompt = "nonsense"
  with pytest.raises(UserError, match="no prompt 'nonsense'; this model has q"):
    ours.encode(TEXTS)
  with pytest.raises(UserError, match=r"'search : ' \(a name; put a text"):
    ours.encode(TEXTS, prompt="search : ")


@pytest.mark.parametrize(
  "texts",
  [
    {"alpha": 1},
    {"alpha", "beta"},
    np.array([TEXTS, TEXTS]),
    iter(TEXTS),
    None,
    5,
  ],
)
def test_only_lists_of_texts_are_encoded(model, texts):
  with pytest.raises(UserError, match="expected a list of texts, found"):
    model.encode(texts)


def test_a_column_of_a_table_is_encoded_but_not_a_table(model):
  pandas = pytest.importorskip("pandas")
  column = pandas.Series(TEXTS, index=[5, 7])
  np.testing.assert_array_equal(model.encode(column), model.encode(TEXTS))
  with pytest.raises(UserError, match="found an object of type DataFrame"):
    model.encode(pandas.DataFrame({"text": TEXTS, "other": TEXTS}))


@pytest.mark.parametrize(
  "options, message",
  [
    (dict(batch_size=32), "no argument batch_size: texts are packed"),
    (dict(convert_to_tensor=True), "no argument convert_to_tensor: .*torch"),
    (dict(promptname="x"), "no argument promptname. Did you mean"),
    (
      dict(prompt="search_query", prompt_name="search_query"),
      "prompt_name and prompt are the same argument",
    ),
    (dict(truncate_dim=0), "dim 0 is not between"),
  ],
)
def test_unsupported_arguments_of_encode_are_named(model, options, message):
  with pytest.raises(UserError, match=message):
    model.encode(TEXTS, **options)


def test_other_names_of_attributes_are_reported(model):
  with pytest.raises(AttributeError, match="its name here is max_tokens"):
    _ = model.max_seq_length
  with pytest.raises(AttributeError, match="no attribute 'nonsense'$"):
    _ = model.nonsense
  assert not hasattr(model, "tokenize")
  for name, value in (("max_seq_length", 9), ("truncate_dim", 8)):
    with pytest.raises(AttributeError, match="its name here is"):
      setattr(model, name, value)
  ours = Model(ARCHITECTURE, model.params, model.tokenizer, {})
  ours.similarity_fn_name = "nonsense"
  with pytest.raises(UserError, match="similarity_fn_name: 'nonsense' is unkn"):
    ours.similarity([1.0], [1.0])
  with pytest.raises(UserError, match="pairwise: 2 and 1 vectors; expected as"):
    model.similarity_pairwise([[1.0], [2.0]], [[1.0]])


def test_arguments_of_loading_are_answered(directory):
  for options, message in (
    (dict(device="cpu"), "no argument device: JAX chooses it"),
    (dict(trust_remote_code=True), "the code of a model is never run"),
    (dict(dtyp="float32"), "no argument dtyp. Did you mean 'dtype'"),
  ):
    with pytest.raises(UserError, match=message):
      nomic_jax.load(str(directory), **options)


def test_save_pretrained_writes_the_same_model(model, tmp_path):
  model.save_pretrained(tmp_path / "saved")
  again = nomic_jax.load(str(tmp_path / "saved"))
  assert again.prompts == model.prompts
  np.testing.assert_array_equal(
    again.encode_query(TEXTS), model.encode_query(TEXTS)
  )
  theirs = sentence_transformers.SentenceTransformer(
    str(tmp_path / "saved"), device="cpu"
  )
  np.testing.assert_allclose(
    theirs.encode_query(TEXTS), model.encode_query(TEXTS), atol=2e-6
  )
