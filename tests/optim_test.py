# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Schedules by their formulas; weight decay, freezing and clipping."""

import dataclasses
import math

from flax import traverse_util
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax
import pytest
from support import tiny

from nomic_jax import step as step_lib
from nomic_jax.errors import UserError
from nomic_jax.losses.info_nce import InfoNCE
from nomic_jax.losses.mlm import MLM
from nomic_jax.model.encoder import Encoder
from nomic_jax.run import optim
from nomic_jax.run import schedules

ALL = ((".*", 1.0),)


def _config(**changes):
  return ml_collections.ConfigDict(
    dict(
      learning_rate=2.0,
      schedule="linear",
      warmup="10 steps",
      b1=0.9,
      b2=0.99,
      eps=1e-8,
      weight_decay=0.1,
      clip_norm=0.0,
      cooldown="40 steps",
      lr_multipliers=ALL,
      decay_multipliers=optim.DECAY_RULE,
    )
    | changes
  )


def _rate(name, total, **changes):
  return schedules.make(name, _config(**changes), total)


@pytest.mark.parametrize(
  "name, formula",
  [
    ("linear", lambda t: 2 * (110 - t) / 100),
    ("cosine", lambda t: 1 + math.cos(math.pi * (t - 10) / 100)),
    ("inverse_sqrt", lambda t: 2 * math.sqrt(10 / t)),
    ("constant", lambda t: 2.0),
    ("wsd", lambda t: 2.0 if t <= 70 else 2 * (110 - t) / 40),
    (
      "wsd_sqrt",
      lambda t: 2.0 if t <= 70 else 2 * (1 - math.sqrt((t - 70) / 40)),
    ),
  ],
)
def test_schedule_rises_in_a_line_and_follows_its_formula(name, formula):
  rate = _rate(name, 110)
  for step in (0, 1, 5, 9):
    assert rate(step) == pytest.approx(0.2 * step)
  for step in (10, 11, 35, 60, 70, 71, 109):
    assert rate(step) == pytest.approx(formula(step), rel=1e-5, abs=1e-6)
  traced = tiny.jit(rate)(jnp.int32(60))
  assert traced == pytest.approx(formula(60), rel=1e-5)


def test_which_schedules_end_at_zero():
  ends = {n for n in schedules.SCHEDULES if abs(_rate(n, 110)(110)) < 1e-6}
  assert ends == {"linear", "cosine", "wsd", "wsd_sqrt"}


@pytest.mark.parametrize("name", schedules.SCHEDULES)
def test_without_warmup_a_schedule_starts_at_its_peak(name):
  rate = _rate(name, 100, warmup="0")
  assert rate(0) == pytest.approx(2.0)
  assert np.isfinite(rate(1)) and rate(1) <= 2.0


@pytest.mark.parametrize(
  "amount, steps",
  [
    ("700 steps", 700),
    ("1 step", 1),
    ("700", 700),
    ("0", 0),
    ("6%", 120),
    ("0.5 %", 10),
    ("1e4 examples", 100),
    ("4.2e5 tokens", 105),
  ],
)
def test_lengths_of_training_in_steps(amount, steps):
  per_step = {"examples": 100, "tokens": 4000}
  assert schedules.steps_of("warmup", amount, 2000, per_step) == steps


@pytest.mark.parametrize("field", ["learning_rate", "schedule", "warmup"])
def test_a_field_that_the_config_does_not_set_is_named(field):
  config = _config()
  del config[field]
  with pytest.raises(UserError, match=f"^config.optimizer.{field}: .*set it"):
    optim.make(config, 110)


def test_values_that_do_not_fit_are_named():
  with pytest.raises(UserError, match="clip_norm: -1.0 would reverse"):
    optim.make(_config(clip_norm=-1.0), 110)
  with pytest.raises(UserError, match="no schedule 'liner'.*mean 'linear'"):
    optim.make(_config(schedule="liner"), 110)
  for warmup in ("-1", "110", "200 steps", "100%"):
    with pytest.raises(UserError, match=f"warmup: '{warmup}' is .*0 to 109"):
      optim.make(_config(warmup=warmup), 110)
  for cooldown in ("0", "101"):
    with pytest.raises(UserError, match=f"cooldown: '{cooldown}' is.*1 to 100"):
      optim.make(_config(schedule="wsd", cooldown=cooldown), 110)
  for warmup, message in (
    ("soon", "'soon' is not a length of training"),
    ("", "'' is not a length of training"),
    ("1-2 steps", "is not a length"),
    ("3 tokans", "unknown unit; .* Did you mean 'tokens'"),
    ("3 tokens", "the number of tokens per step is not fixed"),
  ):
    with pytest.raises(UserError, match=f"config.optimizer.warmup.*{message}"):
      optim.make(_config(warmup=warmup), 110, {"examples": 3})


PARAMS = {
  "encoder": {
    "word": {"embedding": jnp.ones((3, 2))},
    "norm": {"scale": jnp.ones(2)},
  },
  "head": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)},
}


