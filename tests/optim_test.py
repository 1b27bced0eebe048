# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Schedules against their formulas; what decays, and what is clipped."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from nomic_jax import optim
from nomic_jax.errors import UserError
from nomic_jax.losses.info_nce import InfoNCE
from nomic_jax.losses.mlm import MLM
from nomic_jax.model.encoder import Encoder
import tiny


def _config(**changes):
  return ml_collections.ConfigDict(dict(
      learning_rate=2.0, schedule="linear", warmup_steps=10, b1=0.9, b2=0.99,
      eps=1e-8, weight_decay=0.1, clip_norm=0.0) | changes)


@pytest.mark.parametrize("name, formula", [
    ("linear", lambda t: 2 * (110 - t) / 100),
    ("cosine", lambda t: 1 + math.cos(math.pi * (t - 10) / 100)),
    ("inverse_sqrt", lambda t: 2 * math.sqrt(10 / t)),
    ("constant", lambda t: 2.0),
])
def test_schedule_rises_in_a_line_and_follows_its_formula(name, formula):
  rate = optim.make_schedule(_config(schedule=name), 110)
  for step in (0, 1, 5, 9):
    assert rate(step) == pytest.approx(0.2 * step)
  for step in (10, 11, 35, 60, 109):
    assert rate(step) == pytest.approx(formula(step), rel=1e-5, abs=1e-6)
  traced = tiny.jit(rate)(jnp.int32(60))
  assert traced == pytest.approx(formula(60), rel=1e-5)


def test_linear_and_cosine_end_at_zero():
  for name, ends in (("linear", True), ("cosine", True),
                     ("constant", False), ("inverse_sqrt", False)):
    last = float(optim.make_schedule(_config(schedule=name), 110)(110))
    assert (abs(last) < 1e-6) == ends, name


@pytest.mark.parametrize("name", optim.SCHEDULES)
def test_without_warmup_a_schedule_starts_at_its_peak(name):
  rate = optim.make_schedule(_config(schedule=name, warmup_steps=0), 100)
  assert rate(0) == pytest.approx(2.0)
  assert np.isfinite(rate(1)) and rate(1) <= 2.0


def test_values_that_do_not_fit_are_named():
  with pytest.raises(UserError, match="clip_norm: -1.0 would turn"):
    optim.make(_config(clip_norm=-1.0), 110)
  with pytest.raises(UserError, match="no schedule 'liner'.*mean 'linear'"):
    optim.make(_config(schedule="liner"), 110)
  for warmup in (-1, 110, 200):
    with pytest.raises(UserError, match=f"warmup_steps: {warmup} .*0 to 109"):
      optim.make(_config(warmup_steps=warmup), 110)


def _decays(tree):
  """Paths that lose weight where the gradient is zero."""
  tree = jax.tree.map(lambda x: np.ones(x.shape, "f"), tree)
  tx, _ = optim.make(_config(schedule="constant", warmup_steps=0), 10)
  zeros = jax.tree.map(np.zeros_like, tree)
  updates, _ = tiny.jit(lambda z, t: tx.update(z, tx.init(t), t))(zeros, tree)
  paths = {}
  for path, update in jax.tree_util.tree_leaves_with_path(updates):
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    paths[name] = update
    assert np.allclose(update, 0) or np.allclose(update, -2.0 * 0.1), name
  return {k for k, v in paths.items() if not np.allclose(v, 0)}, paths


def test_what_decays_is_what_the_reference_decays():
  """There: two axes or more in one layer's parameter, and no bias."""
  config = dataclasses.replace(
      tiny.CONFIG, position="learned", activation="gelu", qkv_bias=True,
      mlp_in_bias=True, mlp_out_bias=True, pooler=True)
  encoder = Encoder(config)
  with_scale = InfoNCE(encoder, trainable_temperature=True)
  tree = tiny.shapes(MLM(encoder)) | {
      "log_scale": tiny.shapes(with_scale)["log_scale"]}
  decayed, updates = _decays(tree)
  expected, by_rank = set(), set()
  for name, update in updates.items():
    rank = update.ndim - ("layers/" in name)
    if rank >= 2 and "bias" not in name and "log_scale" not in name:
      expected.add(name)
    if update.ndim >= 2:
      by_rank.add(name)
  assert decayed == expected
  assert "encoder/position/embedding" in decayed
  assert "mlm_head/transform/kernel" in decayed
  # Control: by the rank of the stacked arrays, norms would decay too.
  assert "encoder/layers/norm1/scale" in by_rank - expected


def test_boxed_parameters_decay_alike():
  loss = MLM(Encoder(tiny.CONFIG))
  boxed = optim.decayed(jax.eval_shape(loss.init, jax.random.key(0)))
  plain = optim.decayed(tiny.shapes(loss))
  assert jax.tree.leaves(boxed) == jax.tree.leaves(plain)


def test_clipping_is_by_the_norm_of_all_gradients_together():
  params = {"kernel": jnp.zeros((2, 2)), "bias": jnp.zeros(2)}
  grads = {"kernel": jnp.full((2, 2), 3.0), "bias": jnp.full(2, 4.0)}
  norm = math.sqrt(4 * 9 + 2 * 16)
  for clip, factor in ((0.0, 1.0), (1.0, 1 / norm), (100.0, 1.0)):
    tx, _ = optim.make(_config(clip_norm=clip), 100)
    _, state = tx.update(grads, tx.init(params), params)
    moments = [s for s in state if hasattr(s, "mu")][0].mu
    tiny.assert_close(
        moments, jax.tree.map(lambda g: 0.1 * factor * g, grads), 1e-5)
