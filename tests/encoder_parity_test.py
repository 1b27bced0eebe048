# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The encoder, its heads and gradients against transformers' own modules.

Weights are random and passed in memory; `hub_parity_test` tests files.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import hub_random
from support import tiny
import torch
import transformers

from nomic_jax import families
from nomic_jax.families import tensors as tensors_lib
from nomic_jax.losses.mlm import MLM
from nomic_jax.model.encoder import Encoder
from nomic_jax.model.heads import ClassificationHead

VOCAB = 96
SIZES = dict(
  vocab_size=VOCAB,
  hidden_size=64,
  num_hidden_layers=2,
  num_attention_heads=4,
  intermediate_size=128,
  max_position_embeddings=64,
)
NTK = dict(rope_type="dynamic", factor=2.0, rope_theta=1000.0)
# Name -> transformers' family, what differs from SIZES, lengths of texts.
RAGGED = (32, 1, 7, 20)
GRID = {
  "swiglu": ("NomicBert", {}, RAGGED),
  "geglu": ("NomicBert", dict(hidden_act="gelu", layer_norm_eps=1e-5), RAGGED),
  "glu, one head, one type": (
    "NomicBert",
    dict(hidden_act="sigmoid", num_attention_heads=1, type_vocab_size=1),
    RAGGED,
  ),
  "uneven sizes, base 10000": (
    "NomicBert",
    dict(
      hidden_size=48,
      num_attention_heads=3,
      intermediate_size=80,
      num_hidden_layers=3,
      rope_parameters=dict(rope_type="default", rope_theta=1e4),
    ),
    RAGGED,
  ),
  "2048 tokens": ("NomicBert", dict(num_attention_heads=1), (2048, 700)),
  "8192 tokens, NTK": (
    "NomicBert",
    dict(
      num_attention_heads=1, rope_parameters=NTK, max_position_embeddings=2048
    ),
    (8192, 3000),
  ),
  "NTK, all short": (
    "NomicBert",
    dict(rope_parameters=NTK, max_position_embeddings=32),
    RAGGED,
  ),
  "bert": ("Bert", {}, RAGGED),
  "bert relu, one type": (
    "Bert",
    dict(hidden_act="relu", type_vocab_size=1),
    RAGGED,
  ),
  "bert, tanh gelu, 512 tokens": (
    "Bert",
    dict(
      hidden_act="gelu_new", max_position_embeddings=512, num_attention_heads=1
    ),
    (512, 130),
  ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", GRID)
def test_hidden_states(name):
  family, changes, lengths = GRID[name]
  model, config, trees = _model(family, "Model", changes)
  tokens, real = _tokens(lengths)
  expected = _hidden(model, tokens)
  got = _apply(Encoder(config, ntk_length="batch"), trees, tokens)
  np.testing.assert_allclose(got[real], expected[real], rtol=0, atol=1e-5)
  # Then both rules agree.
  if not config.rope or max(lengths) <= config.rope.trained_length:
    got = _apply(Encoder(config), trees, tokens)
    np.testing.assert_allclose(got[real], expected[real], rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", ["NomicBert", "Bert"])
def test_the_second_text_of_a_pair_has_a_type_of_its_own(family):
  model, config, trees = _model(family, "Model")
  tokens, real = _tokens(RAGGED)
  types = np.where(tokens["positions"] > 4, 1, 0).astype(np.int32)
  with torch.no_grad():
    expected = model(
      **_torch(tokens), token_type_ids=torch.tensor(types).long()
    ).last_hidden_state.numpy()
  got = _apply(Encoder(config), trees, tokens | {"types": types})
  np.testing.assert_allclose(got[real], expected[real], rtol=0, atol=1e-5)
  got = _apply(Encoder(config), trees, tokens)  # control
  assert np.abs(got - expected)[real].max() > 0.01


def test_own_length_is_the_reference_without_company():
  """A short text beside a long one equals transformers' result of it alone."""
  changes = dict(rope_parameters=NTK, max_position_embeddings=16)
  model, config, trees = _model("NomicBert", "Model", changes)
  tokens, real = _tokens((20, 60))
  got = _apply(Encoder(config), trees, tokens)
  # Short texts first: transformers does not return to a lower base.
  for row, length in enumerate((20, 60)):
    one = {k: v[row : row + 1, :length] for k, v in tokens.items()}
    alone = _hidden(model, one)[0]
    np.testing.assert_allclose(got[row, :length], alone, rtol=0, atol=1e-5)
  beside = _hidden(model, tokens)
  assert np.abs(beside[0, :20] - got[0, :20]).max() > 1e-3  # control


@pytest.mark.slow
@pytest.mark.parametrize("family", ["NomicBert", "Bert"])
def test_gradients_of_masked_language_modelling(family):
  model, config, trees = _model(family, "ForMaskedLM")
  batch = tiny.mlm_batch()
  tokens = batch["inputs"]
  real = tokens["segment_ids"] > 0
  labels = np.full(real.shape, -100)
  for row, (places, true) in enumerate(zip(batch["masked"], batch["labels"])):
    labels[row, places[true >= 0]] = true[true >= 0]
  loss = model(
    input_ids=torch.tensor(tokens["ids"], dtype=torch.long),
    attention_mask=torch.tensor(real),
    labels=torch.tensor(labels),
  ).loss
  loss.backward()

  objective = MLM(Encoder(config))

  def mean(params):
    total, weight, _ = objective(params, batch, None)
    return total / weight

  got, gradients = tiny.jit(jax.value_and_grad(mean))(trees)
  np.testing.assert_allclose(got, loss.item(), rtol=1e-6)
  expected = _gradients(model, config)
  tiny.assert_close(gradients, expected, 1e-4)
  wrong = jax.tree.map(lambda g: 1.001 * g, gradients)
  with pytest.raises(AssertionError):
    tiny.assert_close(wrong, expected, 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["NomicBert", "Bert"])
def test_classification_and_its_gradients(family):
  model, config, trees = _model(
    family, "ForSequenceClassification", dict(num_labels=3)
  )
  tokens, real = _tokens(RAGGED)
  labels = np.array([0, 2, 1, 1])
  outputs = model(**_torch(tokens), labels=torch.tensor(labels))
  outputs.loss.backward()
  encoder = Encoder(config).with_pooling("cls")
  head = ClassificationHead(config, 3, dropout=0.9)

  def mean(params):
    first = encoder.embed(params["encoder"], tokens, 1).vectors
    logits = head.apply({"params": params["classification_head"]}, first)[:, 0]
    true = jnp.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
    return (jax.nn.logsumexp(logits, axis=1) - true).mean(), logits

  (_, logits), gradients = tiny.jit(jax.value_and_grad(mean, has_aux=True))(
    trees
  )
  np.testing.assert_allclose(
    logits, outputs.logits.detach().numpy(), rtol=0, atol=1e-5
  )
  tiny.assert_close(gradients, _gradients(model, config), 1e-4)


@pytest.mark.parametrize("family", ["NomicBert", "Bert"])
def test_bfloat16_is_near(family):
  model, config, trees = _model(family, "Model")
  tokens, real = _tokens(RAGGED)
  expected = _hidden(model, tokens)[real]
  got = _apply(Encoder(config, dtype="bfloat16"), trees, tokens)[real]
  assert got.dtype == np.float32
  error = np.linalg.norm(got - expected) / np.linalg.norm(expected)
  assert 1e-4 < error < 0.03  # 8 bits instead of 24


def _model(family: str, head: str, changes: dict | None = None):
  """A random model in transformers, with its config and trees."""
  torch.manual_seed(0)
  make = getattr(transformers, f"{family}Config")
  model = getattr(transformers, family + head)(
    make(**SIZES | (changes or {}))
  ).eval()
  with torch.no_grad():
    for name, parameter in model.named_parameters():
      parameter.normal_(std=0.1)
      if "norm" in name.lower() and name.endswith("weight"):
        parameter.add_(1)
      if name in _absent(family):
        parameter.zero_()
  tensors = {k: v.numpy() for k, v in model.state_dict().items()}
  config = families.read(model.config.to_dict(), "config.json")
  return model, *tensors_lib.read(families.of(config), config, tensors)


def _absent(family: str) -> tuple[str, ...]:
  """Biases of transformers' head that the published head lacks."""
  return (
    ()
    if family == "Bert"
    else (
      "cls.predictions.bias",
      "cls.predictions.decoder.bias",
      "cls.predictions.transform.dense.bias",
    )
  )


def _gradients(model, config):
  family = type(model).__name__.partition("For")[0]
  return hub_random.read(
    config,
    {
      name: parameter.grad.numpy()
      for name, parameter in model.named_parameters()
      if name not in _absent(family)
    },
  )


def _tokens(lengths):
  rng = np.random.default_rng(2)
  shape = len(lengths), max(lengths)
  real = np.arange(shape[1]) < np.array(lengths)[:, None]
  return {
    "ids": (rng.integers(1, VOCAB, shape) * real).astype(np.int32),
    "segment_ids": real.astype(np.int32),
    "positions": np.broadcast_to(np.arange(shape[1], dtype=np.int32), shape),
  }, real


def _torch(tokens):
  return dict(
    input_ids=torch.tensor(tokens["ids"], dtype=torch.long),
    attention_mask=torch.tensor(tokens["segment_ids"] > 0),
  )


def _hidden(model, tokens):
  with torch.no_grad():
    return model(**_torch(tokens)).last_hidden_state.numpy()


def _apply(encoder, trees, tokens):
  return np.asarray(tiny.jit(encoder.apply)(trees["encoder"], tokens))
