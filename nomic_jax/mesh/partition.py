# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The mesh, and where every array lies on it, from rules that are data."""

from collections.abc import Callable
from collections.abc import Sequence
import functools
import math
from typing import Any

from flax import linen as nn
from flax import struct
from flax.linen import meta
import jax
from jax import Array
from jax.ad_checkpoint import checkpoint_name
from jax.experimental import mesh_utils
from jax.sharding import Mesh
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec
import ml_collections
import numpy as np

from nomic_jax.errors import one_of
from nomic_jax.errors import UserError

AXES = ("data", "fsdp", "tensor")
ROW_AXES = ("data", "fsdp")  # a batch's rows lie over these

Rules = tuple[tuple[str, str | tuple[str, ...]], ...]

_TENSOR: Rules = (("mlp", "tensor"), ("heads", "tensor"), ("vocab", "tensor"))

# Logical axis -> mesh axis or axes, for the parameters and for what the
# optimiser keeps of each. What is not named is replicated.
RULES: dict[str, dict[str, Rules]] = {
  "replicated": {"params": (), "optimizer": ()},
  # ZeRO-1 (Rajbhandari et al. 2020): every device has all parameters and
  # updates its part of them. Over two mesh axes, since a v5e scatters along
  # one axis of its torus at a time: give data and fsdp one each.
  "zero1": {"params": (), "optimizer": (("embed", ("data", "fsdp")),)},
  "fsdp": {
    "params": (("embed", "fsdp"), *_TENSOR),
    "optimizer": (("embed", "fsdp"), *_TENSOR),
  },
}


