# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Learning rate schedules, by number of updates."""

from collections.abc import Callable
import re

from jax import Array
import jax.numpy as jnp
import ml_collections
import optax

from nomic_jax.errors import one_of
from nomic_jax.errors import UserError

SCHEDULES = ("linear", "cosine", "inverse_sqrt", "constant", "wsd", "wsd_sqrt")
_UNITS = ("steps", "%", "examples", "tokens")


def make(
  name: str,
  config: ml_collections.ConfigDict,
  total_steps: int,
  per_step: dict[str, int] | None = None,
) -> optax.Schedule:
  """Returns a linear warmup to `learning_rate` followed by a schedule.

  - linear, cosine: to zero at the last step;
  - inverse_sqrt: peak · sqrt(warmup / step), the paper's choice for contrastive
    pre-training (section 4.2);
  - constant: stays at the peak;
  - wsd, warmup–stable–decay (Hu et al. 2024, section 4): stays at the peak and
    decays linearly to zero over the last `cooldown`;
  - wsd_sqrt: the same, but decays as 1 - sqrt(share of the cooldown) (Hägele et
    al. 2024, section 4; ModernBERT).

  Args:
    name: one of SCHEDULES.
    config: learning_rate; warmup and, for wsd and wsd_sqrt, cooldown, see
      `steps_of`.
    total_steps: total number of training steps.
    per_step: see `steps_of`.

  Raises:
    UserError: for an unknown name, or a warmup as long as the training run.
  """
  peak = config.learning_rate
  one_of(name, SCHEDULES, f"config.optimizer.schedule: no schedule '{name}'")
  warmup = steps_of("warmup", config.warmup, total_steps, per_step)
  if not 0 <= warmup < total_steps:
    raise UserError(
      f"config.optimizer.warmup: '{config.warmup}' is {warmup} steps, which "
      f"do not fit a run of {total_steps}; expected 0 to "
      f"{total_steps - 1}"
    )
  left = total_steps - warmup

  def wsd(fall: Callable[[Array], Array]) -> optax.Schedule:
    cooldown = steps_of("cooldown", config.cooldown, total_steps, per_step)
    if not 0 < cooldown <= left:
      raise UserError(
        f"config.optimizer.cooldown: '{config.cooldown}' is {cooldown} "
        f"steps; expected 1 to {left}, the number of steps after the warmup"
      )
    begin = left - cooldown
    return lambda step: (
      peak * (1 - fall(jnp.clip((step - begin) / cooldown, 0.0, 1.0)))
    )

  after = {
    "linear": lambda: optax.linear_schedule(peak, 0.0, left),
    "cosine": lambda: optax.cosine_decay_schedule(peak, left),
    "constant": lambda: optax.constant_schedule(peak),
    "inverse_sqrt": lambda: _inverse_sqrt(peak, max(warmup, 1)),
    "wsd": lambda: wsd(lambda share: share),
    "wsd_sqrt": lambda: wsd(jnp.sqrt),
  }[name]()
  if not warmup:
    return after
  rise = optax.linear_schedule(0.0, peak, warmup)
  return optax.join_schedules([rise, after], [warmup])


def steps_of(
  field: str,
  amount: str,
  total_steps: int,
  per_step: dict[str, int] | None = None,
) -> int:
  """Converts a length of training to steps: "700 steps", "6%", "1e6 examples".

  Args:
    field: the field of config.optimizer, for error messages.
    amount: a number and a unit: steps (the default), % (of the training run),
      examples or tokens. Rounded to whole steps.
    total_steps: total number of training steps.
    per_step: the numbers of examples and tokens per step, where fixed.

  Raises:
    UserError: for another unit, or one that is not fixed in this training run.
  """
  match = re.fullmatch(r"\s*([\d.eE+-]+)\s*([a-z]+|%)?\s*", str(amount))
  number, unit = match.groups("steps") if match else ("", "")
  try:
    number = float(number)
  except ValueError:
    raise UserError(
      f"config.optimizer.{field}: '{amount}' is not a length of training; "
      "expected for example '700 steps', '6%', '1e6 examples' or '2e9 tokens'"
    ) from None
  unit = unit if unit == "%" else unit.removesuffix("s") + "s"
  if unit == "%":
    return round(number / 100 * total_steps)
  if unit == "steps":
    return round(number)
  one_of(
    unit, _UNITS, f"config.optimizer.{field}: '{amount}' has an unknown unit"
  )
  if per_step is None or unit not in per_step:
    raise UserError(
      f"config.optimizer.{field}: '{amount}', but the number of {unit} per "
      "step is not fixed for this data; specify steps, % or examples"
    )
  return round(number / per_step[unit])


def _inverse_sqrt(peak: float, warmup: int) -> optax.Schedule:
  # The joined schedule also evaluates this before its first step.
  return lambda step: peak * (warmup / (warmup + jnp.maximum(step, 0))) ** 0.5
