# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Model directories: whole, damaged, sharded, from a training, on the Hub."""

import dataclasses
import json
import logging
import pathlib
import shutil
import sys
import warnings

from absl import logging as absl_logging
import huggingface_hub
from huggingface_hub import constants
import huggingface_hub.utils
import jax
import numpy as np
import pytest
import safetensors.torch
from support import hub_random
import torch

from nomic_jax.curate import parts
from nomic_jax.embed import store as embeddings
from nomic_jax.errors import UserError
from nomic_jax.evaluation import paths
from nomic_jax.hub import fetch
from nomic_jax.hub import model_directory
from nomic_jax.model import architecture_json
from nomic_jax.model.config import EncoderConfig
from nomic_jax.model.head import Head
from nomic_jax.run import checkpoint
from nomic_jax.run import models
from nomic_jax.run import orbax_errors
from nomic_jax.text import tokenizer as tokenizer_lib
from nomic_jax.text.prompts import PROMPTS

SIZES = dict(
  vocab_size=96, width=64, layers=2, heads=4, mlp_width=256, max_length=128
)
CONFIG = EncoderConfig(**SIZES).architecture


@pytest.fixture
def directory(tmp_path):
  """A good model directory."""
  model_directory.write_model(
    tmp_path / "model",
    CONFIG,
    hub_random.trees(CONFIG)["encoder"],
    hub_random.tokenizer(),
    PROMPTS,
  )
  return tmp_path / "model"


def _same(a, b):
  assert jax.tree.structure(a) == jax.tree.structure(b)
  jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize(
  "changes",
  [
    {},
    dict(pooler=True),
    dict(pooling="cls", pooled_norm=True),
    dict(pooled_norm=True, projection=24),
    dict(pooling="none"),
    dict(
      position="learned",
      activation="gelu",
      qkv_bias=True,
      mlp_in_bias=True,
      mlp_out_bias=True,
      pooler=True,
    ),
  ],
)
@pytest.mark.parametrize("heads", [(False, 0), (True, 0), (False, 3)])
def test_what_was_written_is_read(tmp_path, changes, heads):
  config = EncoderConfig(**SIZES | changes).architecture
  if heads[1]:
    config = dataclasses.replace(config, pooler=False)
  trees = hub_random.trees(config, *heads)
  model_directory.write_model(
    tmp_path / "model",
    config,
    trees["encoder"],
    hub_random.tokenizer(),
    PROMPTS,
    mlm_head=trees.get("mlm_head"),
    classification_head=trees.get("classification_head"),
  )
  files = model_directory.read_model(tmp_path / "model")
  assert files.architecture == config
  _same(files.params, trees["encoder"])
  _same(files.mlm_head, trees.get("mlm_head"))
  _same(files.classification_head, trees.get("classification_head"))
  assert files.tokenizer_path.name == "tokenizer.json"


def test_a_classifier_brings_its_own_pooler(tmp_path):
  config = dataclasses.replace(CONFIG, pooler=True)
  encoder = hub_random.trees(config)["encoder"]
  head = hub_random.trees(CONFIG, labels=2)["classification_head"]
  model_directory.write_model(
    tmp_path / "model",
    config,
    encoder,
    hub_random.tokenizer(),
    PROMPTS,
    classification_head=head,
  )
  files = model_directory.read_model(tmp_path / "model")
  assert not files.architecture.pooler and "pooler" not in files.params
  _same(files.classification_head, head)


def test_read_and_written_again_is_the_same_bytes(directory, tmp_path):
  files = model_directory.read_model(directory)
  model_directory.write_model(
    tmp_path / "again",
    files.architecture,
    files.params,
    files.tokenizer_path,
    files.prompts,
  )
  listed = sorted(p.relative_to(directory) for p in directory.rglob("*"))
  assert listed == sorted(
    p.relative_to(tmp_path / "again") for p in (tmp_path / "again").rglob("*")
  )
  for name in listed:
    if (directory / name).is_file():
      assert (tmp_path / "again" / name).read_bytes() == (
        directory / name
      ).read_bytes(), name


