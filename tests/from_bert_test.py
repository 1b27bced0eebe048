# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Training that starts from a BERT: unchanged, or made rotary."""

import json
import shutil

import numpy as np
import pytest
from support import small_data
from support import tiny
import torch
import transformers

from nomic_jax import main
from nomic_jax.cli import config_flags
from nomic_jax.data import dataset
from nomic_jax.errors import UserError
from nomic_jax.hub import long_context
from nomic_jax.hub import model_directory
from nomic_jax.losses.classification import Classification
from nomic_jax.model.encoder import Encoder
from nomic_jax.model.head import Module
from nomic_jax.run import models
from nomic_jax.run.start import find_start
from nomic_jax.run.start import merged
from nomic_jax.text import tokenizer as tokenizer_lib

pytestmark = pytest.mark.slow


@pytest.fixture(name="place", scope="module")
def _place(tmp_path_factory):
  """Data, and a BERT with an MLM head and a pooler that reads its tokens."""
  place = tmp_path_factory.mktemp("from_bert")
  folder = dataset.tokenizer_path(small_data.make(place))
  words = tokenizer_lib.load(folder).get_vocab_size()
  assert words % 64
  torch.manual_seed(0)
  model = transformers.BertForPreTraining(
    transformers.BertConfig(
      vocab_size=words,
      hidden_size=16,
      num_hidden_layers=1,
      num_attention_heads=2,
      intermediate_size=16,
      max_position_embeddings=64,
    )
  )
  torch.nn.init.normal_(model.cls.predictions.bias)
  model.save_pretrained(place / "bert")
  shutil.copy(folder / "tokenizer.json", place / "bert")
  bert = models.read_model(place / "bert")
  model_directory.write_model(
    place / "projected",
    bert.architecture.with_head(modules=(Module("dense", 8),)),
    bert.params
    | {
      "projection": {"kernel": np.ones((16, 8), "f"), "bias": np.ones(8, "f")}
    },
    bert.tokenizer_path,
    {},
  )
  return place


def test_a_rotary_bert_is_the_bert_without_positions(place):
  bert = models.read_model(place / "bert")
  made = long_context.from_bert(bert, max_length=4096)
  words = bert.architecture.vocab_size
  assert made.architecture.rotary and made.architecture.rope
  assert made.architecture.max_length == 4096
  assert made.architecture.vocab_size % 64 == 0
  assert 0 < made.architecture.vocab_size - words < 64
  table = made.params["word"]["embedding"]
  np.testing.assert_array_equal(table[:words], bert.params["word"]["embedding"])
  assert table.shape[0] == made.architecture.vocab_size
  assert not table[words:].any()
  bias = made.mlm_head["bias"]
  np.testing.assert_array_equal(bias[:words], bert.mlm_head["bias"])
  assert (bias[words:] == -100).all()
  assert bert.params.keys() - made.params.keys() == {"position"}
  for name in made.params.keys() - {"word"}:
    assert made.params[name] is bert.params[name]
  with pytest.raises(UserError, match="is already rotary"):
    long_context.from_bert(made)


@pytest.mark.parametrize("config", ["mlm", "contrastive"])
@pytest.mark.parametrize("rotary", [False, True])
def test_a_training_from_a_bert(place, tmp_path, capsys, config, rotary):
  bert = models.read_model(place / "bert")
  # Only the rotary model supports rows longer than the table of positions.
  length = 96 if rotary else 64
  lengths = (
    ["data.row_length"]
    if config == "mlm"
    else ["data.row_length", "data.document_length"]
  )
  work = tmp_path / "work"
  assert (
    main.main(
      small_data.train(
        config,
        place / "pairs",
        work,
        f"init_from={place}/bert",
        "steps=1",
        "optimizer.warmup=0",
        *(f"{name}={length}" for name in lengths),
        *["init_as=rotary"] * rotary,
        "encoder.max_length=256",
      )
    )
    == 0
  )
  line = json.loads((work / "metrics.jsonl").read_text().splitlines()[0])
  assert np.isfinite(line["loss"])
  trained = models.read_model(work)
  assert trained.architecture.layers[0].mlp.activation == "gelu"
  assert trained.architecture.layers[0].attention.bias
  architecture = trained.architecture
  assert architecture.rotary == bool(architecture.rope) == rotary
  assert trained.architecture.max_length == (256 if rotary else 64)
  assert "pooler" not in trained.params
  for tree, old in (
    (trained.params["layers"]["up"], bert.params["layers"]["up"]),
    (
      trained.mlm_head and trained.mlm_head["transform"],
      bert.mlm_head["transform"],
    ),
  ):
    if config == "mlm" or tree:  # moved by at most one step of AdamW
      moved = np.abs(tree["kernel"] - old["kernel"])
      assert 0 < moved.max() < 3e-3
  assert (trained.mlm_head is None) == (config == "contrastive")
  capsys.readouterr()
  assert (
    main.main(["export", f"--workdir={work}", f"--output={tmp_path}/model"])
    == 0
  )
  assert ("for nomic_jax alone" in capsys.readouterr().out) == rotary


def test_a_classifier_trains_berts_pooler_further(place):
  bert = models.read_model(place / "bert")
  start = find_start(
    config_flags.load(
      [
        small_data.config("contrastive"),
        f"--config.data.path={place}/pairs",
        f"--config.init_from={place}/bert",
      ]
    )
  )
  assert bert.architecture.pooler and not start.architecture.pooler
  fresh = tiny.shapes(Classification(Encoder(start.architecture), labels=3))
  tree = merged(fresh, start.params)
  head = tree["classification_head"]
  np.testing.assert_array_equal(
    head["pooler"]["kernel"], bert.params["pooler"]["kernel"]
  )
  assert head["classifier"] is fresh["classification_head"]["classifier"]
  assert (
    tree["encoder"]["word"]["embedding"]
    is (start.params["encoder"]["word"]["embedding"])
  )
  assert "mlm_head" in start.params and "mlm_head" not in tree


@pytest.mark.parametrize(
  "overrides, message",
  [
    (["init_from={place}/bert", "init_as=rotery"], "'rotery' is unknown"),
    (["init_as=rotary"], "init_as: 'rotary' converts a loaded"),
    (
      ["init_from={place}/bert", "data.row_length=96"],
      "96 tokens are more than the 64 positions",
    ),
    (
      ["init_from={place}/projected", "encoder.projection=4"],
      "params/encoder/projection/bias has shape [8] there but [4] in this",
    ),
  ],
)
def test_mistakes(place, tmp_path, capsys, overrides, message):
  assert (
    main.main(
      small_data.train(
        "mlm",
        place / "pairs",
        tmp_path / "work",
        *(o.format(place=place) for o in overrides),
      )
    )
    == 2
  )
  assert message in small_data.complaint(capsys.readouterr().err)
  assert not (tmp_path / "work").exists()
