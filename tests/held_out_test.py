# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Evaluation while training: the right split, masks, weights, no dropout."""

import json
import math

import jax
import pytest

from nomic_jax import config_flags
from nomic_jax.data import loader
from nomic_jax.data import tokenizer as tokenizer_lib
from nomic_jax.hub import model_directory
from nomic_jax.losses.mlm import MLM
from nomic_jax.main import main
from nomic_jax.model.encoder import Encoder
import small_data
import tiny


@pytest.fixture(name="place", scope="module")
def _place(tmp_path_factory):
  return tmp_path_factory.mktemp("held_out")


def _mean(model, config, **changes):
  """The loss of the saved model, as a user would measure it."""
  data = config.data.copy_and_resolve_references()
  with data.unlocked():
    data.update(dict(split="test", mask_rate=0.15) | changes)
  tokenizer = tokenizer_lib.load(model.tokenizer_path)
  params = {"encoder": model.params, "mlm_head": model.mlm_head}
  loss = tiny.jit(MLM(Encoder(model.config)))
  total = weight = 0.0
  for batch in tiny.take(loader.make(data, tokenizer, config.seed), 2):
    for part in range(2):
      micro = {k: v[part] for k, v in batch.items()}
      sums = loss(params, micro, jax.random.key(5))
      total, weight = total + float(sums[0]), weight + float(sums[1])
  return total / weight


def test_the_loss_on_the_held_out_split_is_logged(place):
  arguments = small_data.train(
      "mlm", small_data.make(place), place / "run", "steps=5",
      "checkpoint.every=4", "eval.every=5", "eval.batches=2", "log_every=100",
      "compute.dropout=0.5")
  assert main(arguments) == 0
  before, last = [
      json.loads(line) for line in
      (place / "run/metrics.jsonl").read_text().splitlines()]
  assert (before["step"], last["step"]) == (4, 5)
  assert not any(key.startswith("eval/") for key in before)
  assert last["eval/perplexity"] == pytest.approx(math.exp(last["eval/loss"]))
  assert 0 <= last["eval/accuracy"] <= 1

  config = config_flags.load([a for a in arguments if "--config" in a])
  model = model_directory.read_model(place / "run")
  expected = _mean(model, config)
  assert last["eval/loss"] == pytest.approx(expected, rel=1e-5)
  for changes in (dict(split="train"), dict(mask_rate=0.3)):  # controls
    assert abs(_mean(model, config, **changes) / expected - 1) > 1e-4


def test_an_evaluation_that_cannot_be_is_an_error_at_the_start(place, capsys):
  data = place / "pairs"
  arguments = small_data.train(
      "mlm", data, place / "wrong", "eval.every=1", "eval.data.split=tset")
  assert main(arguments) == 2
  assert "mean 'test'" in small_data.complaint(capsys.readouterr().err)
  assert not (place / "wrong").exists()
