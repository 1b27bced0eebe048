# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Names and shapes of tensors, against transformers' own models and files."""

import dataclasses

from flax.linen import meta
import jax
import numpy as np
import pytest
from safetensors.torch import load_file
from support import hub_random
import torch
import transformers

from nomic_jax import families
from nomic_jax.errors import UserError
from nomic_jax.families import tensors
from nomic_jax.model.config import EncoderConfig
from nomic_jax.model.encoder import Encoder
from nomic_jax.model.heads import ClassificationHead
from nomic_jax.model.heads import MLMHead

SIZES = dict(
  vocab_size=96, width=64, layers=2, heads=4, mlp_width=256, max_length=128
)
BIASED = SIZES | dict(
  activation="gelu", qkv_bias=True, mlp_in_bias=True, mlp_out_bias=True
)
NOMIC = EncoderConfig(**SIZES).architecture
GELU = EncoderConfig(**BIASED, type_vocab_size=1).architecture
BERT = EncoderConfig(**BIASED, position="learned", pooler=True).architecture


def _equal(a, b):
  assert jax.tree.structure(a) == jax.tree.structure(b)
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    np.testing.assert_array_equal(x, y)


def _transformers_model(cls, config_cls, **changes):
  torch.manual_seed(0)
  config = config_cls(
    **dict(
      vocab_size=96,
      hidden_size=64,
      num_hidden_layers=2,
      num_attention_heads=4,
      intermediate_size=256,
      max_position_embeddings=128,
    )
    | changes
  )
  model = cls(config)
  with torch.no_grad():
    for parameter in model.parameters():
      parameter.normal_()
  return model


@pytest.mark.parametrize(
  "config",
  [
    NOMIC,
    GELU,
    BERT,
    dataclasses.replace(NOMIC, head=NOMIC.head.simple(64, True, 24)),
  ],
)
def test_every_parameter_has_a_name_in_the_files(config):
  config = dataclasses.replace(config, pooler=False)  # the classifier's
  key = jax.random.key(0)
  hidden, table = np.zeros((1, 64), "f"), np.zeros((96, 64), "f")
  expected = meta.unbox(
    {
      "encoder": jax.eval_shape(Encoder(config).init, key),
      "mlm_head": jax.eval_shape(MLMHead(config).init, key, hidden, table)[
        "params"
      ],
      "classification_head": jax.eval_shape(
        ClassificationHead(config, 3).init, key, hidden
      )["params"],
    }
  )
  trees = hub_random.trees(config, True, 3)
  jax.tree.map(
    lambda x, y: np.testing.assert_equal(x.shape, y.shape), trees, expected
  )
  tensors = hub_random.write(config, trees)
  # Modules after pooling have separate files.
  expected["encoder"].pop("projection", None)
  assert sum(t.size for t in tensors.values()) == sum(
    x.size for x in jax.tree.leaves(expected)
  )


@pytest.mark.parametrize("config", [NOMIC, GELU, BERT])
@pytest.mark.parametrize("prefix", families.table()[0].prefixes)
def test_a_tree_survives_a_round_trip(config, prefix):
  trees = hub_random.trees(config, True)
  tensors = hub_random.write(config, trees)
  tensors = {
    name if name.startswith("cls.") else prefix + name: tensor
    for name, tensor in tensors.items()
  }
  _equal(hub_random.read(config, tensors), trees)


def test_published_names_are_those_of_the_published_models():
  config = dataclasses.replace(NOMIC, layers=NOMIC.layers * 6)
  tensors = hub_random.write(config, hub_random.trees(config))
  assert len(tensors) == 112  # nomic-embed-text-v1.5's model.safetensors
  assert tensors["encoder.layers.11.attn.Wqkv.weight"].shape == (192, 64)
  assert tensors["encoder.layers.0.mlp.fc2.weight"].shape == (64, 256)


@pytest.mark.parametrize("native_names", [False, True])
def test_transformers_nomic_files_come_back_byte_for_byte(
  tmp_path, native_names
):
  """transformers itself saves the published names, so compare with its file."""
  model = _transformers_model(
    transformers.NomicBertModel, transformers.NomicBertConfig
  )
  model.save_pretrained(tmp_path / "theirs")
  theirs = load_file(tmp_path / "theirs" / "model.safetensors")
  read = theirs
  if native_names:
    model.save_pretrained(tmp_path / "native", save_original_format=False)
    read = load_file(tmp_path / "native" / "model.safetensors")
    assert "layers.1.self_attn.k_proj.weight" in read
  config = families.read(model.config.to_dict(), "config.json")
  ours = hub_random.write(config, hub_random.read(config, read))
  assert ours.keys() == theirs.keys()
  for name, tensor in ours.items():
    assert tensor.tobytes() == theirs[name].numpy().tobytes(), name


def test_transformers_nomic_mlm_files_come_back_byte_for_byte(tmp_path):
  model = _transformers_model(
    transformers.NomicBertForMaskedLM, transformers.NomicBertConfig
  )
  torch.nn.init.zeros_(model.cls.predictions.bias)
  torch.nn.init.zeros_(model.cls.predictions.transform.dense.bias)
  model.save_pretrained(tmp_path)
  theirs = load_file(tmp_path / "model.safetensors")
  config = families.read(model.config.to_dict(), "config.json")
  ours = hub_random.write(config, hub_random.read(config, theirs))
  lost = {name.removeprefix("nomic_bert.") for name in theirs} - ours.keys()
  # The head's zero biases, which the published model does not have.
  assert lost == {
    "cls.predictions.bias",
    "cls.predictions.transform.dense.bias",
  }
  for name, tensor in ours.items():
    named = name if name in theirs else "nomic_bert." + name
    assert tensor.tobytes() == theirs[named].numpy().tobytes(), name