def test_shards(directory):
  expected = model_directory.read_model(directory).params
  _shard(directory)
  _same(model_directory.read_model(directory).params, expected)


def test_bfloat16(directory):
  file = directory / "model.safetensors"
  tensors = safetensors.torch.load_file(file)
  safetensors.torch.save_file(
    {name: t.to(torch.bfloat16) for name, t in tensors.items()}, file
  )
  table = model_directory.read_model(directory).params["word"]["embedding"]
  assert table.dtype == np.float32
  np.testing.assert_array_equal(
    table,
    tensors["embeddings.word_embeddings.weight"]
    .to(torch.bfloat16)
    .float()
    .numpy(),
  )


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.int8])
def test_quantized_weights_are_refused(directory, dtype):
  file = directory / "model.safetensors"
  tensors = safetensors.torch.load_file(file)
  name = "embeddings.word_embeddings.weight"
  tensors[name] = tensors[name].to(dtype)
  safetensors.torch.save_file(tensors, file)
  with pytest.raises(
    UserError, match=f"'{name}' is stored as .8.*, and quantized weights"
  ):
    model_directory.read_model(directory)


def test_a_failed_write_leaves_what_was_there(directory):
  before = (directory / "model.safetensors").read_bytes()
  with pytest.raises(UserError, match="no tokenizer.json|cannot read"):
    model_directory.write_model(
      directory,
      CONFIG,
      hub_random.trees(CONFIG)["encoder"],
      directory.parent / "nothing",
      PROMPTS,
    )
  assert (directory / "model.safetensors").read_bytes() == before
  assert [p.name for p in directory.parent.iterdir()] == ["model"]


@pytest.mark.parametrize("form", ["flat", "nested"])  # flat: version 0.1.0
def test_a_work_directory(tmp_path, monkeypatch, form):
  trees = hub_random.trees(CONFIG, with_head=True)
  work = tmp_path / "work"
  (work / "checkpoints").mkdir(parents=True)
  (work / "tokenizer").mkdir()
  hub_random.tokenizer().save(str(work / "tokenizer" / "tokenizer.json"))
  encoder = work / "encoder.json"
  old = SIZES | dict(pooling="mean", output_layers=[], rotary_factor=None)
  encoder.write_text(
    json.dumps(old if form == "flat" else (architecture_json.to_json(CONFIG)))
  )
  monkeypatch.setattr(checkpoint, "restore_params", lambda path, step="": trees)
  files = models.read_model(work)
  assert files.architecture == CONFIG and files.prompts == PROMPTS
  assert files.params is trees["encoder"]
  assert files.mlm_head is trees["mlm_head"]
  encoder.write_text(json.dumps(SIZES | {"mlp_width": 1}))
  with pytest.raises(UserError, match=r"work: .*misshapen .*encoder/layers/up"):
    models.read_model(work)
  encoder.write_text('{"widht": 64}')
  with pytest.raises(UserError, match="'widht'.*Did you mean 'width'"):
    models.read_model(work)


def _shard(directory: pathlib.Path) -> pathlib.Path:
  """Splits the weights into two files and their index."""
  file = directory / "model.safetensors"
  tensors = safetensors.torch.load_file(file)
  file.unlink()
  placed = {
    name: f"model-0000{1 + i % 2}-of-00002.safetensors"
    for i, name in enumerate(tensors)
  }
  for shard in set(placed.values()):
    safetensors.torch.save_file(
      {n: t for n, t in tensors.items() if placed[n] == shard},
      directory / shard,
    )
  index = directory / "model.safetensors.index.json"
  index.write_text(json.dumps({"metadata": {}, "weight_map": placed}))
  return index


def _remove(name):
  return lambda directory: (directory / name).unlink()


def _only_pickle(directory):
  (directory / "model.safetensors").rename(directory / "pytorch_model.bin")


def _cut(directory):
  file = directory / "model.safetensors"
  file.write_bytes(file.read_bytes()[:-100])


