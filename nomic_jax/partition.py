# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The mesh, and where every array lies on it, from rules that are data."""

import functools
from typing import Any, Callable, Sequence

from flax import linen as nn
import jax
from jax.sharding import Mesh
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec
import ml_collections
import numpy as np

from nomic_jax.errors import nearest
from nomic_jax.errors import UserError

AXES = ("data", "fsdp", "tensor")

# Logical axis of a parameter -> mesh axis. What is not named is replicated.
RULES = {
    "replicated": (),
    "fsdp": (
        ("embed", "fsdp"),
        ("mlp", "tensor"),
        ("heads", "tensor"),
        ("vocab", "tensor"),
    ),
}


def make_mesh(
    config: ml_collections.ConfigDict, devices: Sequence[jax.Device]
) -> Mesh:
  """A mesh of all devices with the axes of AXES.

  Args:
    config: `data`, `fsdp` and `tensor` sizes; one may be -1 for the rest.
    devices: what to lay out.

  Raises:
    UserError: if the sizes do not multiply to the number of devices.
  """
  sizes = [config[a] for a in AXES]
  known = int(np.prod([s for s in sizes if s != -1]))
  if sizes.count(-1) == 1 and known > 0 and len(devices) % known == 0:
    sizes[sizes.index(-1)] = len(devices) // known
  if int(np.prod(sizes)) != len(devices) or min(sizes) < 1:
    shown = ", ".join(f"{a}={config[a]}" for a in AXES)
    raise UserError(
        f"config.mesh ({shown}) does not fit {len(devices)} devices; the "
        "sizes must multiply to that number, and one of them may be -1"
    )
  return jax.make_mesh(
      tuple(sizes), AXES, devices=devices,
      axis_types=(jax.sharding.AxisType.Auto,) * len(AXES),
  )


def state_shardings(mesh: Mesh, rules: str, boxed: Any) -> Any:
  """Shardings of a state whose parameters are boxed (shapes suffice).

  An axis that its mesh axis does not divide is replicated.
  """
  if rules not in RULES:
    raise UserError(
        f"config.mesh.rules: no rules '{rules}'; expected one of "
        f"{', '.join(RULES)}.{nearest(rules, RULES)}"
    )
  table = dict(RULES[rules])

  def place(leaf) -> Any:
    if not isinstance(leaf, nn.LogicallyPartitioned):
      return NamedSharding(mesh, PartitionSpec())
    shape = leaf.unbox().shape
    axes = [table.get(name) for name in leaf.names]
    axes = [
        a if a and size % mesh.shape[a] == 0 else None
        for a, size in zip(axes, shape)
    ]
    return NamedSharding(mesh, PartitionSpec(*axes))

  return jax.tree.map(
      place, boxed, is_leaf=lambda x: isinstance(x, nn.LogicallyPartitioned)
  )


def batch_sharding(mesh: Mesh) -> NamedSharding:
  """Micro-batches, then rows: rows lie over all data-parallel devices."""
  return NamedSharding(mesh, PartitionSpec(None, ("data", "fsdp")))


def in_mesh(f: Callable, mesh: Mesh) -> Callable:
  """f, traced where `jax.sharding.get_abstract_mesh` gives this mesh."""

  @functools.wraps(f)
  def wrapped(*args: Any) -> Any:
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
      return f(*args)

  return wrapped


def unsharded_share(params: Any, shardings: Any) -> float:
  """Share of the parameters' elements that every device holds a copy of."""
  whole = total = 0
  for leaf, sharding in zip(
      jax.tree.leaves(params), jax.tree.leaves(shardings)
  ):
    size = int(np.prod(leaf.shape))
    total += size
    whole += size if sharding.is_fully_replicated else 0
  return whole / max(total, 1)
