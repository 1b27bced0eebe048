# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""GGUF files of exported models; exporting a model directory again."""

import dataclasses
import sys

import numpy as np
import pytest
from support import family_cases
from support import random_models
from support import tiny

import nomic_jax
from nomic_jax.errors import UserError
from nomic_jax.hub import gguf_file
from nomic_jax.hub import model_directory
from nomic_jax.main import main
from nomic_jax.model.head import Module

_models = random_models.models


@pytest.mark.parametrize("name", ["bert", "nomic_bert"])
def test_gguf_has_every_tensor_under_llama_cpp_s_names(name, models, tmp_path):
  gguf = pytest.importorskip("gguf")
  out = tmp_path / "m"
  assert (
    main(["export", f"--model={models[name]}", f"--output={out}", "--gguf"])
    == 0
  )
  reader = gguf.GGUFReader(out / gguf_file.NAME)
  keys = {k: f.contents() for k, f in reader.fields.items()}
  arch = keys["general.architecture"]
  assert arch == {"bert": "bert", "nomic_bert": "nomic-bert"}[name]
  files = model_directory.read_model(out)
  a = files.architecture
  layer = a.layers[0]
  assert keys[f"{arch}.block_count"] == len(a.layers)
  assert keys[f"{arch}.attention.head_count"] == layer.attention.heads
  assert keys[f"{arch}.feed_forward_length"] == layer.mlp.width
  assert keys[f"{arch}.attention.causal"] is False
  assert keys[f"{arch}.pooling_type"] == gguf.PoolingType.MEAN
  epsilon = keys[f"{arch}.attention.layer_norm_epsilon"]
  assert epsilon == pytest.approx(layer.norm.eps)
  length = {"bert": family_cases.LIMIT, "nomic_bert": a.max_length}[name]
  assert keys[f"{arch}.context_length"] == length
  if name == "nomic_bert":
    assert keys[f"{arch}.rope.freq_base"] == layer.attention.rope.base
  # As llama.cpp's loader of these architectures asks for them.
  found = {t.name: t.data for t in reader.tensors}
  params = files.params
  fused = params["layers"]["qkv"]["kernel"]
  expected = {
    "token_embd.weight": params["word"]["embedding"],
    "token_types.weight": params["type"]["embedding"],
    "token_embd_norm.weight": params["norm"]["scale"],
    "token_embd_norm.bias": params["norm"]["bias"],
  }
  parts = {"attn_output": "out", "ffn_up": "up", "ffn_down": "down"}
  norms = {"attn_output_norm": "norm1", "layer_output_norm": "norm2"}
  if name == "bert":
    expected["position_embd.weight"] = params["position"]["embedding"]
  else:
    parts["ffn_gate"] = "gate"
  for i in range(len(a.layers)):
    own = params["layers"]
    for theirs, ours in parts.items():
      expected[f"blk.{i}.{theirs}.weight"] = own[ours]["kernel"][i].T
      if name == "bert":
        expected[f"blk.{i}.{theirs}.bias"] = own[ours]["bias"][i]
    for theirs, ours in norms.items():
      expected[f"blk.{i}.{theirs}.weight"] = own[ours]["scale"][i]
      expected[f"blk.{i}.{theirs}.bias"] = own[ours]["bias"][i]
    if name == "nomic_bert":
      expected[f"blk.{i}.attn_qkv.weight"] = fused[i].T
      continue
    for k, part in enumerate("qkv"):
      at = slice(k * a.width, (k + 1) * a.width)
      expected[f"blk.{i}.attn_{part}.weight"] = fused[i][:, at].T
      bias = own["qkv"]["bias"][i][at]
      expected[f"blk.{i}.attn_{part}.bias"] = bias
  assert found.keys() == expected.keys()
  for key, x in expected.items():
    np.testing.assert_array_equal(found[key], x, err_msg=key)
  # WordPiece as llama.cpp has it: a mark at the start of a word.
  tokens = keys["tokenizer.ggml.tokens"]
  assert tokens[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
  assert tokens[5:7] == ["▁a", "▁b"]
  assert len(tokens) == a.vocab_size
  assert keys["tokenizer.ggml.bos_token_id"] == 2
  assert keys["tokenizer.ggml.seperator_token_id"] == 3
  assert keys["tokenizer.ggml.unknown_token_id"] == 1


@pytest.mark.parametrize(
  "name, message",
  [
    ("roberta", "first_position"),
    ("modernbert", "layers that differ"),
    ("mpnet", "relative"),
  ],
)
def test_gguf_of_what_llama_cpp_does_not_compute(
  name, message, models, tmp_path, capsys
):
  pytest.importorskip("gguf")
  given = ["export", f"--model={models[name]}", f"--output={tmp_path}/m"]
  assert main([*given, "--gguf"]) == 2
  said = capsys.readouterr().err
  assert message in said and "--gguf" in said and said.count("\n") == 1
  assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"head": {"modules": (Module("dense", 8),)}}, r"layer after pooling"),
    ({"head": {"pooling": "none"}}, "pooling 'none'"),
    ({"rope": {"interleaved": True}}, "interleaved"),
    ({"tokenizer": tiny.words()}, "normalizer.type='Sequence'"),
  ],
)
def test_gguf_of_other_variants_of_nomicbert(changes, message, tmp_path):
  pytest.importorskip("gguf")
  a = dataclasses.replace(tiny.ARCHITECTURE, vocab_size=200)
  a = a.with_head(**changes.get("head", {}))
  if "rope" in changes:
    a = a.with_rope(**changes["rope"])
  used = {k: v for k, v in changes.items() if k == "tokenizer"}
  random_models.write(tmp_path / "m", a, **used)
  with pytest.raises(UserError, match=message):
    gguf_file.check(model_directory.read_model(tmp_path / "m"))


def test_a_missing_package_names_its_extra(
  models, tmp_path, monkeypatch, capsys
):
  monkeypatch.setitem(sys.modules, "gguf", None)
  given = ["export", f"--model={models['bert']}", f"--output={tmp_path}/m"]
  assert main([*given, "--gguf"]) == 2
  assert "pip install 'nomic_jax[gguf]'" in capsys.readouterr().err
  assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
  "flags, message",
  [
    (["--step=3"], "a model directory has no checkpoints"),
    (["--workdir=w"], "exactly one of --workdir"),
  ],
)
def test_flags_that_do_not_go_together(flags, message, models, capsys):
  given = ["export", f"--model={models['bert']}", "--output=o"]
  assert main([*given, *flags]) == 2
  assert message in capsys.readouterr().err


def test_a_model_directory_is_exported_again_with_its_card(models, tmp_path):
  nomic_jax.export(model=models["nomic_bert"], output=tmp_path / "mine")
  card = (tmp_path / "mine" / "README.md").read_text()
  assert card == '# mine\n\n    SentenceTransformer("mine")\n'
  for name in ("model.safetensors", "config.json", "tokenizer.json"):
    ours = (tmp_path / "mine" / name).read_bytes()
    assert ours == (models["nomic_bert"] / name).read_bytes()