def _without_a_tensor(directory):
  file = directory / "model.safetensors"
  tensors = safetensors.torch.load_file(file)
  del tensors["emb_ln.bias"]
  tensors["emb_ln.weight"] = torch.ones(32)
  safetensors.torch.save_file(tensors, file)


def _without_a_shard(directory):
  _shard(directory)
  (directory / "model-00002-of-00002.safetensors").unlink()


def _index(change):
  def apply(directory):
    index = _shard(directory)
    values = json.loads(index.read_text())
    change(values)
    index.write_text(json.dumps(values))

  return apply


@pytest.mark.parametrize(
  "damage, message",
  [
    (_remove("config.json"), "not a model, since it has no config.json"),
    (_remove("model.safetensors"), "no weights; expected model.safetensors"),
    (_remove("tokenizer.json"), "no tokenizer.json"),
    (
      _only_pickle,
      r"only pickled weights \(pytorch_model.bin\), .*never.*AutoModel",
    ),
    (_cut, "model.safetensors: damaged or truncated"),
    (
      _without_a_tensor,
      r"missing emb_ln.bias; misshapen emb_ln.weight \(expected \[64\], "
      r"found \[32\]\)",
    ),
    (_without_a_shard, "model-00002-of-00002.safetensors: no such file"),
    (
      _index(
        lambda v: v["weight_map"].update(
          other="model-00001-of-00002.safetensors"
        )
      ),
      "no tensor 'other'",
    ),
    (
      _index(lambda v: v["weight_map"].update(other="../x.safetensors")),
      "'other' is in '../x.safetensors'; expected a file beside",
    ),
    (_index(lambda v: v.pop("weight_map")), "no 'weight_map'"),
    (
      lambda d: (d / "config.json").write_text("{"),
      "config.json: not valid JSON",
    ),
    (
      lambda d: (d / "config.json").write_bytes(b"\xff{}"),
      "config.json: not valid JSON",
    ),
  ],
)
def test_a_broken_directory_says_what_is_wrong(directory, damage, message):
  damage(directory)
  with pytest.raises(UserError, match=message) as error:
    model_directory.read_model(directory)
  assert str(directory) in str(error.value) and "\n" not in str(error.value)


def test_a_mistyped_directory(directory):
  with pytest.raises(UserError, match="Did you mean 'model'"):
    model_directory.read_model(directory.parent / "modle")


def test_files_fetched_from_the_hub():
  fetched = list(
    huggingface_hub.utils.filter_repo_objects(
      [
        "config.json",
        "1_Pooling/config.json",
        "model.safetensors",
        "model-00001-of-00002.safetensors",
        "pytorch_model.bin",
        "2_Dense/model.safetensors",
        "onnx/model.onnx",
        "vocab.txt",
      ],
      allow_patterns=fetch.HUB_FILES,
    )
  )
  assert fetched == [
    "config.json",
    "1_Pooling/config.json",
    "model.safetensors",
    "model-00001-of-00002.safetensors",
    "2_Dense/model.safetensors",
    "vocab.txt",
  ]


@pytest.fixture
def hub(tmp_path, monkeypatch):
  """huggingface_hub without network; returns a function that caches a model."""
  cache = tmp_path / "cache"
  monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
  monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))

  def add(name, source):
    place = cache / f"models--{name.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("abc123")
    (place / "snapshots").mkdir()
    shutil.copytree(source, place / "snapshots" / "abc123")

  return add


@pytest.mark.parametrize("name", ["some/model", "a-model"])
def test_a_hub_model_in_the_cache(directory, hub, name):
  hub(name, directory)
  files = model_directory.read_model(name)
  assert files.architecture == CONFIG
  _same(files.params, model_directory.read_model(directory).params)


