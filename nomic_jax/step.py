# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The train step, shared by every objective on every mesh."""

from collections.abc import Callable
import functools

from flax import struct
from flax.linen import meta
import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import PyTree
import optax

from nomic_jax.losses.loss import Batch
from nomic_jax.losses.loss import Loss
from nomic_jax.mesh import own_rows

Metrics = dict[str, Array]


class TrainState(struct.PyTreeNode):
  """Everything that changes during training, and the constant key."""

  step: Array  # int32 [], batches seen
  params: PyTree  # trainable and frozen
  opt_state: PyTree  # of the trainable parameters
  key: Array  # uint32 key data; the step's randomness is fold_in(key, step)
  skipped: Array  # int32 [], number of steps skipped as not finite


def _all(params: PyTree) -> bool:
  return True


def init_state(
  loss: Loss,
  tx: optax.GradientTransformation,
  seed: int,
  trainable: Callable[[PyTree], PyTree] = _all,
) -> TrainState:
  """Returns a fresh state, with parameters boxed with logical axis names.

  The boxes are those of `flax.linen.meta`. The arguments are those of
  `make_train_step`.
  """
  params = loss.init(params_key(seed))
  trained, _ = split(params, trainable(params))
  return TrainState(
    step=jnp.int32(0),
    params=params,
    opt_state=tx.init(trained),
    key=jax.random.key_data(jax.random.key(seed)),
    skipped=jnp.int32(0),
  )


def params_key(seed: int) -> Array:
  """Returns the key of the initial parameters, distinct from every step's."""
  return jax.random.fold_in(jax.random.key(seed), 2**32 - 1)


def make_train_step(
  loss: Loss,
  tx: optax.GradientTransformation,
  box: Callable[[PyTree], PyTree] = lambda params: params,
  trainable: Callable[[PyTree], PyTree] = _all,
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
  """Returns step(state, batch) -> (state, metrics), a pure function.

  Every array of a batch is [A, ...] for A micro-batches, whose sums of loss,
  weight and gradient are added before a single division. Therefore
  accumulation is exact however unequal their weights are.

  If the total weight of a batch is zero, neither the parameters nor the
  optimizer state (including its update count) change; the metric `empty` is
  then 1, otherwise 0.

  A loss or gradient that is not finite changes neither the parameters nor the
  optimizer; the step is counted in the metric `skipped`, and the caller decides
  whether to stop. The metric `group_norms` (the gradient norm of each module)
  shows which modules are affected.

  Only the trainable parameters are differentiated and passed to `tx`. Frozen
  parameters have no gradient and no optimizer state, and do not count in any
  norm.

  Args:
    loss: the loss to minimize.
    tx: the optimizer, whose trees have `optax.MaskedNode()` in place of each
      frozen parameter.
    box: transforms the parameters before they are passed to the loss, by
      default the identity; see `own_rows.sharded`.
    trainable: maps the parameters to a tree of bools, in which a leaf may stand
      for a whole subtree; by default, all are trainable.
  """
  accumulate = functools.partial(_accumulate, loss)
  if loss.by_row:
    accumulate = own_rows.summed_by_rows(accumulate)

  def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)

    mask = trainable(state.params)
    old, frozen = split(state.params, mask)
    grads, sums = accumulate(*split(box(state.params), mask), batch, key)
    grads = own_rows.stored(grads)
    weight = sums.pop("weight")
    divisor = jnp.where(weight > 0, weight, 1.0)
    grads = jax.tree.map(lambda g: g / divisor, grads)
    metrics = jax.tree.map(lambda x: x / divisor, sums)
    groups = _group_norms(grads)
    norm = jnp.sqrt(sum(n**2 for n in groups.values()))
    finite = jnp.isfinite(metrics["loss"]) & jnp.isfinite(norm)
    updates, opt_state = tx.update(grads, state.opt_state, old)
    made = finite & (weight > 0)
    new, opt_state = jax.tree.map(
      lambda new, old: jnp.where(made, new, old),
      (optax.apply_updates(old, updates), opt_state),
      (old, state.opt_state),
    )
    skipped = state.skipped + jnp.where(finite, 0, 1)
    metrics |= {
      "gradient_norm": norm,
      "group_norms": groups,
      "skipped": skipped,
      "empty": jnp.where(weight > 0, 0, 1),
    }
    return state.replace(
      step=state.step + 1,
      params=merge(new, frozen),
      opt_state=opt_state,
      skipped=skipped,
    ), metrics

  return step


def split(params: PyTree, mask: PyTree) -> tuple[PyTree, PyTree]:
  """Returns the tree of trainable and the tree of frozen parameters.

  In each tree, `optax.MaskedNode()`, which has no leaves, stands in for the
  parameters that are in the other tree.
  """
  pick = lambda wanted: jax.tree.map(
    lambda m, p: p if m == wanted else optax.MaskedNode(), mask, params
  )
  return pick(True), pick(False)


def merge(trained: PyTree, frozen: PyTree) -> PyTree:
  """Returns the parameters that `split` separated."""
  return jax.tree.map(
    lambda f, t: t if isinstance(f, optax.MaskedNode) else f,
    frozen,
    trained,
    is_leaf=lambda x: isinstance(x, (optax.MaskedNode, meta.AxisMetadata)),
  )


def make_measure(loss: Loss) -> Callable[[PyTree, Batch], Metrics]:
  """Returns measure(params, batch) -> sums, including "loss" and "weight".

  No gradient is computed. `loss` should use an encoder without dropout.
  """

  def sums_of(params: PyTree, _: None, batch: Batch, key: Array) -> Metrics:
    def one(micro):
      total, weight, sums = loss(params, micro, key)
      return {"loss": total, "weight": weight, **sums}

    return jax.tree.map(lambda x: x.sum(0), jax.lax.map(one, batch))

  if loss.by_row:
    sums_of = own_rows.summed_by_rows(sums_of, gradient=False)
  return lambda params, batch: sums_of(params, None, batch, jax.random.key(0))


def _accumulate(
  loss: Loss, params: PyTree, frozen: PyTree, batch: Batch, key: Array
) -> tuple[PyTree, Metrics]:
  """Returns the gradient and the sums of loss, weight and metrics."""

  def total(params, micro, rng):
    loss_sum, weight, sums = loss(merge(params, frozen), micro, rng)
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


def _group_norms(grads: PyTree) -> dict[str, Array]:
  """Returns the gradient norm of each module, such as encoder/layers/qkv."""
  squares = {}
  for path, gradient in jax.tree_util.tree_leaves_with_path(grads):
    name = jax.tree_util.keystr(path[:-1] or path, simple=True, separator="/")
    square = (gradient.astype(jnp.float32) ** 2).sum()
    squares[name] = squares.get(name, 0) + square
  return {name: jnp.sqrt(square) for name, square in squares.items()}
