# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""AdamW and StableAdamW from a config, with settings by parameters' paths.

Such settings are given as ((regex, value), ...). The first pattern that matches
a whole path, such as encoder/layers/qkv/kernel, decides. Every path must be
matched, and every pattern must match some path.
"""

from collections.abc import Callable
from collections.abc import Sequence
import re
from typing import Any
from typing import cast

from flax.linen import meta
import jax
import jax.numpy as jnp
from jaxtyping import PyTree
import ml_collections
import optax

from nomic_jax.errors import one_of
from nomic_jax.errors import UserError
from nomic_jax.run import average
from nomic_jax.run import schedules

Rules = Sequence[tuple[str, Any]]

OPTIMIZERS = ("adamw", "stable_adamw")
# Names of runs of layers in the parameters' tree: see `architecture.Run`.
_STACK = re.compile(r"layers(_\d+)?")

# Matrices and tables, but not biases, norms or scales. contrastors decides by
# rank; here the name decides, since stacked layers give every vector a second
# axis.
DECAY_RULE = ((r"(.*/)?(kernel|embedding)", 1.0), (".*", 0.0))


def make(
  config: ml_collections.ConfigDict,
  total_steps: int,
  per_step: dict[str, int] | None = None,
) -> tuple[optax.GradientTransformation, optax.Schedule]:
  """Returns AdamW with clipping by global norm (Loshchilov & Hutter 2019).

  Args:
    config: config.optimizer:
      name: adamw, or stable_adamw (see `stable`).
      learning_rate, b1, b2, eps, weight_decay: as in AdamW.
      clip_norm: the largest global norm; 0: no clipping.
      gradient_scale: optional; clips and updates as if the gradient were
        multiplied by it, which divides clip_norm and eps.
      schedule: a name, or a list of (regex, name).
      warmup, cooldown: see `schedules`.
      lr_multipliers, decay_multipliers: lists of (regex, number) for
        learning_rate and weight_decay. A parameter whose learning rate is
        multiplied by 0 is frozen (see `trainable`): it has no moments, does not
        decay and, as in PyTorch, does not count in the norm used for clipping.
      average: see `average`; 0 or absent: none.
    total_steps: total number of training steps.
    per_step: see `schedules.steps_of`.

  Returns:
    The transformation, whose `init` raises UserError for patterns that do not
    fit the parameters; and the schedule of the last pattern, for logging.
  """
  if config.clip_norm < 0:
    raise UserError(
      f"config.optimizer.clip_norm: {config.clip_norm} would reverse the "
      "gradient; expected a number above 0, or 0 for no clipping"
    )
  scale_of_all = config.get("gradient_scale", 1.0)
  if scale_of_all <= 0:
    raise UserError(
      f"config.optimizer.gradient_scale: {scale_of_all} is not above 0; "
      "expected a number above 0, where 1 leaves the gradient as it is"
    )
  for field in ("learning_rate", "schedule", "warmup"):
    if field not in config:
      raise UserError(
        f"config.optimizer.{field}: the config file does not set it; set it "
        "there, as configs/contrastive.py does"
      )
  name = config.get("name", "adamw")
  one_of(name, OPTIMIZERS, f"config.optimizer.name: '{name}' is unknown")
  names = config.schedule
  if isinstance(names, str):
    names = ((".*", names),)
  rates = {
    name: schedules.make(name, config, total_steps, per_step)
    for name in dict.fromkeys(name for _, name in names)
  }

  def multipliers(params) -> tuple:
    return tuple(
      match(field, rules, params)
      for field, rules in (
        ("lr_multipliers", config.lr_multipliers),
        ("decay_multipliers", config.decay_multipliers),
        ("schedule", names),
      )
    )

  def init(params) -> optax.ScaleByScheduleState:
    multipliers(params)  # raises for patterns that do not fit
    return optax.ScaleByScheduleState(jnp.zeros((), jnp.int32))

  def update(updates: PyTree, state: Any, params: PyTree = None):
    now = {
      name: cast("float | jax.Array", rate(state.count))
      for name, rate in rates.items()
    }

    def scale(u, p, factor, decay, name):
      if not factor:
        return jnp.zeros_like(p)
      if decay:
        u += config.weight_decay * decay * p
      return -now[name] * factor * u

    updates = jax.tree.map(scale, updates, params, *multipliers(params))
    return updates, optax.ScaleByScheduleState(state.count + 1)

  eps = config.eps / scale_of_all
  adam = optax.scale_by_adam(config.b1, config.b2, eps)
  if frozen_by(config.lr_multipliers):
    adam = optax.masked(adam, lambda p: trainable(config.lr_multipliers, p))
  clip = config.clip_norm / scale_of_all
  decay = config.get("average", 0.0)
  parts = (adam, optax.GradientTransformation(init, update))
  if name == "stable_adamw":
    parts = (stable(optax.chain(*parts), config.b2, eps),)
  return optax.chain(
    optax.clip_by_global_norm(clip) if clip else optax.identity(),
    *parts,
    *([average.averaged(decay)] if decay else []),
  ), rates[names[-1][1]]


def stable(
  adamw: optax.GradientTransformation, b2: float, eps: float
) -> optax.GradientTransformation:
  """Returns StableAdamW (Wortsman et al. 2023, algorithm 2).

  The update of each tensor, including its weight decay, is divided by the root
  mean square of g / sqrt(v) if that is above 1, that is if the gradient g is
  larger than its second moment v predicts. Layers are stacked here, and the
  part of each layer counts as a tensor.

  Args:
    adamw: a chain that begins with `optax.scale_by_adam`, perhaps masked.
    b2: that of `adamw`.
    eps: that of `adamw`; a lower bound of sqrt(v).
  """

  def update(updates: PyTree, state: optax.OptState, params: PyTree = None):
    gradients = updates
    updates, state = adamw.update(gradients, state, params)
    adam = cast(tuple, state)[0]
    if isinstance(adam, optax.MaskedState):
      adam = adam.inner_state
    correction = 1 - b2**adam.count  # of the bias of v

    def clipped(path, u, g, v):
      if isinstance(v, optax.MaskedNode):
        return u
      ratio = jnp.square(g) / jnp.maximum(v / correction, eps**2)
      stacked = any(_STACK.fullmatch(str(key.key)) for key in path)
      axes = tuple(range(int(stacked), g.ndim))
      rms = jnp.sqrt(ratio.mean(axes, keepdims=True))
      return u / jnp.maximum(rms, 1.0)

    return jax.tree_util.tree_map_with_path(
      clipped, updates, gradients, adam.nu
    ), state

  return optax.GradientTransformation(adamw.init, update)


def frozen_by(rules: Rules) -> bool:
  """Returns whether these lr_multipliers freeze any parameter."""
  pairs = _compiled("config.optimizer.lr_multipliers", rules)
  return any(value == 0 for _, value in pairs)


def trainable(rules: Rules, params: PyTree) -> PyTree:
  """Returns a tree of bools: whether each parameter is trained.

  This is the `trainable` of `step.make_train_step`; parameters are as in
  `match`.
  """
  return jax.tree.map(bool, match("lr_multipliers", rules, params))


def match(field: str, rules: Rules, params: PyTree) -> PyTree:
  """Returns a tree of the values of the first matching patterns.

  Args:
    field: the field of config.optimizer, for error messages.
    rules: (regex, value) in order.
    params: arrays, or arrays boxed with the names of their axes; a box counts
      as one leaf. `optax.MaskedNode()`, which replaces a parameter, is
      matched as the parameter and returned as it is.

  Raises:
    UserError: for a parameter without a match, a pattern that matches nothing,
      or rules that are not a list of such pairs.
  """
  where = f"config.optimizer.{field}"
  patterns = _compiled(where, rules)
  used = set()

  def value(path, leaf):
    path = jax.tree_util.keystr(path, simple=True, separator="/")
    hits = [i for i, (p, _) in enumerate(patterns) if p.fullmatch(path)]
    if not hits:
      raise UserError(
        f"{where}: no pattern matches the parameter '{path}'; end the list "
        "with ('.*', VALUE) for all others"
      )
    used.update(hits)
    masked = isinstance(leaf, optax.MaskedNode)
    return leaf if masked else patterns[hits[0]][1]

  tree = jax.tree_util.tree_map_with_path(value, params, is_leaf=_is_parameter)
  for i, (pattern, _) in enumerate(patterns):
    if i not in used:
      raise UserError(
        f"{where}: the pattern '{pattern.pattern}' matches no parameter; it "
        "must match a whole path, such as "
        f"'{next(iter(paths(params)), '')}'"
      )
  return tree


def paths(params: PyTree) -> list[str]:
  """Returns the paths of all parameters, such as encoder/word/embedding."""
  return [
    jax.tree_util.keystr(path, simple=True, separator="/")
    for path, _ in jax.tree_util.tree_leaves_with_path(
      params, is_leaf=_is_parameter
    )
  ]


def _is_parameter(node: object) -> bool:
  return isinstance(node, (meta.AxisMetadata, optax.MaskedNode))


def _compiled(where: str, rules: Rules) -> list[tuple[re.Pattern, Any]]:
  kind: Callable[[Any], bool] = lambda v: isinstance(v, str)
  expected = "a schedule's name"
  if not where.endswith("schedule"):
    kind = lambda v: type(v) in (int, float) and v >= 0
    expected = "a number, 0 or more"
  try:
    pairs = [(re.compile(pattern), value) for pattern, value in rules]
  except (TypeError, ValueError, re.error) as e:
    raise UserError(
      f"{where}: {rules!r} is not a list of (regex, value): {e}"
    ) from e
  for pattern, value in pairs:
    if not kind(value):
      raise UserError(
        f"{where}: {value!r} for '{pattern.pattern}'; expected {expected}"
      )
  return pairs
