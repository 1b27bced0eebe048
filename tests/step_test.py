# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The step: exact accumulation, any mesh, and PyTorch's optimizer."""

import functools

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax
import pytest
from support import tiny
import torch

from nomic_jax import step as step_lib
from nomic_jax.losses.loss import Loss
from nomic_jax.run import optim


class LeastSquares(Loss):
  """A new objective, which needs only a class."""

  similarity = ""

  def init(self, rng):
    return {"kernel": jax.random.normal(rng, (5, 3)), "bias": jnp.zeros(3)}

  def __call__(self, params, batch, rng):
    error = batch["x"] @ params["kernel"] + params["bias"] - batch["y"]
    weight = batch["weight"]
    total = (weight * (error**2).sum(-1)).sum()
    return total, weight.sum(), {"distance": (weight * _length(error)).sum()}


def _length(x):
  return ((x**2).sum(-1) + 1e-12) ** 0.5


def _rows(count=12, steps=()):
  rng = np.random.default_rng(0)
  shape = (*steps, count)
  return {
    "x": rng.normal(size=(*shape, 5)).astype("f"),
    "y": 3 * rng.normal(size=(*shape, 3)).astype("f"),
    "weight": rng.uniform(0.02, 0.05, shape).astype("f"),
  }


def _first_params():
  return step_lib.init_state(LeastSquares(), optax.sgd(1.0), 0).params


def _split(batch, micro_batches):
  return jax.tree.map(
    lambda x: x.reshape(micro_batches, -1, *x.shape[1:]), batch
  )


def _one_step(loss, batch):
  """Returns metrics and the gradient, from SGD with learning rate 1."""
  tx = optax.sgd(1.0)
  state = step_lib.init_state(loss, tx, 0)
  after, metrics = tiny.jit(step_lib.make_train_step(loss, tx))(state, batch)
  return metrics, jax.tree.map(
    lambda a, b: np.asarray(a - b), state.params, after.params
  )


def test_unequal_micro_batches_equal_one_batch():
  batch = _rows()
  batch["weight"][4:8] = 0  # the second of three micro-batches has no weight
  batch["weight"][8:] *= 10
  whole = _one_step(LeastSquares(), _split(batch, 1))
  parts = _one_step(LeastSquares(), _split(batch, 3))
  tiny.assert_close(parts, whole, 1e-6)

  params = jax.tree.map(np.asarray, _first_params())
  error = batch["x"] @ params["kernel"] + params["bias"] - batch["y"]
  weight, total = batch["weight"], batch["weight"].sum()
  expected = {
    "kernel": 2 * batch["x"].T @ (weight[:, None] * error) / total,
    "bias": 2 * (weight[:, None] * error).sum(0) / total,
  }
  tiny.assert_close(whole[1], expected, 1e-5)
  metrics = whole[0]
  mean = lambda x: (weight * x).sum() / total
  assert metrics["loss"] == pytest.approx(mean((error**2).sum(-1)), rel=1e-5)
  assert metrics["distance"] == pytest.approx(mean(_length(error)), rel=1e-5)
  norm = np.sqrt(sum((g**2).sum() for g in expected.values()))
  assert metrics["gradient_norm"] == pytest.approx(norm, rel=1e-5)

  # Control: the mean of the micro-batches' means has another gradient.
  means = [
    _one_step(LeastSquares(), jax.tree.map(lambda x: x[i : i + 1], micro))[1]
    for micro in [_split(batch, 3)]
    for i in (0, 2)
  ]
  with pytest.raises(AssertionError):
    tiny.assert_close(
      jax.tree.map(lambda a, b: (a + b) / 2, *means), expected, 1e-2
    )


def test_small_weights_divide_and_zero_weight_skips_the_update():
  batch = _rows()
  batch["weight"] *= 0.1  # 0.04 in all
  heavier = {**batch, "weight": 100 * batch["weight"]}
  tiny.assert_close(
    _one_step(LeastSquares(), _split(batch, 2)),
    _one_step(LeastSquares(), _split(heavier, 2)),
    1e-5,
  )
  nothing = {**batch, "weight": 0 * batch["weight"]}
  metrics, grads = _one_step(LeastSquares(), _split(nothing, 2))
  assert metrics["loss"] == 0
  assert all((g == 0).all() for g in jax.tree.leaves(grads))