def test_the_first_pattern_that_matches_a_whole_path_decides():
  tree = optim.match(
    "lr_multipliers",
    ((".*/norm/.*", 2), ("encoder/.*", 3.0), (".*/kernel", 4), (".*", 5)),
    PARAMS,
  )
  assert tree == {
    "encoder": {"word": {"embedding": 3.0}, "norm": {"scale": 2}},
    "head": {"kernel": 4, "bias": 5},
  }


@pytest.mark.parametrize(
  "rules, message",
  [
    (
      ((".*kernel", 1), ("encoder/.*", 1)),
      r"no pattern matches the parameter 'head/bias'; end .* \('\.\*', VALUE\)",
    ),
    ((("head", 1), (".*", 1)), "the pattern 'head' matches no parameter"),
    (((".*(", 1),), "is not a list of"),
    (((".*", -1.0),), "-1.0 for '.*'; expected a number, 0 or more"),
    (((".*", "x"),), "'x' for '.*'; expected a number"),
    ((".*", 1.0), "is not a list of"),
  ],
)
def test_patterns_that_do_not_fit_the_parameters(rules, message):
  for field in ("lr_multipliers", "decay_multipliers"):
    with pytest.raises(UserError, match=f"optimizer.{field}: .*{message}") as e:
      optim.make(_config(**{field: tuple(rules)}), 110)[0].init(PARAMS)
    assert "\n" not in str(e.value)


def _updates(config, grads=1.0, step=0):
  """Updates of PARAMS at one step, and the optimiser's state after it."""
  tx, _ = optim.make(config, 110)

  def run():
    state = tx.init(PARAMS)
    state = jax.tree.map(
      lambda x: x + step if x.dtype == jnp.int32 else x, state
    )
    return tx.update(
      jax.tree.map(lambda p: jnp.full_like(p, grads), PARAMS), state, PARAMS
    )

  updates, state = tiny.jit(run)()
  return jax.tree.map(lambda x: float(x.ravel()[0]), updates), state


def test_rates_decay_and_schedules_by_path():
  rules = dict(
    lr_multipliers=(("head/.*", 0.5), (".*", 1.0)),
    decay_multipliers=(("head/kernel", 10.0), (".*", 0.0)),
    schedule=(("encoder/.*", "constant"), (".*", "linear")),
  )
  updates, _ = _updates(_config(**rules), grads=0.0, step=60)
  assert updates["head"]["kernel"] == pytest.approx(-0.5 * 1.0 * (0.1 * 10))
  assert updates["head"]["bias"] == updates["encoder"]["norm"]["scale"] == 0
  rules["decay_multipliers"] = ((".*", 0.0),)
  updates, _ = _updates(_config(**rules), step=60)
  head, encoder = updates["head"], updates["encoder"]
  # Half of the peak by the multiplier, and half-way down the schedule.
  quarter = pytest.approx(encoder["norm"]["scale"] / 4)
  assert head["kernel"] == quarter and head["bias"] == quarter
  _, logged = optim.make(_config(**rules), 110)
  assert logged(60) == pytest.approx(1.0)  # that of the last pattern


def test_frozen_parameters_keep_still_and_have_no_moments():
  frozen = (("encoder/.*", 0), (".*", 1.0))
  updates, state = _updates(_config(lr_multipliers=frozen), step=20)
  assert updates["encoder"] == {"word": {"embedding": 0}, "norm": {"scale": 0}}
  assert updates["head"]["kernel"] != 0
  free = _updates(_config())[1]
  size = lambda state: sum(x.size for x in jax.tree.leaves(state))
  assert size(free) - size(state) == 2 * (3 * 2 + 2)


def test_the_state_is_the_same_without_the_frozen_parameters():
  """The step omits frozen parameters; earlier versions saved their state."""
  rules = (("encoder/.*", 0), (".*", 1.0))
  more = dict(schedule=(("encoder/.*", "wsd"), (".*", "linear")))
  tx, _ = optim.make(_config(lr_multipliers=rules, **more), 110)
  trained, frozen = step_lib.split(PARAMS, optim.trainable(rules, PARAMS))
  assert optim.paths(trained) == optim.paths(PARAMS)  # so patterns match
  assert len(jax.tree.leaves(trained)) == len(PARAMS["head"])
  tiny.assert_close(step_lib.merge(trained, frozen), PARAMS, 0)
  state, whole = tx.init(trained), tx.init(PARAMS)
  assert jax.tree.structure(state) == jax.tree.structure(whole)
  updates, state = tx.update(trained, state, trained)
  expected, whole = tx.update(PARAMS, whole, PARAMS)
  tiny.assert_close([updates["head"], state], [expected["head"], whole], 0)


def _decays(tree):
  """Paths of parameters that decay if the gradient is zero."""
  tree = jax.tree.map(lambda x: np.ones(x.shape, "f"), tree)
  tx, _ = optim.make(_config(schedule="constant", warmup="0"), 10)
  zeros = jax.tree.map(np.zeros_like, tree)
  updates, _ = tiny.jit(lambda z, t: tx.update(z, tx.init(t), t))(zeros, tree)
  paths = dict(zip(optim.paths(tree), jax.tree.leaves(updates)))
  for name, update in paths.items():
    assert np.allclose(update, 0) or np.allclose(update, -2.0 * 0.1), name
  return {k for k, v in paths.items() if not np.allclose(v, 0)}, paths


