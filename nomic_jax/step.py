# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The one train step: every objective, on every mesh, goes through here."""

from collections.abc import Callable
import functools
from typing import Any

from flax import struct
import jax
from jax import Array
import jax.numpy as jnp
import optax

from nomic_jax.losses.loss import Batch
from nomic_jax.losses.loss import Loss
from nomic_jax.mesh import partition

Metrics = dict[str, Array]


class TrainState(struct.PyTreeNode):
  """All that changes while training, and the key that never does."""

  step: Array  # int32 [], batches seen
  params: Any
  opt_state: Any
  key: Array  # uint32 key data; the step's randomness is fold_in(key, step)
  skipped: Array  # int32 [], steps whose update was not finite and not made


def init_state(
  loss: Loss, tx: optax.GradientTransformation, seed: int
) -> TrainState:
  """A fresh state, its parameters boxed with logical axis names."""
  params = loss.init(params_key(seed))
  return TrainState(
    step=jnp.int32(0),
    params=params,
    opt_state=tx.init(params),
    key=jax.random.key_data(jax.random.key(seed)),
    skipped=jnp.int32(0),
  )


def params_key(seed: int) -> Array:
  """The key of the first parameters; apart from every step's."""
  return jax.random.fold_in(jax.random.key(seed), 2**32 - 1)


def make_train_step(
  loss: Loss,
  tx: optax.GradientTransformation,
  box: Callable[[Any], Any] = lambda params: params,
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
  """Returns step(state, batch) -> (state, metrics), pure.

  Every array of a batch is [A, ...]: A micro-batches, whose sums of loss,
  weight and gradient are added before the one division. So accumulation is
  exact however unequal their weights are.

  A batch of zero weight has nothing to learn from, as the metric `empty` (1 or
  0) says: parameters and optimizer, its count of updates included, stay as
  they are.

  A loss or gradient that is not finite changes neither parameters nor
  optimiser: the step is counted in `skipped`, a metric, and it is for the
  caller to stop. `group_norms`, of the gradient of each module, say where.

  Args:
    loss: what to minimise.
    tx: the optimiser.
    box: applied to the parameters that the loss is given: see
      `partition.sharded`.
  """
  accumulate = functools.partial(_accumulate, loss)
  if loss.by_row:
    accumulate = partition.summed_by_rows(accumulate)

  def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)

    grads, sums = accumulate(box(state.params), batch, key)
    grads = partition.stored(grads)
    weight = sums.pop("weight")
    divisor = jnp.where(weight > 0, weight, 1.0)
    grads = jax.tree.map(lambda g: g / divisor, grads)
    metrics = jax.tree.map(lambda x: x / divisor, sums)
    groups = _group_norms(grads)
    norm = jnp.sqrt(sum(n**2 for n in groups.values()))
    finite = jnp.isfinite(metrics["loss"]) & jnp.isfinite(norm)
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    made = finite & (weight > 0)
    params, opt_state = jax.tree.map(
      lambda new, old: jnp.where(made, new, old),
      (optax.apply_updates(state.params, updates), opt_state),
      (state.params, state.opt_state),
    )
    skipped = state.skipped + jnp.where(finite, 0, 1)
    metrics |= {
      "gradient_norm": norm,
      "group_norms": groups,
      "skipped": skipped,
      "empty": jnp.where(weight > 0, 0, 1),
    }
    return state.replace(
      step=state.step + 1, params=params, opt_state=opt_state, skipped=skipped
    ), metrics

  return step


def make_measure(loss: Loss) -> Callable[[Any, Batch], Metrics]:
  """Returns measure(params, batch) -> sums, "loss" and "weight" among them.

  Without a gradient. `loss` should be of an encoder without dropout.
  """

  def sums_of(params: Any, batch: Batch, key: Array) -> Metrics:
    def one(micro):
      total, weight, sums = loss(params, micro, key)
      return {"loss": total, "weight": weight, **sums}

    return jax.tree.map(lambda x: x.sum(0), jax.lax.map(one, batch))

  if loss.by_row:
    sums_of = partition.summed_by_rows(sums_of, gradient=False)
  return lambda params, batch: sums_of(params, batch, jax.random.key(0))


def _accumulate(
  loss: Loss, params: Any, batch: Batch, key: Array
) -> tuple[Any, Metrics]:
  """Gradient, and sums of loss, weight and metrics, of all micro-batches."""

  def total(params, micro, rng):
    loss_sum, weight, sums = loss(params, micro, rng)
    return loss_sum, {"weight": weight, "loss": loss_sum, **sums}

  def add(carry, x):
    index, micro = x
    rng = jax.random.fold_in(key, index)
    grads, sums = jax.grad(total, has_aux=True)(params, micro, rng)
    return jax.tree.map(jnp.add, carry, (grads, sums)), None

  count = jax.tree.leaves(batch)[0].shape[0]
  first = jax.tree.map(lambda x: x[0], batch)
  shapes = jax.eval_shape(jax.grad(total, has_aux=True), params, first, key)
  zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
  (grads, sums), _ = jax.lax.scan(add, zeros, (jnp.arange(count), batch))
  return grads, sums


def _group_norms(grads: Any) -> dict[str, Array]:
  """Norm of the gradient of each module, such as encoder/layers/qkv."""
  squares = {}
  for path, gradient in jax.tree_util.tree_leaves_with_path(grads):
    name = jax.tree_util.keystr(path[:-1] or path, simple=True, separator="/")
    square = (gradient.astype(jnp.float32) ** 2).sum()
    squares[name] = squares.get(name, 0) + square
  return {name: jnp.sqrt(square) for name, square in squares.items()}