@pytest.mark.parametrize(
  "cls",
  [
    transformers.BertModel,
    transformers.BertForPreTraining,
    transformers.BertForSequenceClassification,
  ],
)
def test_bert_files_come_back_byte_for_byte(tmp_path, cls):
  model = _transformers_model(cls, transformers.BertConfig)
  model.save_pretrained(tmp_path)
  theirs = load_file(tmp_path / "model.safetensors")
  config = families.read(model.config.to_dict(), "config.json")
  config, trees = tensors.read(families.of(config), config, theirs)
  ours = hub_random.write(config, trees)
  theirs = {name.removeprefix("bert."): t for name, t in theirs.items()}
  assert {n for n in theirs.keys() - ours.keys()} <= {
    "cls.seq_relationship.weight",
    "cls.seq_relationship.bias",
  }
  assert ours.keys() <= theirs.keys() and "pooler.dense.weight" in ours
  for name, tensor in ours.items():
    assert tensor.tobytes() == theirs[name].numpy().tobytes(), name


def test_old_spellings_buffers_and_tied_copies_are_understood():
  trees = hub_random.trees(BERT, True)
  tensors = hub_random.write(BERT, trees)
  old = {
    name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
      "LayerNorm.bias", "LayerNorm.beta"
    ): tensor
    for name, tensor in tensors.items()
  }
  assert old.keys() != tensors.keys()
  old["embeddings.position_ids"] = np.arange(128)[None]
  old["cls.seq_relationship.weight"] = np.zeros((2, 64))
  old["cls.predictions.decoder.weight"] = old[
    "embeddings.word_embeddings.weight"
  ]
  old["cls.predictions.decoder.bias"] = old["cls.predictions.bias"]
  _equal(hub_random.read(BERT, old), trees)
  old["cls.predictions.decoder.weight"] = (
    old["cls.predictions.decoder.weight"] + 1
  )
  with pytest.raises(UserError, match="differs from.*untied"):
    hub_random.read(BERT, old)


def test_half_precision_becomes_float32():
  trees = hub_random.trees(NOMIC)
  halves = {
    name: tensor.astype(np.float16)
    for name, tensor in hub_random.write(NOMIC, trees).items()
  }
  kernel = lambda trees: trees["encoder"]["layers"]["out"]["kernel"]
  again = kernel(hub_random.read(NOMIC, halves))
  assert again.dtype == np.float32
  np.testing.assert_allclose(again, kernel(trees), rtol=1e-3, atol=1e-6)


def test_arrays_on_devices_are_exported():
  trees = hub_random.trees(NOMIC)
  mesh = jax.sharding.Mesh(np.array(jax.devices()), ("d",))
  spec = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(None, "d"))
  placed = jax.tree.map(
    lambda x: jax.device_put(x, spec) if x.ndim > 1 else x, trees
  )
  tensors = hub_random.write(NOMIC, placed)
  for name, tensor in hub_random.write(NOMIC, trees).items():
    np.testing.assert_array_equal(tensors[name], tensor)


@pytest.mark.parametrize(
  "change, message",
  [
    (
      lambda t: t.pop("encoder.layers.1.norm2.bias"),
      r"missing encoder\.layers\.1\.norm2\.bias",
    ),
    (
      lambda t: t.update({"selector.attn.Wq.weight": np.zeros((2, 2))}),
      r"unexpected selector\.attn\.Wq\.weight",
    ),
    (
      lambda t: t.update({"classifier.weight": np.zeros((3, 64))}),
      r"missing classifier\.bias.*pooler\.dense\.weight",
    ),
    (
      lambda t: t.update({"emb_ln.bias": np.zeros(32)}),
      r"misshapen emb_ln\.bias \(expected \[64\], found \[32\]\)",
    ),
    (
      lambda t: t.pop("embeddings.word_embeddings.weight"),
      r"no 'embeddings\.word_embeddings\.weight'.*trunk\.",
    ),
    (
      lambda t: t.update({"encoder.layers.1.mlp.experts.mlp.w1": np.zeros(1)}),
      "experts are not supported yet",
    ),
    (
      lambda t: t.update({"cls.predictions.bias": np.ones(96)}),
      r"missing .*cls\.predictions\.transform\.dense\.weight.*"
      r"unexpected cls\.predictions\.bias",
    ),
    (
      lambda t: t.update(  # an MLP that the config does not describe
        {n.replace("fc11", "fc1"): t.pop(n) for n in list(t) if "fc11" in n}
      ),
      r"missing .*fc11\.weight.*unexpected .*fc1\.weight",
    ),
  ],
)
def test_every_wrong_tensor_is_named(change, message):
  tensors = hub_random.write(NOMIC, hub_random.trees(NOMIC))
  change(tensors)
  with pytest.raises(UserError, match=message) as error:
    hub_random.read(NOMIC, tensors, "DIR")
  assert str(error.value).startswith("DIR: ") and "\n" not in str(error.value)


def test_a_tree_that_does_not_fit_is_not_exported():
  trees = hub_random.trees(NOMIC)
  del trees["encoder"]["layers"]["gate"]
  with pytest.raises(UserError, match="missing encoder/layers/gate/kernel"):
    hub_random.write(NOMIC, trees)
