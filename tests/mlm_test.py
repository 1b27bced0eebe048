# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""MLM against transformers' models in PyTorch; statistics of masking."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import hub_random
from support import tiny
import torch
import transformers

from nomic_jax.data.text import mask_tokens
from nomic_jax.hub import model_directory
from nomic_jax.losses import vocabulary
from nomic_jax.losses.mlm import MLM
from nomic_jax.model.encoder import Encoder

SIZES = dict(
  vocab_size=96,
  hidden_size=32,
  num_hidden_layers=2,
  num_attention_heads=2,
  intermediate_size=64,
  max_position_embeddings=64,
)
MODELS = {
  "bert": (transformers.BertForMaskedLM, transformers.BertConfig, {}),
  "bert relu": (
    transformers.BertForMaskedLM,
    transformers.BertConfig,
    dict(hidden_act="relu"),
  ),
  "nomic": (
    transformers.NomicBertForMaskedLM,
    transformers.NomicBertConfig,
    {},
  ),
  "nomic geglu": (
    transformers.NomicBertForMaskedLM,
    transformers.NomicBertConfig,
    dict(hidden_act="gelu"),
  ),
}
# Biases that the published Nomic head, and ours, does not have.
ABSENT = (
  "cls.predictions.bias",
  "cls.predictions.decoder.bias",
  "cls.predictions.transform.dense.bias",
)


@pytest.fixture(name="pair", scope="module", params=MODELS)
def _pair(request, tmp_path_factory):
  """A model in PyTorch, and the same model read by nomic_jax."""
  cls, config_cls, changes = MODELS[request.param]
  torch.manual_seed(0)
  model = cls(config_cls(**SIZES | changes)).eval()
  with torch.no_grad():
    for name, parameter in model.named_parameters():
      parameter.normal_(std=0.2)
      if "norm" in name.lower() and name.endswith("weight"):
        parameter.add_(1)
      if "nomic" in request.param and name in ABSENT:
        parameter.zero_()
  folder = tmp_path_factory.mktemp("model")
  return model, *_read(model, folder), folder


def _read(model, folder):
  model.save_pretrained(folder)
  (folder / "tokenizer.json").write_text(hub_random.tokenizer().to_str())
  files = model_directory.read_model(folder)
  return files.architecture, {
    "encoder": files.params,
    "mlm_head": files.mlm_head,
  }


def _mean(config, chunks):
  loss = MLM(Encoder(config), chunks=chunks)

  def mean(params, batch):
    total, weight, sums = loss(params, batch, jax.random.key(0))
    return total / weight, {k: v / weight for k, v in sums.items()}

  return mean


def test_loss_and_gradients_are_pytorchs(pair, tmp_path):
  model, config, params, _ = pair
  batch = tiny.mlm_batch()
  tokens = batch["inputs"]
  labels = np.full(tokens["ids"].shape, -100)
  for row in range(len(labels)):
    known = batch["labels"][row] >= 0
    labels[row, batch["masked"][row, known]] = batch["labels"][row, known]
  model.zero_grad()
  theirs = model(
    input_ids=torch.tensor(tokens["ids"]).long(),
    attention_mask=torch.tensor(tokens["segment_ids"]),
    labels=torch.tensor(labels),
  )
  theirs.loss.backward()
  chunks = 4 if config.layers[0].mlp.gated else 1
  compiled = tiny.jit(jax.value_and_grad(_mean(config, chunks), has_aux=True))
  (loss, metrics), grads = compiled(params, batch)
  np.testing.assert_allclose(loss, theirs.loss.item(), rtol=1e-4)
  hits = theirs.logits.argmax(-1).numpy() == labels
  assert metrics["accuracy"] == pytest.approx(hits.sum() / (labels >= 0).sum())

  # Their gradient, saved as if it were a model, comes back as our tree.
  kept = {k: v.detach().clone() for k, v in model.state_dict().items()}
  with torch.no_grad():
    for name, parameter in model.named_parameters():
      absent = name in ABSENT and "bias" not in params["mlm_head"]
      parameter.copy_(0 * parameter if absent else parameter.grad)
  _, expected = _read(model, tmp_path)
  model.load_state_dict(kept)
  tiny.assert_close(grads, expected, 1e-4)
  with pytest.raises(AssertionError):  # control: a label more changes it
    batch["labels"][0, 0] = 7
    tiny.assert_close(compiled(params, batch)[1], expected, 1e-2)


def test_chunks_change_nothing():
  loss = MLM(Encoder(tiny.ARCHITECTURE))
  params, batch = tiny.params(loss), tiny.mlm_batch()
  whole, *parts = (
    tiny.jit(_mean(tiny.ARCHITECTURE, n))(params, batch) for n in (1, 2, 8)
  )
  for part in parts:  # gradients in chunks are compared with PyTorch above
    tiny.assert_close(part, whole, 1e-6)


