# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The one train step: every objective, on every mesh, goes through here."""

from typing import Any, Callable

from flax import struct
import jax
from jax import Array
import jax.numpy as jnp
import optax

from nomic_jax.losses import Loss

Batch = dict[str, Array]
Metrics = dict[str, Array]


class TrainState(struct.PyTreeNode):
  """All that changes while training, and the key that never does."""

  step: Array  # int32 [], updates done
  params: Any
  opt_state: Any
  key: Array  # uint32 key data; the step's randomness is fold_in(key, step)


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
  )


def params_key(seed: int) -> Array:
  """The key of the first parameters; apart from every step's."""
  return jax.random.fold_in(jax.random.key(seed), 2**32 - 1)


def make_train_step(
    loss: Loss, tx: optax.GradientTransformation
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
  """Returns step(state, batch) -> (state, metrics), pure.

  Every array of a batch is [A, ...]: A micro-batches, whose sums of loss,
  weight and gradient are added before the one division. So accumulation is
  exact however unequal their weights are.
  """

  def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
    key = jax.random.fold_in(
        jax.random.wrap_key_data(state.key), state.step
    )

    def total(params, micro, rng):
      loss_sum, weight, sums = loss(params, micro, rng)
      return loss_sum, {"weight": weight, "loss": loss_sum, **sums}

    def add(carry, x):
      index, micro = x
      rng = jax.random.fold_in(key, index)
      grads, sums = jax.grad(total, has_aux=True)(state.params, micro, rng)
      return jax.tree.map(jnp.add, carry, (grads, sums)), None

    count = jax.tree.leaves(batch)[0].shape[0]
    first = jax.tree.map(lambda x: x[0], batch)
    shapes = jax.eval_shape(
        jax.grad(total, has_aux=True), state.params, first, key
    )
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    (grads, sums), _ = jax.lax.scan(add, zeros, (jnp.arange(count), batch))

    weight = sums.pop("weight")
    weight = jnp.where(weight > 0, weight, 1.0)  # nothing to learn: no update
    grads = jax.tree.map(lambda g: g / weight, grads)
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    metrics = jax.tree.map(lambda x: x / weight, sums)
    metrics["gradient_norm"] = optax.global_norm(grads)
    return state.replace(
        step=state.step + 1,
        params=optax.apply_updates(state.params, updates),
        opt_state=opt_state,
    ), metrics

  return step
