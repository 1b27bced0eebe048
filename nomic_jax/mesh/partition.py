# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The mesh, and the shardings of all arrays, from rules that are data."""

from collections.abc import Callable
from collections.abc import Sequence
import functools
import math

from flax import linen as nn
import jax
from jax.experimental import mesh_utils
from jax.sharding import Mesh
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec
from jaxtyping import PyTree
import ml_collections
import numpy as np

from nomic_jax.errors import one_of
from nomic_jax.errors import UserError

AXES = ("data", "fsdp", "tensor")
ROW_AXES = ("data", "fsdp")  # the rows of a batch are sharded over these

Rules = tuple[tuple[str, str | tuple[str, ...]], ...]

_TENSOR: Rules = (("mlp", "tensor"), ("heads", "tensor"), ("vocab", "tensor"))

# Logical axis -> mesh axis or axes, for the parameters and their optimizer
# state. Axes that are not listed are replicated.
RULES: dict[str, dict[str, Rules]] = {
  "replicated": {"params": (), "optimizer": ()},
  # ZeRO-1 (Rajbhandari et al. 2020): every device has all parameters and
  # updates its part of them. Sharded over two mesh axes, since a v5e scatters
  # along one axis of its torus at a time: map data and fsdp to one each.
  "zero1": {"params": (), "optimizer": (("embed", ("data", "fsdp")),)},
  "fsdp": {
    "params": (("embed", "fsdp"), *_TENSOR),
    "optimizer": (("embed", "fsdp"), *_TENSOR),
  },
}


def make_mesh(
  config: ml_collections.ConfigDict, devices: Sequence[jax.Device]
) -> Mesh:
  """Returns a mesh of all devices with the axes of AXES.

  Slices, which are connected by the data centre's network, are arranged along
  `data`, so that only the sum of gradients is exchanged between them.

  Args:
    config: sizes of `data`, `fsdp` and `tensor`; one may be -1 for the rest.
    devices: all devices.

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
  types = (jax.sharding.AxisType.Auto,) * len(AXES)
  slices = len({getattr(d, "slice_index", 0) for d in devices})
  if slices == 1:
    return jax.make_mesh(tuple(sizes), AXES, devices=devices, axis_types=types)
  if sizes[0] % slices:
    raise UserError(
      f"config.mesh.data: {sizes[0]} does not divide evenly over "
      f"{slices} slices; make it a multiple of {slices}"
    )
  grid = mesh_utils.create_hybrid_device_mesh(
    (sizes[0] // slices, *sizes[1:]), (slices, 1, 1), devices
  )
  return Mesh(grid, AXES, axis_types=types)


def state_shardings(mesh: Mesh, rules: str, boxed: PyTree) -> PyTree:
  """Returns the shardings of a state with boxed parameters, or their shapes.

  An axis that its mesh axis does not divide is replicated.

  Args:
    mesh: the mesh of all devices.
    rules: a name in RULES.
    boxed: the state; the optimizer's rules apply under `opt_state`, the
      parameters' elsewhere.
  """
  one_of(rules, RULES, f"config.mesh.rules: no rules '{rules}'")

  def place(path, leaf) -> NamedSharding:
    of_optimizer = path[:1] == (jax.tree_util.GetAttrKey("opt_state"),)
    table = dict(RULES[rules]["optimizer" if of_optimizer else "params"])
    if not isinstance(leaf, nn.LogicallyPartitioned):
      return NamedSharding(mesh, PartitionSpec())
    shape = leaf.unbox().shape
    axes = [name and table.get(name) for name in leaf.names]
    axes = [
      a if a and size % _size(mesh, a) == 0 else None
      for a, size in zip(axes, shape)
    ]
    return NamedSharding(mesh, PartitionSpec(*axes))

  return jax.tree_util.tree_map_with_path(
    place, boxed, is_leaf=lambda x: isinstance(x, nn.LogicallyPartitioned)
  )


def _size(mesh: Mesh, axes: str | tuple[str, ...]) -> int:
  names = (axes,) if isinstance(axes, str) else axes
  return math.prod(mesh.shape[name] for name in names)


def shards_parameters(mesh: Mesh, rules: str) -> bool:
  """Returns whether parameters are sharded, and gathered where used."""
  return mesh.shape["fsdp"] > 1 and any(
    axis == "fsdp" for _, axis in RULES[rules]["params"]
  )


def batch_sharding(mesh: Mesh) -> NamedSharding:
  """Returns the sharding of [micro-batches, rows, ...]: by rows."""
  return NamedSharding(mesh, PartitionSpec(None, ROW_AXES))


def in_mesh(f: Callable, mesh: Mesh) -> Callable:
  """Returns f, traced with this mesh as `jax.sharding.get_abstract_mesh`."""

  @functools.wraps(f)
  def wrapped(*args: object) -> object:
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
      return f(*args)

  return wrapped


def unsharded_share(params: PyTree, shardings: PyTree) -> float:
  """Returns the share of the parameters' elements that are replicated."""
  whole = total = 0
  for leaf, sharding in zip(
    jax.tree.leaves(params), jax.tree.leaves(shardings)
  ):
    size = int(np.prod(leaf.shape))
    total += size
    whole += size if sharding.is_fully_replicated else 0
  return whole / max(total, 1)


def check_unsharded(limit: float, params: PyTree, shardings: PyTree) -> None:
  """Raises UserError if more than `limit` of the parameters are replicated."""
  share = unsharded_share(params, shardings)
  if share > limit:
    raise UserError(
      f"config.mesh.unsharded_limit: {share:.1%} of the parameters are "
      f"replicated on every device, more than {limit:.1%}; use more devices "
      "for config.mesh.fsdp or tensor, other config.mesh.rules, or raise the "
      "limit"
    )