def test_a_step_that_is_not_finite_changes_nothing_and_is_counted():
  tx = optax.adam(0.1)
  step = tiny.jit(step_lib.make_train_step(LeastSquares(), tx))
  good = _split(_rows(), 2)
  of_x, of_weight = _split(_rows(), 2), _split(_rows(), 2)
  of_x["x"][1, 2, 3] = np.nan  # in one feature: the bias sees it through y
  of_weight["weight"][:] = np.inf
  first, _ = step(step_lib.init_state(LeastSquares(), tx, 0), good)
  state = first
  for count, bad in enumerate((of_x, of_weight), 1):
    state, metrics = step(state, bad)
    assert metrics["skipped"] == state.skipped == count
    assert not all(map(np.isfinite, metrics["group_norms"].values()))
  assert state.step == 3
  # Bit for bit, also the optimizer; and training continues unaffected.
  once, _ = step(first, good)
  again, metrics = step(state, good)
  for a, b in ((first, state), (once, again)):
    jax.tree.map(
      np.testing.assert_array_equal,
      (a.params, a.opt_state),
      (b.params, b.opt_state),
    )
  assert metrics["skipped"] == 2
  norms = metrics["group_norms"]
  assert norms.keys() == {"kernel", "bias"}
  assert metrics["gradient_norm"] == pytest.approx(
    np.hypot(norms["kernel"], norms["bias"])
  )
  with pytest.raises(AssertionError):  # control: a good step changes them
    tiny.assert_close(once.params, first.params, 1e-3)


def test_a_batch_with_zero_weight_changes_nothing():
  """Momentum and weight decay would otherwise move the parameters."""
  config = ml_collections.ConfigDict(
    dict(
      learning_rate=0.3,
      schedule="linear",
      warmup="5 steps",
      b1=0.8,
      b2=0.95,
      eps=1e-8,
      weight_decay=0.3,
      clip_norm=8.0,
      lr_multipliers=((".*", 1.0),),
      decay_multipliers=optim.DECAY_RULE,
    )
  )
  tx, _ = optim.make(config, 20)
  step = tiny.jit(step_lib.make_train_step(LeastSquares(), tx))
  good = _split(_rows(), 2)
  nothing = good | {"weight": 0 * good["weight"]}
  first, metrics = step(step_lib.init_state(LeastSquares(), tx, 0), good)
  assert metrics["empty"] == 0
  state, metrics = step(first, nothing)
  assert metrics["empty"] == 1 and metrics["skipped"] == 0
  assert state.step == 2
  once, _ = step(first, good)
  again, _ = step(state, good)
  for a, b in ((first, state), (once, again)):
    jax.tree.map(
      np.testing.assert_array_equal,
      (a.params, a.opt_state),
      (b.params, b.opt_state),
    )
  assert (once.params["kernel"] != first.params["kernel"]).any()  # control


class Noise(Loss):
  """A loss that records the key it is given."""

  similarity = ""

  def init(self, rng):
    return {"bias": jnp.zeros(())}

  def __call__(self, params, batch, rng):
    drawn = jax.random.uniform(rng)
    sums = {"first": drawn * batch["x"][0], "second": drawn * batch["x"][1]}
    return params["bias"] * 0, jnp.float32(1), sums


def test_keys_differ_by_step_and_micro_batch_and_come_again():
  tx = optax.sgd(1.0)
  step = tiny.jit(step_lib.make_train_step(Noise(), tx))
  batch = {"x": np.eye(2, dtype="f")}  # micro-batch 0 fills "first"

  def drawn(seed, steps=3):
    state, seen = step_lib.init_state(Noise(), tx, seed), []
    for _ in range(steps):
      state, metrics = step(state, batch)
      seen += [float(metrics["first"]), float(metrics["second"])]
    assert state.step == steps
    return seen

  seen = drawn(0)
  assert len(set(seen)) == 6
  assert drawn(0) == seen
  assert not set(drawn(1)) & set(seen)


