# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Models of several families are trained, exported and used to embed."""

import dataclasses

import numpy as np
import pytest
import sentence_transformers
from support import small_data
from support.family_cases import CASES
import transformers

import nomic_jax
from nomic_jax import families
from nomic_jax import main
from nomic_jax.data import prepare
from nomic_jax.errors import UserError
from nomic_jax.hub import long_context
from nomic_jax.hub import model_directory
from nomic_jax.run import models
from nomic_jax.text import tokenizer as tokenizer_lib


@pytest.fixture(name="place", scope="module")
def _place(tmp_path_factory):
  """Data tokenised by a Unigram tokenizer, and models that read its ids."""
  place = tmp_path_factory.mktemp("families")
  source = small_data.write_jsonl(place / "pairs.jsonl")
  prepare.prepare(
    str(source), place / "pairs", 150, held_out=0.1, tokenizer_kind="unigram"
  )
  words = tokenizer_lib.load(place / "pairs" / "tokenizer")
  for name, case in CASES.items():
    layers = {
      k: 1 for k in case.values if k in ("num_hidden_layers", "n_layers")
    }
    model = case.random(
      "ForMaskedLM", vocab_size=words.get_vocab_size(), **layers
    )
    model.save_pretrained(place / name)
    tokenizer_lib.save(words, place / name)
  return place


def _run(*command):
  assert main.main(list(map(str, command))) == 0


def _moved(before, after):
  return max(
    np.abs(before[k]["kernel"] - after[k]["kernel"]).max()
    for k in ("up", "qkv")
  )


@pytest.mark.slow
def test_mlm_then_contrastive_then_export(place, tmp_path, capsys):
  """MPNet, whose layers share a table, on a mesh that shards parameters."""
  own = "optimizer.warmup=0", "steps=1"
  data, case = place / "pairs", CASES["mpnet"]
  for config, start, more in (
    ("mlm", place / "mpnet", (f"data.row_length={case.limit}",)),
    (
      "contrastive",
      tmp_path / "mlm",
      (
        "data.row_length=50",
        "data.query_length=16",
        "data.document_length=32",
        "mesh.fsdp=2",
        "mesh.tensor=2",
        "mesh.data=2",
        "mesh.rules=fsdp",
      ),
    ),
  ):
    work = tmp_path / config
    _run(
      *small_data.train(config, data, work, f"init_from={start}", *own, *more)
    )
    before, after = models.read_model(start), models.read_model(work)
    assert after.architecture.layers == before.architecture.layers
    assert 0 < _moved(before.params["layers"], after.params["layers"]) < 3e-3
    bias = lambda model: model.params["relative"]["embedding"]
    assert 0 < np.abs(bias(before) - bias(after)).max() < 3e-3
  capsys.readouterr()
  _run("export", f"--workdir={work}", f"--output={tmp_path}/model")
  assert "for nomic_jax alone" not in capsys.readouterr().out
  model = sentence_transformers.SentenceTransformer(
    str(tmp_path / "model"), device="cpu"
  )
  assert type(model[0].auto_model) is transformers.MPNetModel
  texts = ["river stone", "a silver lamp of winter " * 9, ""]
  found = nomic_jax.load(tmp_path / "model").encode(texts)
  np.testing.assert_allclose(found, model.encode(texts), rtol=0, atol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_learned_positions_become_rotary(name, place, tmp_path):
  files = models.read_model(place / name)
  (layer,) = files.architecture.layers[:1]
  if layer.attention.relative:
    why = f"relative attention bias.*this {files.architecture.family}"
    with pytest.raises(UserError, match=why):
      long_context.from_bert(files)
    return
  if not files.architecture.embedding.positions:
    with pytest.raises(UserError, match="already rotary"):
      long_context.from_bert(files)
    return
  # The MLM head differs from BERT's.
  if files.architecture.prediction.activation != layer.mlp.activation:
    with pytest.raises(UserError, match="cannot express its .*"):
      long_context.from_bert(files)
    gelu = dataclasses.replace(layer.mlp, activation="gelu")
    files = files._replace(
      architecture=files.architecture.each_layer(
        lambda layer: dataclasses.replace(layer, mlp=gelu)
      )
    )
  made = long_context.from_bert(files, max_length=96)
  model_directory.write_model(
    tmp_path / "rotary",
    made.architecture,
    made.params,
    made.tokenizer_path,
    {},
    mlm_head=made.mlm_head,
  )
  again = model_directory.read_model(tmp_path / "rotary")
  assert again.architecture == made.architecture
  assert again.architecture.family == "nomic_bert"


@pytest.mark.parametrize(
  "values, message",
  [
    (dict(model_type="deberta-v2"), "'deberta-v2' .*xlm-roberta.*README.md"),
    (dict(position_embedding_type="relative_key"), "position_embedding_type="),
    (dict(is_decoder=True), "is_decoder=True is not supported"),
    (dict(add_cross_attention=True), "add_cross_attention=True is not"),
    (dict(tie_word_embeddings=False), "tie_word_embeddings=False is not"),
    (dict(hidden_act="mish"), "hidden_act='mish' is not supported"),
    (
      dict(auto_map={"AutoConfig": "a.B", "AutoModel": "m--code.Model"}),
      r"auto_map names .*AutoModel \(m--code.Model\), which is never run",
    ),
    (dict(model_type="mpnet", pad_token_id=0), "pad_token_id=0 is not"),
    (
      dict(model_type="mpnet", relative_attention_num_buckets=64),
      "relative_attention_num_buckets=64 is not supported; expected 32",
    ),
  ],
)
def test_what_is_not_computed_is_refused_by_name(values, message):
  config = CASES["roberta"].config.to_dict()
  assert families.read(config, "config.json").family == "roberta"
  with pytest.raises(UserError, match=f"config.json: .*{message}") as error:
    families.read(config | values, "config.json")
  assert "\n" not in str(error.value)


def test_a_pad_token_that_is_null_is_the_familys_own():
  config = CASES["roberta"].config.to_dict() | {"pad_token_id": None}
  a = families.read(config, "config.json")
  assert (a.pad_token_id, a.embedding.first_position) == (1, 2)
