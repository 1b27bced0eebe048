# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""An exponential moving average of the parameters: `config.optimizer.average`.

If enabled, the average is evaluated, exported and used to embed, while the
optimizer continues from the parameters themselves. It is part of the optimizer
state, so that it is sharded, saved and resumed like the moments; if disabled,
nothing is computed or stored.

The decay of update t is at most (1 + t) / (10 + t), as in TensorFlow's moving
averages, so that the average soon forgets the initial parameters.
"""

from collections.abc import Mapping
from typing import Any
from typing import NamedTuple

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import PyTree
import optax

from nomic_jax.errors import UserError


class AverageState(NamedTuple):
  """The state of `averaged`: number of updates, and average with masks."""

  updates: Array
  average: PyTree


def averaged(decay: float) -> optax.GradientTransformation:
  """Averages the parameters after each update; must be last in a chain.

  Args:
    decay: share of the average that remains after an update.

  Raises:
    UserError: unless it is at least 0 and less than 1.
  """
  if not 0 <= decay < 1:
    raise UserError(
      f"config.optimizer.average: {decay} is not a valid decay; expected a "
      "number from 0 to below 1, such as 0.999, or 0 for no average"
    )

  def init(params: PyTree) -> AverageState:
    return AverageState(jnp.int32(0), jax.tree.map(jnp.copy, params))

  def update(
    updates: PyTree, state: Any, params: PyTree = None
  ) -> tuple[PyTree, AverageState]:
    t = state.updates.astype(jnp.float32)
    kept = jnp.minimum(decay, (1 + t) / (10 + t))
    average = jax.tree.map(
      lambda a, p, u: kept * a + (1 - kept) * (p + u),
      state.average,
      params,
      updates,
    )
    return updates, AverageState(state.updates + 1, average)

  return optax.GradientTransformation(init, update)


def served(params: PyTree, opt_state: PyTree) -> PyTree:
  """Returns the parameters to evaluate: the average, if one is kept.

  Args:
    params: the parameters being trained.
    opt_state: its optimizer's.
  """
  for state in _states(opt_state):
    return jax.tree.map(
      lambda a, p: p if isinstance(a, optax.MaskedNode) else a,
      state.average,
      params,
      is_leaf=_is_masked,
    )
  return params


def restarted(opt_state: PyTree, params: PyTree) -> PyTree:
  """Returns the optimizer's state with an average that starts from `params`."""

  def restart(state: PyTree) -> PyTree:
    if not isinstance(state, AverageState):
      return state
    average = jax.tree.map(
      # A copy, since a step donates both.
      lambda a, p: a if _is_masked(a) else jnp.copy(p),
      state.average,
      params,
      is_leaf=_is_masked,
    )
    return state._replace(average=average)

  return jax.tree.map(restart, opt_state, is_leaf=_is_state)


def saved(opt_state: PyTree) -> PyTree:
  """Returns the average in a checkpoint, None where frozen; None if absent."""
  if isinstance(opt_state, Mapping):
    if "average" in opt_state:
      return opt_state["average"]
    opt_state = opt_state.values()
  elif not isinstance(opt_state, (list, tuple)):
    return None
  found = (saved(value) for value in opt_state)
  return next((tree for tree in found if tree is not None), None)


def _states(opt_state: PyTree) -> list[AverageState]:
  leaves = jax.tree.leaves(opt_state, is_leaf=_is_state)
  return [leaf for leaf in leaves if _is_state(leaf)]


def _is_state(x: object) -> bool:
  return isinstance(x, AverageState)


def _is_masked(x: object) -> bool:
  return isinstance(x, optax.MaskedNode)
