# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Models converted to and from PyTorch compute the same values."""

import jax.numpy as jnp
import numpy as np
import pytest
from support import hub_random
import torch
import transformers

from nomic_jax.hub import model_directory
from nomic_jax.model.config import EncoderConfig
from nomic_jax.model.encoder import Encoder
from nomic_jax.model.heads import ClassificationHead
from nomic_jax.model.heads import MLMHead

pytestmark = pytest.mark.slow

SIZES = dict(
  vocab_size=96,
  hidden_size=64,
  num_hidden_layers=2,
  num_attention_heads=4,
  intermediate_size=256,
  max_position_embeddings=64,
)
OURS = dict(
  vocab_size=96, width=64, layers=2, heads=4, mlp_width=256, max_length=64
)
MODELS = {
  "nomic": (transformers.NomicBertModel, transformers.NomicBertConfig, {}),
  "nomic geglu": (
    transformers.NomicBertModel,
    transformers.NomicBertConfig,
    dict(hidden_act="gelu", layer_norm_eps=1e-5),
  ),
  "nomic dynamic": (
    transformers.NomicBertModel,
    transformers.NomicBertConfig,
    dict(
      max_position_embeddings=16,
      rope_parameters=dict(rope_type="dynamic", factor=2.0, rope_theta=1000.0),
    ),
  ),
  "nomic mlm": (
    transformers.NomicBertForMaskedLM,
    transformers.NomicBertConfig,
    {},
  ),
  "nomic classifier": (
    transformers.NomicBertForSequenceClassification,
    transformers.NomicBertConfig,
    dict(num_labels=3),
  ),
  "bert classifier": (
    transformers.BertForSequenceClassification,
    transformers.BertConfig,
    dict(num_labels=3),
  ),
  "bert": (transformers.BertModel, transformers.BertConfig, {}),
  "bert relu": (
    transformers.BertModel,
    transformers.BertConfig,
    dict(hidden_act="relu", type_vocab_size=1),
  ),
  "bert mlm": (transformers.BertForMaskedLM, transformers.BertConfig, {}),
}
# All texts have this length: dynamic NTK uses a text's own length here, and the
# batch's in transformers, so that both are equal.
FULL = np.full(4, 32)
RAGGED = np.array([1, 7, 32, 20])


@pytest.fixture(params=MODELS)
def kind(request):
  return request.param


def test_from_transformers(tmp_path, kind):
  model = _transformers_model(kind)
  model.save_pretrained(tmp_path)
  (tmp_path / "tokenizer.json").write_text(hub_random.tokenizer().to_str())
  files = model_directory.read_model(tmp_path)
  heads = {
    "mlm_head": files.mlm_head,
    "classification_head": files.classification_head,
  }
  trees = {"encoder": files.params} | {k: v for k, v in heads.items() if v}
  _agree(kind, model, files.architecture, trees)


def test_to_transformers(tmp_path, kind):
  config, trees = _ours(kind)
  _write(tmp_path / "model", config, trees)
  auto = (
    transformers.AutoModelForMaskedLM
    if "mlm" in kind
    else (
      transformers.AutoModelForSequenceClassification
      if "classifier" in kind
      else transformers.AutoModel
    )
  )
  model, report = auto.from_pretrained(
    tmp_path / "model", output_loading_info=True
  )
  assert type(model) is MODELS[kind][0]
  missing = set(report["missing_keys"]) - {
    "pooler.dense.weight",
    "pooler.dense.bias",  # BertModel always has one
    "cls.predictions.bias",
    "cls.predictions.decoder.bias",
    "cls.predictions.transform.dense.bias",  # zero: nomic's has no biases
  }
  assert not missing and not report["unexpected_keys"]
  _agree(kind, model, config, trees)


def test_a_file_with_a_head_opens_as_an_encoder(tmp_path):
  config, trees = _ours("nomic mlm")
  _write(tmp_path / "model", config, trees)
  model = transformers.AutoModel.from_pretrained(tmp_path / "model")
  assert type(model) is transformers.NomicBertModel
  _agree("nomic", model, config, {"encoder": trees["encoder"]})


def test_a_wrong_kernel_would_be_detected(tmp_path):
  """Negative control: the two branches of the gated MLP, swapped."""
  config, trees = _ours("nomic")
  _write(tmp_path / "model", config, trees)
  model = transformers.AutoModel.from_pretrained(tmp_path / "model")
  layers = trees["encoder"]["layers"]
  layers["up"], layers["gate"] = layers["gate"], layers["up"]
  with pytest.raises(AssertionError):
    _agree("nomic", model, config, trees)


