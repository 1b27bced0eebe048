# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""config.epochs beside config.steps: exactly one, and steps of both kinds."""

import pytest
from support import small_data

from nomic_jax.cli import config_flags
from nomic_jax.data import dataset
from nomic_jax.data import loader
from nomic_jax.data import tokens
from nomic_jax.errors import UserError
from nomic_jax.text import tokenizer as tokenizer_lib


@pytest.fixture(name="data", scope="module")
def _data(tmp_path_factory):
  return small_data.make(tmp_path_factory.mktemp("epochs"))


def _load(*overrides, name="mlm"):
  return config_flags.load(
    [small_data.config(name), *(f"--config.{o}" for o in overrides)]
  )


def test_a_flag_for_one_replaces_the_other():
  assert (_load().steps > 0, _load().epochs) == (True, 0.0)
  assert (_load("epochs=2").steps, _load("epochs=2").epochs) == (0, 2.0)
  assert (_load("steps=3").steps, _load("steps=3").epochs) == (3, 0.0)


@pytest.mark.parametrize(
  "overrides, message",
  [
    (["steps=3", "epochs=2"], "steps=3 and --config.epochs=2 both say"),
    (["epochs=0"], "--config.steps: 0 is too small; expected 1 or more"),
    (["epochs=-1"], "--config.epochs: -1 is too small"),
    (["checkpoint.patience=-1"], "patience: -1 is too small"),
  ],
)
def test_exactly_one_of_the_two(overrides, message):
  with pytest.raises(UserError, match=message):
    _load(*overrides)


def test_an_epoch_of_text_is_all_its_tokens(data):
  words = tokenizer_lib.load(dataset.tokenizer_path(data))
  rows = dataset.open_split(data, "train")
  expected = sum(
    len(words.encode(f"{row['query']}\n{row['document']}").ids) for row in rows
  )
  config = _load("epochs=3", f"data.path={data}", "data.batch_size=2")
  per_step = 2 * config.data.row_length
  steps = loader.with_steps(config, words).steps
  assert steps == round(3 * expected / per_step) > 1
  tokens.tokenise(str(data))
  ahead = _load(
    "epochs=3", f"data.path={data}", "data.batch_size=2", "data.tokenised=true"
  )
  assert loader.with_steps(ahead, words).steps == steps
  assert loader.with_steps(_load("steps=5"), words).steps == 5
