# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The mesh, and where every array lies on it, from rules that are data."""

import functools
import math
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
ROW_AXES = ("data", "fsdp")  # a batch's rows lie over these

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
  return NamedSharding(mesh, PartitionSpec(None, ROW_AXES))


def in_mesh(f: Callable, mesh: Mesh) -> Callable:
  """f, traced where `jax.sharding.get_abstract_mesh` gives this mesh."""

  @functools.wraps(f)
  def wrapped(*args: Any) -> Any:
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
      return f(*args)

  return wrapped


def by_rows(f: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
  """f(params, rows) -> rows, each device doing its own rows.

  Left to the partitioner, the parameters' gradient is added up over the
  devices in every turn of every loop within f; so once, after f. Each row's
  result must depend on that row alone. Without a mesh it is f.
  """

  def run(params: Any, rows: Any) -> Any:
    if not _rows_are_spread():
      return f(params, rows)
    return _shard_map(f, (PartitionSpec(), PartitionSpec(ROW_AXES)),
                      PartitionSpec(ROW_AXES))(params, rows)

  return run


def summed_by_rows(f: Callable[..., Any]) -> Callable[..., Any]:
  """f(params, batch, key) -> sums over rows, added up over devices once.

  Each device does its own rows of every micro-batch: all that f returns must
  be a sum over rows. Without a mesh it is f.
  """

  def run(params: Any, batch: Any, key: jax.Array) -> Any:
    if not _rows_are_spread():
      return f(params, batch, key)
    own = lambda *args: jax.lax.psum(f(*args), ROW_AXES)
    rows = PartitionSpec(None, ROW_AXES)
    return _shard_map(own, (PartitionSpec(), rows, PartitionSpec()),
                      PartitionSpec())(params, batch, key)

  return run


def on_own_rows() -> bool:
  """Whether what is traced is what one device does with its own rows."""
  return "data" in jax.sharding.get_abstract_mesh().manual_axes


def _rows_are_spread() -> bool:
  mesh = jax.sharding.get_abstract_mesh()
  return not mesh.empty and not on_own_rows() and math.prod(
      mesh.shape[axis] for axis in ROW_AXES) > 1


def _shard_map(f: Callable[..., Any], taken: Any, given: Any) -> Callable:
  # What lies over `tensor` stays with the partitioner.
  return jax.shard_map(
      f, in_specs=taken, out_specs=given, axis_names={*ROW_AXES},
      check_vma=False,
  )


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
