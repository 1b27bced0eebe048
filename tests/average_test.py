# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The moving average of parameters, compared with a loop and over restarts."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support import small_data

from nomic_jax.errors import UserError
from nomic_jax.main import main
from nomic_jax.mesh import processes
from nomic_jax.run import average
from nomic_jax.run import checkpoint
from nomic_jax.run import models


def test_it_is_the_average_of_what_the_updates_lead_to():
  tx = optax.chain(optax.sgd(0.1), average.averaged(0.8))
  params = {"a": jnp.arange(3.0), "b": jnp.ones((2, 2))}
  frozen = params | {"b": optax.MaskedNode()}
  state, expected = tx.init(frozen), np.arange(3.0)
  assert average.served(params, state)["a"] is not params["a"]
  for t in range(20):
    gradient = {"a": jnp.cos(params["a"] + t), "b": optax.MaskedNode()}
    updates, state = tx.update(gradient, state, frozen)
    params["a"] = params["a"] + updates["a"]
    frozen["a"] = params["a"]
    kept = min(0.8, (1 + t) / (10 + t))
    expected = kept * expected + (1 - kept) * np.asarray(params["a"])
  served = average.served(params, state)
  np.testing.assert_allclose(served["a"], expected, 1e-5)
  assert np.abs(served["a"] - params["a"]).max() > 1e-3  # control
  assert served["b"] is params["b"]
  again = average.restarted(state, {"a": jnp.zeros(3), "b": params["b"]})
  assert not average.served(params, again)["a"].any()


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_decay_is_a_share(decay):
  with pytest.raises(UserError, match="config.optimizer.average: .* 0.999"):
    average.averaged(decay)


def _same(one, other):
  return jax.tree.all(jax.tree.map(np.array_equal, one, other))


@pytest.mark.slow
def test_it_is_evaluated_exported_and_resumed(tmp_path, monkeypatch):
  small_data.make(tmp_path)

  def train(name, *overrides, stop=None):
    monkeypatch.setattr(
      processes.Preemption, "reached", lambda self, step: step == stop
    )
    return main(
      small_data.train(
        "contrastive",
        tmp_path / "pairs",
        tmp_path / name,
        "steps=4",
        "data.batch_size=8",
        "data.rows_multiple=16",
        "evaluators.eval.every=4",
        "evaluators.eval.batches=1",
        *overrides,
      )
    )

  def loss(name):
    lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
    return json.loads(lines[-1])["eval/loss"]

  assert train("whole", "optimizer.average=0.9") == 0
  assert train("plain") == 0
  assert train("stopped", "optimizer.average=0.9", stop=2) == 75
  assert train("stopped", "optimizer.average=0.9") == 0
  whole, plain, stopped = (
    checkpoint.restore_params(tmp_path / n)
    for n in ("whole", "plain", "stopped")
  )
  assert _same(whole, stopped) and loss("whole") == loss("stopped")
  assert not _same(whole, plain) and loss("whole") != loss("plain")

  # A training that starts from it takes the averaged weights, and its own
  # average starts there.
  init = f"init_from={tmp_path / 'whole'}"
  still = ["optimizer.learning_rate=0.0", "optimizer.weight_decay=0.0"]
  assert train("next", init, *still, "optimizer.average=0.9") == 0
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, 1e-6, 1e-8),
    models.read_model(tmp_path / "next").params,
    whole["encoder"],
  )
  assert loss("next") == pytest.approx(loss("whole"), rel=1e-5)