@pytest.mark.parametrize(
  "changes",
  [
    dict(activation="gelu", qkv_bias=True, mlp_in_bias=True, mlp_out_bias=True),
    dict(rotary_fraction=0.5),
    dict(rotary_interleaved=True),
    dict(position="learned"),
  ],
)
def test_transformers_refuses_what_it_would_get_wrong(tmp_path, changes):
  config = EncoderConfig(**OURS | changes).architecture
  params = hub_random.trees(config)["encoder"]
  model_directory.write_model(
    tmp_path / "model", config, params, hub_random.tokenizer(), {}
  )
  with pytest.raises(KeyError, match="not an architecture of transformers"):
    transformers.AutoModel.from_pretrained(tmp_path / "model")
  files = model_directory.read_model(tmp_path / "model")
  assert files.architecture == config
  np.testing.assert_array_equal(
    files.params["layers"]["out"]["kernel"], params["layers"]["out"]["kernel"]
  )


def _transformers_model(kind):
  cls, config_cls, changes = MODELS[kind]
  torch.manual_seed(0)
  model = cls(config_cls(**SIZES | changes)).eval()
  with torch.no_grad():
    for name, parameter in model.named_parameters():
      parameter.normal_(std=0.1)
      if "norm" in name.lower() and name.endswith("weight"):
        parameter.add_(1)
      if (
        kind == "nomic mlm"
        and "cls" in name
        and (name.endswith("bias") and "norm" not in name)
      ):
        parameter.zero_()  # the published head has no such biases
  return model


def _ours(kind):
  """A random model of ours that transformers should open as `kind`."""
  if "bert" in kind:
    config = EncoderConfig(
      **OURS,
      position="learned",
      qkv_bias=True,
      mlp_in_bias=True,
      mlp_out_bias=True,
      activation="relu" if "relu" in kind else "gelu",
    )
  elif "dynamic" in kind:
    config = EncoderConfig(**OURS, rotary_factor=2.0, trained_length=16)
  else:
    config = EncoderConfig(
      **OURS, activation="geglu" if "geglu" in kind else "swiglu"
    )
  labels = 3 if "classifier" in kind else 0
  config = config.architecture
  return config, hub_random.trees(config, "mlm" in kind, labels)


def _write(directory, config, trees):
  model_directory.write_model(
    directory,
    config,
    trees["encoder"],
    hub_random.tokenizer(),
    {},
    mlm_head=trees.get("mlm_head"),
    classification_head=trees.get("classification_head"),
  )


def _agree(kind, model, config, trees, atol=1e-5):
  """Asserts equal hidden states, and logits, of every real token."""
  lengths = FULL if "dynamic" in kind else RAGGED
  rng = np.random.default_rng(2)
  ids = rng.integers(1, 96, (4, 32))
  mask = np.arange(32) < lengths[:, None]
  with torch.no_grad():
    outputs = model.eval()(
      input_ids=torch.tensor(ids * mask),
      attention_mask=torch.tensor(mask),
      output_hidden_states=True,
    )
  hidden = Encoder(config).apply(
    trees["encoder"],
    {
      "ids": (ids * mask).astype(np.int32),
      "segment_ids": mask.astype(np.int32),
      "positions": np.tile(np.arange(32, dtype=np.int32), (4, 1)),
    },
  )
  np.testing.assert_allclose(
    np.asarray(hidden)[mask],
    outputs.hidden_states[-1].numpy()[mask],
    rtol=0,
    atol=atol,
  )
  assert ("mlm_head" in trees) == ("mlm" in kind)
  assert ("classification_head" in trees) == ("classifier" in kind)
  if "mlm_head" in trees:
    logits = MLMHead(config).apply(
      {"params": trees["mlm_head"]},
      jnp.asarray(hidden)[mask],
      trees["encoder"]["word"]["embedding"],
    )
    np.testing.assert_allclose(
      logits, outputs.logits.numpy()[mask], rtol=0, atol=atol
    )
  if "classification_head" in trees:
    logits = ClassificationHead(config, 3).apply(
      {"params": trees["classification_head"]}, hidden[:, 0]
    )
    np.testing.assert_allclose(
      logits, outputs.logits.numpy(), rtol=0, atol=atol
    )