def test_chunks_keep_the_logits_from_existing_at_once():
  """Only one chunk of [64 x 4, 16384] logits and its gradient exist at once."""
  config = dataclasses.replace(
    tiny.CONFIG, vocab_size=16384, layers=1
  ).architecture
  batch = jax.eval_shape(lambda: tiny.mlm_batch(64))

  def temporaries(n):
    loss = MLM(Encoder(config), chunks=n)
    grad = tiny.jit(jax.grad(lambda p, b: loss(p, b, jax.random.key(0))[0]))
    compiled = grad.lower(tiny.shapes(loss), batch).compile()
    return compiled.memory_analysis().temp_size_in_bytes

  logits = 64 * 4 * 16384 * 4
  assert temporaries(1) > logits  # control
  assert temporaries(16) < logits / 4


def _in_float64(x, table, bias, labels, weights):
  """The losses, whether labels score highest, and the gradients."""

  def total(x, table, bias):
    logits = x @ table.T + bias
    true = jnp.take_along_axis(logits, labels[:, None], 1)[:, 0]  # -1: the last
    loss = jnp.where(labels < 0, 0, jax.nn.logsumexp(logits, 1) - true)
    found = (labels >= 0) & (logits.argmax(1) == labels)
    return (loss * weights).sum(), (loss, found)

  with jax.enable_x64(True):
    arrays = [jnp.asarray(np.asarray(a), "float64") for a in (x, table, bias)]
    grads, (loss, found) = jax.jit(jax.grad(total, (0, 1, 2), has_aux=True))(
      *arrays
    )
    assert {g.dtype.name for g in grads} == {"float64"}
    return jax.device_get((loss, found, grads))


@pytest.mark.parametrize(
  "dtype, error", [("float32", 1e-5), ("bfloat16", 2e-2)]
)
def test_cross_entropy_is_that_of_float64(dtype, error):
  draw = np.random.default_rng(0)
  x = jnp.asarray(draw.normal(size=(24, 16)) * 2, dtype)
  table = draw.normal(size=(50, 16)).astype("f")
  if dtype == "bfloat16":  # so that only the gradient is rounded
    table = np.asarray(jnp.asarray(table, dtype), "f")
  bias = draw.normal(size=50).astype("f")
  labels = draw.integers(-1, 50, 24)
  labels[:8] = np.argmax(np.asarray(x, "f") @ table.T + bias, 1)[:8]
  labels[8] = -1
  weights = draw.uniform(0.5, 2, 24).astype("f")

  def total(x, table, bias):
    loss, found = vocabulary.cross_entropy(x, table, bias, labels)
    return (loss * weights).sum(), (loss, found)

  grads, (loss, found) = tiny.jit(jax.grad(total, (0, 1, 2), has_aux=True))(
    x, table, bias
  )
  assert [g.dtype.name for g in grads] == [dtype, "float32", "float32"]
  expected = _in_float64(x, table, bias, labels, weights)
  np.testing.assert_allclose(loss, expected[0], rtol=1e-5, atol=1e-5)
  np.testing.assert_array_equal(found, expected[1])
  assert 8 <= found.sum() < 24 and (loss[labels < 0] == 0).all()

  def furthest(expected):
    return max(
      np.abs(np.asarray(g, "float64") - e).max() / np.abs(e).max()
      for g, e in zip(grads, expected, strict=True)
    )

  assert furthest(expected[2]) < error
  # The gradient of the bias is summed before it is rounded.
  np.testing.assert_allclose(grads[2], expected[2][2], atol=1e-4)
  # Controls: one other label, and rows without a label that count.
  other = labels.copy()
  other[0] = (other[0] + 1) % 50
  assert furthest(_in_float64(x, table, bias, other, weights)[2]) > 5 * error
  other = np.where(labels < 0, 0, labels)
  assert furthest(_in_float64(x, table, bias, other, weights)[2]) > 5 * error


def test_extreme_logits_and_ties():
  """No overflow; a word that scores as high as the label means not found."""
  x = jnp.array([[200.0], [-200.0], [0.0], [-200.0]])
  table, labels = jnp.array([[1.0], [-1.0], [0.5]]), jnp.array([0, 0, 0, -1])
  loss, found = vocabulary.cross_entropy(x, table, None, labels)
  np.testing.assert_allclose(loss, [0, 400, np.log(3), 0], rtol=1e-6)
  assert found.tolist() == [True, False, False, False]
  grads = jax.grad(
    lambda x: vocabulary.cross_entropy(x, table, None, labels)[0].sum()
  )(x)
  np.testing.assert_allclose(grads[:, 0], [0, -2, -5 / 6, 0], atol=1e-6)