def test_what_decays_is_what_the_reference_decays():
  """Parameters with two or more axes in a layer decay there, and no biases."""
  config = dataclasses.replace(
    tiny.CONFIG,
    position="learned",
    activation="gelu",
    qkv_bias=True,
    mlp_in_bias=True,
    mlp_out_bias=True,
    pooler=True,
  )
  encoder = Encoder(config.architecture)
  with_scale = InfoNCE(encoder, trainable_temperature=True)
  tree = tiny.shapes(MLM(encoder)) | {
    "log_scale": tiny.shapes(with_scale)["log_scale"]
  }
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


def test_boxed_parameters_match_alike():
  loss = MLM(Encoder(tiny.ARCHITECTURE))
  boxed = jax.eval_shape(loss.init, jax.random.key(0))
  assert optim.paths(boxed) == optim.paths(tiny.shapes(loss))
  values = [
    jax.tree.leaves(optim.match("decay_multipliers", optim.DECAY_RULE, tree))
    for tree in (boxed, tiny.shapes(loss))
  ]
  assert values[0] == values[1] and {*values[0]} == {0.0, 1.0}


def test_the_decay_rule_is_that_of_the_configs():
  from support import small_data

  from nomic_jax.cli import config_flags

  config = config_flags.load([small_data.config("mlm")])
  assert config.optimizer.decay_multipliers == optim.DECAY_RULE


def test_clipping_is_by_the_norm_of_all_gradients_together():
  params = {"kernel": jnp.zeros((2, 2)), "bias": jnp.zeros(2)}
  grads = {"kernel": jnp.full((2, 2), 3.0), "bias": jnp.full(2, 4.0)}
  norm = math.sqrt(4 * 9 + 2 * 16)
  for clip, factor in ((0.0, 1.0), (1.0, 1 / norm), (100.0, 1.0)):
    tx, _ = optim.make(_config(clip_norm=clip), 100)
    _, state = tx.update(grads, tx.init(params), params)
    moments = [s for s in state if hasattr(s, "mu")][0].mu
    tiny.assert_close(
      moments, jax.tree.map(lambda g: 0.1 * factor * g, grads), 1e-5
    )


@pytest.mark.parametrize("frozen", [False, True])
def test_stable_adamw_is_its_algorithm_in_float64(frozen):
  """Compares with algorithm 2 of Wortsman et al. 2023, one tensor at a time."""
  rng = np.random.default_rng(0)
  shapes = {
    ("encoder", "word", "embedding"): (5, 3),
    ("encoder", "layers_1", "layer_0", "qkv", "kernel"): (2, 3, 4),
    ("encoder", "final_norm", "scale"): (3,),
  }
  tree = lambda values: traverse_util.unflatten_dict(values)
  params = {path: rng.normal(size=shape) for path, shape in shapes.items()}
  still = "encoder/word/embedding"
  config = _config(
    name="stable_adamw",
    schedule="constant",
    warmup="0",
    learning_rate=0.1,
    eps=1e-6,
    lr_multipliers=((still, 0.0), *ALL) if frozen else ALL,
  )
  tx, _ = optim.make(config, 20)
  found = jax.tree.map(jnp.float32, tree(params))
  state = tx.init(found)
  step = tiny.jit(tx.update)
  # Each layer's part of a stacked array is a tensor of its own.
  parts = {
    (path, i): value[i] if "layers_1" in path else value
    for path, value in params.items()
    for i in range(2 if "layers_1" in path else 1)
  }
  moments = {k: (0 * v, 0 * v) for k, v in parts.items()}
  clipped = 0
  for t in range(1, 21):
    # Every fifth gradient is far larger than those before.
    scale = 30.0 if t % 5 == 0 else 1.0
    gradients = {p: scale * rng.normal(size=s) for p, s in shapes.items()}
    updates, state = step(
      jax.tree.map(jnp.float32, tree(gradients)), state, found
    )
    found = optax.apply_updates(found, updates)
    for (path, i), x in parts.items():
      g = gradients[path][i] if "layers_1" in path else gradients[path]
      m, v = moments[path, i]
      m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g**2
      moments[path, i] = m, v
      m, v = m / (1 - 0.9**t), v / (1 - 0.99**t)
      rms = np.sqrt((g**2 / np.maximum(v, 1e-12)).mean())
      clipped += rms > 1
      rate = 0.1 / max(1, rms)
      decay = 0.1 if path[-1] != "scale" else 0.0
      if not (frozen and "word" in path):
        parts[path, i] = x - rate * (decay * x + m / (np.sqrt(v) + 1e-6))
  assert 8 < clipped < 60
  for (path, i), expected in parts.items():
    x = traverse_util.flatten_dict(found)[path]
    x = x[i] if "layers_1" in path else x
    np.testing.assert_allclose(x, expected, rtol=0, atol=2e-5)


def test_an_unknown_optimizer_is_named():
  with pytest.raises(UserError, match="'stable_adam' is unknown.*stable_adamw"):
    optim.make(_config(name="stable_adam"), 20)