def make_mesh(
  config: ml_collections.ConfigDict, devices: Sequence[jax.Device]
) -> Mesh:
  """A mesh of all devices with the axes of AXES.

  Slices, which the data centre's network joins, lie along `data`: only the
  sum of gradients crosses between them.

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
  types = (jax.sharding.AxisType.Auto,) * len(AXES)
  slices = len({getattr(d, "slice_index", 0) for d in devices})
  if slices == 1:
    return jax.make_mesh(tuple(sizes), AXES, devices=devices, axis_types=types)
  if sizes[0] % slices:
    raise UserError(
      f"config.mesh.data: {sizes[0]} does not divide over {slices} slices; "
      f"make it a multiple of {slices}"
    )
  grid = mesh_utils.create_hybrid_device_mesh(
    (sizes[0] // slices, *sizes[1:]), (slices, 1, 1), devices
  )
  return Mesh(grid, AXES, axis_types=types)


def state_shardings(mesh: Mesh, rules: str, boxed: Any) -> Any:
  """Shardings of a state whose parameters are boxed (shapes suffice).

  An axis that its mesh axis does not divide is replicated.

  Args:
    mesh: of all devices.
    rules: a name in RULES.
    boxed: the state; under `opt_state` the optimiser's rules hold, elsewhere
      the parameters'.
  """
  one_of(rules, RULES, f"config.mesh.rules: no rules '{rules}'")

  def place(path, leaf) -> Any:
    of_optimizer = path[:1] == (jax.tree_util.GetAttrKey("opt_state"),)
    table = dict(RULES[rules]["optimizer" if of_optimizer else "params"])
    if not isinstance(leaf, nn.LogicallyPartitioned):
      return NamedSharding(mesh, PartitionSpec())
    shape = leaf.unbox().shape
    axes = [table.get(name) for name in leaf.names]
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
  """Whether devices lack parameters, which are gathered as they are used."""
  return mesh.shape["fsdp"] > 1 and any(
    axis == "fsdp" for _, axis in RULES[rules]["params"]
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


class Shard(struct.PyTreeNode, meta.AxisMetadata):
  """A parameter that lies over `fsdp`, gathered only where it is used.

  Flax unboxes a parameter when a module asks for it. So what a layer of the
  stack asks for is gathered in the body of the scan, one layer at a time, and
  gathered again by a rematerialised backward pass, which also scatters the
  layer's gradient there. A loss that reads a parameter itself calls
  `flax.linen.meta.unbox`.

  Attributes:
    value: the array; in `by_rows` and `summed_by_rows` this device's part.
    axis: of the array that lies over `fsdp`, counted from the last one (-1),
      since a scan over layers removes leading ones.
    dtype: what it is rounded to before it is gathered, for less to send. The
      result, and its gradient on the way back, has the dtype of `value`.
  """

  value: Array
  axis: int = struct.field(pytree_node=False)
  dtype: str = struct.field(pytree_node=False)

  def unbox(self) -> Array:
    if not on_own_rows():
      return self.value  # of all devices, and the partitioner's to gather
    whole = _gather(self.value, self.value.ndim + self.axis, self.dtype)
    return checkpoint_name(whole, GATHERED)

  def replace_boxed(self, value: Any) -> "Shard":
    return self.replace(value=value)

  def add_axis(self, index: int, params: dict[Any, Any]) -> "Shard":
    return self

  def remove_axis(self, index: int, params: dict[Any, Any]) -> "Shard":
    return self

  @property
  def spec(self) -> PartitionSpec:
    return PartitionSpec(*[None] * (self.value.ndim + self.axis), "fsdp")


GATHERED = "gathered"  # for rematerialisation: see `Shard`


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _gather(part: Array, axis: int, dtype: str) -> Array:
  whole = jax.lax.all_gather(part.astype(dtype), "fsdp", axis=axis, tiled=True)
  return whole.astype(part.dtype)


def _scatter(axis: int, dtype: str, _: None, gradient: Array) -> tuple[Array]:
  del dtype
  # For a v5e:2x4, XLA turns a tiled scatter of a leading axis, and one of parts
  # along any other, into an all-reduce of twice the traffic.
  if not axis:
    size = jax.lax.axis_size("fsdp")
    gradient = gradient.reshape(size, -1, *gradient.shape[1:])
  return (
    jax.lax.psum_scatter(
      gradient, "fsdp", scatter_dimension=axis, tiled=bool(axis)
    ),
  )


_gather.defvjp(
  lambda part, axis, dtype: (_gather(part, axis, dtype), None), _scatter
)


def sharded(
  shardings: Any, rounded: Callable[[Any], str | None] = lambda path: None
) -> Callable[[Any], Any]:
  """Returns a function that puts parameters that lie over `fsdp` in `Shard`s.

  Args:
    shardings: tree of NamedShardings, as the parameters lie.
    rounded: from a parameter's path to the dtype it is used in, if that is
      another than its own.
  """

  def box(path: Any, value: Array, sharding: NamedSharding) -> Any:
    axes = [n for n, a in enumerate(sharding.spec) if a == "fsdp"]
    if not axes or sharding.mesh.shape["fsdp"] == 1:
      return value
    dtype = rounded(path) or value.dtype.name
    return Shard(value, axes[0] - value.ndim, dtype)

  return lambda params: jax.tree_util.tree_map_with_path(box, params, shardings)


def _is_shard(leaf: Any) -> bool:
  return isinstance(leaf, Shard)


def stored(tree: Any) -> Any:
  """The tree with the arrays in `Shard`s in their place, not gathered."""
  return jax.tree.map(
    lambda x: x.value if _is_shard(x) else x, tree, is_leaf=_is_shard
  )


def _specs(tree: Any) -> Any:
  return jax.tree.map(
    lambda x: x.spec if _is_shard(x) else PartitionSpec(),
    tree,
    is_leaf=_is_shard,
  )


def by_rows(f: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
  """f(params, rows) -> rows, each device doing its own rows.

  Left to the partitioner, the parameters' gradient is added up over the
  devices in every turn of every loop within f; so once, after f. That of a
  `Shard` is scattered where the parameter was gathered. Each row's result must
  depend on that row alone. Without a mesh it is f.
  """

  def run(params: Any, rows: Any) -> Any:
    if not _rows_are_spread():
      return f(params, rows)
    return _shard_map(
      f, (_specs(params), PartitionSpec(ROW_AXES)), PartitionSpec(ROW_AXES)
    )(params, rows)

  return run


def summed_by_rows(
  f: Callable[..., tuple[Any, Any]], gradient: bool = True
) -> Callable[..., tuple[Any, Any]]:
  """f(params, frozen, batch, key) -> sums over rows, added over devices once.

  Each device does its own rows of every micro-batch. f returns (a gradient,
  which is a tree like `params`, and any tree); all of both must be sums over
  rows. Without `gradient` it returns only the second. Without a mesh it is f.
  """

  def run(params: Any, frozen: Any, batch: Any, key: jax.Array) -> Any:
    if not _rows_are_spread():
      return f(params, frozen, batch, key)

    def own(*args: Any) -> Any:
      everything = f(*args)
      if not gradient:
        return jax.lax.psum(everything, ROW_AXES)
      grads, sums = everything
      add = lambda x: (  # a shard's was added up over fsdp as it was scattered
        x.replace(value=jax.lax.psum(x.value, "data"))
        if _is_shard(x)
        else jax.lax.psum(x, ROW_AXES)
      )
      return (
        jax.tree.map(add, grads, is_leaf=_is_shard),
        jax.lax.psum(sums, ROW_AXES),
      )

    rows, specs = PartitionSpec(None, ROW_AXES), _specs(params)
    given = (specs, PartitionSpec()) if gradient else PartitionSpec()
    taken = specs, _specs(frozen), rows, PartitionSpec()
    return _shard_map(own, taken, given)(params, frozen, batch, key)

  return run


def on_own_rows() -> bool:
  """Whether what is traced is what one device does with its own rows."""
  return "data" in jax.sharding.get_abstract_mesh().manual_axes


def _rows_are_spread() -> bool:
  mesh = jax.sharding.get_abstract_mesh()
  return (
    not mesh.empty
    and not on_own_rows()
    and math.prod(mesh.shape[axis] for axis in ROW_AXES) > 1
  )


def _shard_map(f: Callable[..., Any], taken: Any, given: Any) -> Callable:
  # What lies over `tensor` stays with the partitioner.
  return jax.shard_map(
    f, in_specs=taken, out_specs=given, axis_names={*ROW_AXES}, check_vma=False
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


def check_unsharded(limit: float, params: Any, shardings: Any) -> None:
  """Raises UserError if more than `limit` of the parameters lie whole."""
  share = unsharded_share(params, shardings)
  if share > limit:
    raise UserError(
      f"config.mesh.unsharded_limit: {share:.1%} of the parameters lie whole "
      f"on every device and {limit:.1%} may; give config.mesh.fsdp or tensor "
      "more devices, take other config.mesh.rules, or raise the limit"
    )