def test_weight_counts_the_labels_and_nothing_else_matters():
  loss = MLM(Encoder(tiny.ARCHITECTURE))
  params, batch = tiny.params(loss), tiny.mlm_batch()
  run = tiny.jit(lambda b: loss(params, b, jax.random.key(0)))
  total, weight, _ = run(batch)
  assert weight == (batch["labels"] >= 0).sum()
  unused = batch["labels"] < 0
  moved = np.where(unused, 5, batch["masked"])
  assert run({**batch, "masked": moved})[0] == total
  total, weight, _ = run({**batch, "labels": np.full_like(moved, -1)})
  assert (total, weight) == (0, 0)


SPECIAL, MASK, VOCABULARY = np.array([0, 2, 3]), 4, 1000


def _rows(count=200, length=128):
  rng = np.random.default_rng(0)
  ids = rng.integers(5, VOCABULARY, (count, length)).astype(np.int32)
  ids[:, 0], ids[:, 40], ids[:, 41] = 2, 3, 2
  ids[:, 100:] = np.where(rng.random((count, 28)) < 0.3, 0, ids[:, 100:])
  return ids


def _mask(ids, rate=0.3):
  return [
    mask_tokens(row, np.random.default_rng(i), rate, MASK, VOCABULARY, SPECIAL)
    for i, row in enumerate(ids)
  ]


def _check(ids, outcomes, rate=0.3):
  """Asserts everything `mask_tokens` promises."""
  counts, eligible, fates = [], [], []
  chosen = np.zeros(ids.shape)
  for i, (row, out) in enumerate(zip(ids, outcomes)):
    used = out["labels"] >= 0
    places = out["masked"][used]
    assert len(out["labels"]) == len(out["masked"]) == np.ceil(rate * len(row))
    assert len(set(places)) == len(places)
    assert not np.isin(row[places], SPECIAL).any()
    np.testing.assert_array_equal(out["labels"][used], row[places])
    others = np.setdiff1d(np.arange(len(row)), places)
    np.testing.assert_array_equal(out["ids"][others], row[others])
    eligible.append((~np.isin(row, SPECIAL)).sum())
    counts.append(len(places))
    assert abs(counts[-1] - rate * eligible[-1]) < 1
    now, was = out["ids"][places], row[places]
    fates += list(np.where(now == MASK, 0, np.where(now == was, 2, 1)))
    chosen[i, places] = 1
  assert abs(sum(counts) / sum(eligible) - rate) < 0.002
  shares = np.bincount(fates, minlength=3) / len(fates)
  # 6,000 tokens: a standard deviation is 0.005 for 80 % and 0.004 for 10 %.
  np.testing.assert_allclose(shares, [0.8, 0.1, 0.1], atol=0.02)
  often = chosen[:, 1:40].mean(0)  # no place is preferred
  assert np.abs(often - rate).max() < 5 * (rate * (1 - rate) / len(ids)) ** 0.5


def test_masking_is_8_1_1_of_the_share_and_never_special():
  ids = _rows()
  before = ids.copy()
  _check(ids, _mask(ids))
  np.testing.assert_array_equal(ids, before)  # the input is unchanged
  _check(ids, _mask(ids, 0.15), 0.15)


def test_the_check_sees_wrong_masking():
  ids = _rows()

  def spoilt(change):
    outcomes = _mask(ids)
    for i, out in enumerate(outcomes):
      change(out, ids[i])
    return outcomes

  def all_mask(out, _):
    out["ids"][out["masked"][out["labels"] >= 0]] = MASK

  def first_special(out, row):
    out["masked"][0], out["labels"][0] = 0, row[0]

  def wrong_label(out, _):
    out["labels"][0] += 1

  def one_less(out, _):
    out["labels"][(out["labels"] >= 0).nonzero()[0][-2:]] = -1

  for change in (all_mask, first_special, wrong_label, one_less):
    with pytest.raises(AssertionError):
      _check(ids, spoilt(change))


def test_masks_are_drawn_from_the_generator():
  row = _rows(1)[0]
  draw = lambda seed: mask_tokens(
    row, np.random.default_rng(seed), 0.3, MASK, VOCABULARY, SPECIAL
  )
  np.testing.assert_array_equal(draw(1)["ids"], draw(1)["ids"])
  assert (draw(1)["masked"] != draw(2)["masked"]).any()


def test_a_row_of_special_tokens_has_nothing_to_predict():
  out = mask_tokens(
    np.array([2, 3, 0, 0], np.int32),
    np.random.default_rng(0),
    0.5,
    MASK,
    VOCABULARY,
    SPECIAL,
  )
  assert (out["labels"] == -1).all() and list(out["ids"]) == [2, 3, 0, 0]