def _torch_losses(batches, decay_bias=False, frozen=False, clip=8.0):
  """Returns the losses of 20 plain steps of torch.optim.AdamW."""
  start = jax.tree.map(np.array, _first_params())
  kernel = torch.tensor(start["kernel"], requires_grad=not frozen)
  bias = torch.tensor(start["bias"], requires_grad=True)
  optimizer = torch.optim.AdamW(
    [
      dict(params=[kernel], weight_decay=0.3),
      dict(params=[bias], weight_decay=0.3 * decay_bias),
    ],
    lr=0.3,
    betas=(0.8, 0.95),
    eps=1e-6,
  )
  schedule = torch.optim.lr_scheduler.LambdaLR(
    optimizer, lambda i: i / 5 if i < 5 else (20 - i) / 15
  )
  losses, norms = [], []
  for i in range(20):
    x, y, weight = (torch.tensor(batches[k][i]) for k in ("x", "y", "weight"))
    error = x @ kernel + bias - y
    loss = (weight * (error**2).sum(-1)).sum() / weight.sum()
    optimizer.zero_grad()
    loss.backward()
    norms.append(torch.nn.utils.clip_grad_norm_([kernel, bias], clip).item())
    optimizer.step()
    schedule.step()
    losses.append(loss.item())
  final = {"kernel": kernel.detach().numpy(), "bias": bias.detach().numpy()}
  return losses, norms, final


def _our_losses(
  batches, loss=LeastSquares(), clip=8.0, eps=1e-6, rules=((".*", 1.0),)
):
  """Returns the losses of the same 20 steps, and the final parameters."""
  config = ml_collections.ConfigDict(
    dict(
      learning_rate=0.3,
      schedule="linear",
      warmup="5 steps",
      b1=0.8,
      b2=0.95,
      eps=eps,
      weight_decay=0.3,
      clip_norm=clip,
      lr_multipliers=rules,
      decay_multipliers=optim.DECAY_RULE,
    )
  )
  tx, _ = optim.make(config, 20)
  trainable = functools.partial(optim.trainable, rules)
  state = step_lib.init_state(loss, tx, 0, trainable)
  step = tiny.jit(step_lib.make_train_step(loss, tx, trainable=trainable))
  seen = []
  for i in range(20):
    batch = {k: v[i] for k, v in batches.items()}
    state, metrics = step(state, _split(batch, 2))
    seen.append((metrics["loss"], metrics["gradient_norm"]))
  return seen, state.params


def test_twenty_steps_are_those_of_torch_adamw():
  batches = _rows(steps=(20,))
  seen, params = _our_losses(batches)
  losses, norms, final = _torch_losses(batches)
  assert min(norms) < 8 < max(norms)  # clipped in some steps, not in others
  np.testing.assert_allclose(seen, list(zip(losses, norms)), rtol=1e-5)
  tiny.assert_close(params, final, 1e-5)
  *_, other = _torch_losses(batches, decay_bias=True)
  with pytest.raises(AssertionError):  # control: the bias must not decay
    tiny.assert_close(params, other, 1e-3)


def test_frozen_parameters_are_those_torch_gives_no_gradient():
  """They do not decay and do not count in the norm for clipping."""
  batches = _rows(steps=(20,))
  seen, params = _our_losses(
    batches, clip=5.0, rules=(("kernel", 0), (".*", 1.0))
  )
  losses, norms, final = _torch_losses(batches, frozen=True, clip=5.0)
  assert min(norms) < 5 < max(norms)
  np.testing.assert_allclose(seen, list(zip(losses, norms)), rtol=1e-5)
  tiny.assert_close(params["bias"], final["bias"], 1e-5)
  np.testing.assert_array_equal(params["kernel"], _first_params()["kernel"])
  # Control: were the kernel in the norm, it would be larger.
  assert norms[0] < 0.9 * _torch_losses(batches)[1][0]


class SixteenFold(LeastSquares):
  """A loss whose gradient is 16 times as large, as in the reference."""

  def __call__(self, params, batch, rng):
    total, *others = super().__call__(params, batch, rng)
    return 16 * total, *others


def test_clip_and_eps_that_reproduce_a_gradient_times_devices():
  """The reference clips W times the gradient, as configs/README.md notes."""
  batches = _rows(steps=(20,))
  _, reference = _our_losses(batches, SixteenFold(), clip=128.0, eps=1e-2)
  _, same = _our_losses(batches, clip=128.0 / 16, eps=1e-2 / 16)
  tiny.assert_close(same, reference, 1e-5)
  for wrong in (dict(clip=128.0, eps=1e-2 / 16), dict(clip=8.0, eps=1e-2)):
    _, other = _our_losses(batches, **wrong)
    with pytest.raises(AssertionError):
      tiny.assert_close(other, reference, 1e-3)
