# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The optimiser and its learning-rate schedule, from config."""

import jax
import jax.numpy as jnp
import ml_collections
import optax

from nomic_jax.errors import nearest
from nomic_jax.errors import UserError

SCHEDULES = ("linear", "cosine", "inverse_sqrt", "constant")


def make(
    config: ml_collections.ConfigDict, total_steps: int
) -> tuple[optax.GradientTransformation, optax.Schedule]:
  """AdamW after a global-norm clip, with warmup and a decaying rate.

  Args:
    config: learning_rate, schedule (one of SCHEDULES), warmup_steps, b1, b2,
      eps, weight_decay, clip_norm (0: none).
    total_steps: where linear and cosine reach zero.

  Returns:
    The transformation, and the schedule alone for logging.
  """
  rate = make_schedule(config, total_steps)
  clip = config.clip_norm
  if clip < 0:
    raise UserError(
        f"config.optimizer.clip_norm: {clip} would turn the gradient around; "
        "expected a number above 0, or 0 for no clipping"
    )
  return optax.chain(
      optax.clip_by_global_norm(clip) if clip else optax.identity(),
      optax.scale_by_adam(config.b1, config.b2, config.eps),
      optax.add_decayed_weights(config.weight_decay, mask=decayed),
      optax.scale_by_learning_rate(rate),
  ), rate


def make_schedule(
    config: ml_collections.ConfigDict, total_steps: int
) -> optax.Schedule:
  """Linear warmup to `learning_rate`, then `schedule`; steps of updates.

  inverse_sqrt is peak · sqrt(warmup / step), the paper's choice for
  contrastive pre-training (section 4.2).

  Raises:
    UserError: for an unknown schedule, or a warmup as long as the training.
  """
  peak, warmup = config.learning_rate, config.warmup_steps
  if config.schedule not in SCHEDULES:
    raise UserError(
        f"config.optimizer.schedule: no schedule '{config.schedule}'; "
        f"expected one of {', '.join(SCHEDULES)}."
        f"{nearest(config.schedule, SCHEDULES)}"
    )
  if not 0 <= warmup < total_steps:
    raise UserError(
        f"config.optimizer.warmup_steps: {warmup} does not fit a training of "
        f"{total_steps} steps; expected 0 to {total_steps - 1}"
    )
  decay_steps = total_steps - warmup
  after = {
      "linear": lambda: optax.linear_schedule(peak, 0.0, decay_steps),
      "cosine": lambda: optax.cosine_decay_schedule(peak, decay_steps),
      "constant": lambda: optax.constant_schedule(peak),
      "inverse_sqrt": lambda: _inverse_sqrt(peak, max(warmup, 1)),
  }[config.schedule]()
  if not warmup:
    return after
  rise = optax.linear_schedule(0.0, peak, warmup)
  return optax.join_schedules([rise, after], [warmup])


def _inverse_sqrt(peak: float, warmup: int) -> optax.Schedule:
  # The joined schedule is also asked about steps before its own first.
  return lambda step: peak * (
      warmup / (warmup + jnp.maximum(step, 0))) ** 0.5


def decayed(params) -> dict:
  """Which parameters decay: matrices and tables; no bias, norm or scale.

  The reference decides by rank; here by name, since stacked layers give
  every vector a second axis.
  """
  names = ("kernel", "embedding")
  return jax.tree_util.tree_map_with_path(
      lambda path, _: any(getattr(k, "key", None) in names for k in path),
      params,
  )