@pytest.mark.parametrize("place", ["beside", "directory", "hub", "nowhere"])
def test_a_training_checkpoint_of_contrastors(directory, hub, place):
  """With names in trunk., a config without architecture, and a projection."""
  expected = model_directory.read_model(directory).params
  config = directory / "config.json"
  trunk = directory.parent / "trunk"
  trunk.mkdir()
  config.rename(trunk / "config.json")
  file = directory / "model.safetensors"
  tensors = {
    f"trunk.{k}": v for k, v in safetensors.torch.load_file(file).items()
  }
  # BiEncoder has its own setting for padding the vocabulary.
  word = "trunk.embeddings.word_embeddings.weight"
  tensors[word] = torch.cat([tensors[word], torch.zeros(32, 64)])
  tensors |= {"proj.weight": torch.ones(24, 64), "proj.bias": torch.ones(24)}
  safetensors.torch.save_file(tensors, file)
  (directory / "modules.json").unlink()
  config.write_text(
    json.dumps(
      dict(
        model_name=str(trunk) if place == "directory" else "some/trunk",
        projection_dim=24,
        pooling="cls",
        hamming=True,
        logit_scale=50,
      )
    )
  )
  if place == "hub":
    hub("some/trunk", trunk)
  elif place == "beside":
    shutil.copy(trunk / "config.json", directory / "trunk_config.json")
  elif place == "nowhere":
    with pytest.raises(UserError, match="'some/trunk'.*trunk_config.json"):
      model_directory.read_model(directory)
    return
  files = model_directory.read_model(directory)
  assert files.architecture == dataclasses.replace(
    CONFIG, vocab_size=128, head=Head("cls").simple(64, True, 24)
  )
  _same(files.params["layers"], expected["layers"])
  assert files.params["projection"]["kernel"].shape == (64, 24)
  config.write_text(config.read_text().replace('"cls"', '"map"'))
  with pytest.raises(UserError, match="pooling 'map' is not supported"):
    model_directory.read_model(directory)


def test_the_hub_offline(tmp_path, monkeypatch):
  monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
  monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
  with pytest.raises(UserError, match="HF_HUB_OFFLINE=1 forbids") as error:
    model_directory.read_model("some/model-that-is-nowhere")
  assert "\n" not in str(error.value)
  (tmp_path / "my-model").mkdir()
  monkeypatch.chdir(tmp_path)
  with pytest.raises(UserError, match="my-modle: .* Did you mean 'my-model'"):
    model_directory.read_model("my-modle")


def test_the_hub_out_of_reach(monkeypatch):
  def snapshot_download(name, **_):
    raise huggingface_hub.errors.LocalEntryNotFoundError("no route\nto host")

  monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
  monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
  with pytest.raises(UserError, match=r"could not be downloaded \(no route\)"):
    model_directory.read_model("some/model")


def test_a_hub_name_stands_wherever_a_directory_may(directory, hub, tmp_path):
  hub("some/model", directory)
  (where,) = paths.named_paths(["some/model"], "--model", hub=True).values()
  assert (where / "config.json").is_file()
  ids = tokenizer_lib.load("some/model").encode("a b").ids
  assert ids == tokenizer_lib.load(directory).encode("a b").ids
  found = embeddings.locate("some/model")
  assert parts.identity(found) == parts.identity(where)
  model = object()
  assert embeddings.locate(model) is model
  with pytest.raises(UserError, match="as a Hub model it is not cached"):
    tokenizer_lib.load("some/other")


def test_reading_a_training_leaves_the_process_as_it_was(tmp_path):
  """Settings of logging and warnings are unchanged, also after an error."""
  state = lambda: (
    absl_logging.get_verbosity(),
    logging.getLogger("asyncio").level,
    list(warnings.filters),
    sys.unraisablehook,
    jax.config.jax_compilation_cache_dir,
  )
  before = state()
  with orbax_errors.silenced():
    assert state() != before  # control
  assert state() == before
  with pytest.raises(UserError, match="no checkpoint under"):
    checkpoint.restore_params(tmp_path)
  saved = checkpoint.Checkpoints(tmp_path / "run", keep=1)
  assert state() != before
  saved.close()
  assert state() == before
