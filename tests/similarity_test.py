# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""How vectors of a trained model compare follows from its loss."""

import pathlib

import jax.numpy as jnp
import pytest
from support import small_data
from support import tiny

from nomic_jax import losses
from nomic_jax.cli import config_flags
from nomic_jax.data import kinds
from nomic_jax.errors import UserError
from nomic_jax.model.usage import SIMILARITIES
from nomic_jax.model.usage import Usage
from nomic_jax.run import start as start_lib
from nomic_jax.run.resolve import resolve

# A config, flags, and what it compares by; "" keeps the loaded model's.
CASES = (
  ("contrastive", (), "cosine"),
  ("distill", (), "cosine"),
  ("scores", (), "cosine"),
  ("scores", ("loss.name=angle",), "cosine"),
  ("triplets", (), "cosine"),
  ("triplets", ("loss.distance=euclidean",), "euclidean"),
  ("triplets", ("loss.distance=manhattan",), "manhattan"),
  ("mlm", (), ""),
  ("classify", (), ""),
)
LOADED = Usage(similarity="dot", normalize=True, prompts={"search_query": "q"})


def _config(name, *flags):
  return config_flags.load(
    [
      small_data.config(name),
      "--config.data.path=unused",
      *(f"--config.{flag}" for flag in flags),
    ]
  )


def _resolved(config, usage=LOADED, params=None):
  start = start_lib.Start(tiny.ARCHITECTURE, pathlib.Path(), params, usage)
  return resolve(config, start)


@pytest.fixture(name="labelled")
def _labelled(monkeypatch):
  """All data has one of three classes per text."""
  kind = kinds.Kind("labels", "", ("a", "b", "c"), "single", 1)
  monkeypatch.setattr(kinds, "of", lambda path: kind)


@pytest.mark.usefixtures("labelled")
@pytest.mark.parametrize("name, flags, compared", CASES)
def test_each_loss(name, flags, compared):
  config, usage = _resolved(_config(name, *flags), params={})
  assert usage.similarity == (compared or "dot")
  # Only cosines of unit vectors are those of the vectors in training.
  assert usage.normalize == (compared in ("cosine", ""))
  assert usage.prompt("query") == "q"
  for options in config.evaluators.values():
    assert options.similarity == usage.similarity


def test_there_is_a_case_of_each_loss():
  names = {_config(name, *flags).loss.name for name, flags, _ in CASES}
  assert names == losses._LOSSES.keys()


def test_fresh_weights_keep_their_prompts_whatever_the_loss():
  usage = start_lib.work_directory.fresh_usage()
  for distance in ("cosine", "euclidean"):
    config = _config("triplets", f"loss.distance={distance}")
    _, found = _resolved(config, usage)
    assert found.prompts == usage.prompts
    assert found.similarity == distance


class _Added(losses.Loss):
  """An objective that somebody adds."""

  similarity = "manhattan"

  def __init__(self, encoder, *, scale: float = 1.0):
    del encoder, scale

  def init(self, rng):
    return {}

  def __call__(self, params, batch, rng):
    return jnp.float32(0), jnp.float32(1), {}


def _with(file, **loss):
  config = _config(file)
  with config.unlocked():
    config.loss = loss
  return config


def test_a_loss_that_is_added(monkeypatch):
  monkeypatch.setitem(losses._LOSSES, "added", _Added)
  _, usage = _resolved(_with("contrastive", name="added", scale=2.0))
  assert (usage.similarity, usage.normalize) == ("manhattan", False)
  with pytest.raises(UserError, match="^config.loss.scales: the loss added"):
    _resolved(_with("contrastive", name="added", scales=2.0))


def test_a_loss_must_say_it():
  for loss in losses._LOSSES.values():
    assert loss.similarity in ("", *SIMILARITIES)
  with pytest.raises(TypeError, match="Forgot.similarity is not declared"):
    type("Forgot", (losses.Loss,), {"init": None})


@pytest.mark.usefixtures("labelled")
def test_classes_are_those_of_the_data_for_any_loss(monkeypatch):
  """Also for one that compares vectors of texts with labels."""
  monkeypatch.setitem(losses._LOSSES, "added", _Added)
  config = _with("classify", name="added")
  assert config.data.classes is None
  config, usage = _resolved(config)
  assert (config.data.labels, config.data.classes) == (1, 3)
  assert not usage.prompt("query")  # batches of labels have no prompts
  assert config.loss.to_dict() == {"name": "added"}
  assert (usage.classes, usage.task) == ((), "")


@pytest.mark.usefixtures("labelled")
def test_classes_of_any_loss_that_predicts_labels(monkeypatch):
  parent = losses._LOSSES["classification"]
  monkeypatch.setitem(losses._LOSSES, "focal", type("Focal", (parent,), {}))
  config = _config("classify")
  config.loss.name = "focal"
  config, usage = _resolved(config)
  assert (config.loss.kind, config.loss.labels) == ("single", 3)
  assert (usage.classes, usage.task) == (("a", "b", "c"), "single")
