# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Computations of each device on its own rows, with sharded parameters.

Each device computes its rows of a batch in a `shard_map`, and the results are
summed over the mesh once. A parameter that is sharded over `fsdp` is passed in
a `Shard` and gathered where it is used.
"""

from collections.abc import Callable
from collections.abc import Hashable
import functools
import math

from flax import struct
from flax.linen import meta
import jax
from jax import Array
from jax.ad_checkpoint import checkpoint_name
import jax.numpy as jnp
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec
from jax.tree_util import KeyPath
from jaxtyping import PyTree

from nomic_jax.mesh.partition import ROW_AXES


class Shard(struct.PyTreeNode, meta.AxisMetadata):
  """A parameter that is sharded over `fsdp` and gathered only where it is used.

  Flax unboxes a parameter when a module requests it. So the parameters of a
  layer are gathered in the body of the scan, one layer at a time, and gathered
  again by a rematerialized backward pass, which also scatters the layer's
  gradient there. A loss that reads a parameter itself calls
  `flax.linen.meta.unbox`.

  Attributes:
    value: the array; in `by_rows` and `summed_by_rows`, this device's part.
    axis: the axis that is sharded over `fsdp`, counted from the last one (-1),
      since a scan over layers removes leading ones.
    dtype: to which it is rounded before it is gathered, to reduce traffic. The
      result, and its gradient, have the dtype of `value`.
  """

  value: Array
  axis: int = struct.field(pytree_node=False)
  dtype: str = struct.field(pytree_node=False)

  def unbox(self) -> Array:
    """Returns the array; in `by_rows` and `summed_by_rows`, gathers it."""
    if not on_own_rows():
      return self.value  # of all devices; the partitioner gathers it
    whole = _gather(self.value, self.value.ndim + self.axis, self.dtype)
    return checkpoint_name(whole, GATHERED)

  def replace_boxed(self, val: PyTree) -> "Shard":
    """Returns a shard with another value."""
    return self.replace(value=val)

  def add_axis(self, index: int, params: dict[Hashable, object]) -> "Shard":
    """Returns itself, since `axis` counts from the last one."""
    return self

  def remove_axis(self, index: int, params: dict[Hashable, object]) -> "Shard":
    """Returns itself, since `axis` counts from the last one."""
    return self

  @property
  def spec(self) -> PartitionSpec:
    """The PartitionSpec of the array."""
    return PartitionSpec(*[None] * (self.value.ndim + self.axis), "fsdp")


GATHERED = "gathered"  # name for rematerialization: see `Shard`


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _gather(part: Array, axis: int, dtype: str) -> Array:
  whole = jax.lax.all_gather(part.astype(dtype), "fsdp", axis=axis, tiled=True)
  return whole.astype(part.dtype)


def _scatter(axis: int, dtype: str, _: None, gradient: Array) -> tuple[Array]:
  del dtype
  # For a v5e:2x4, XLA turns a tiled scatter of a leading axis, or an untiled
  # scatter of another axis, into an all-reduce with twice the traffic.
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
  shardings: PyTree,
  rounded: Callable[[KeyPath], str | None] = lambda path: None,
) -> Callable[[PyTree], PyTree]:
  """Returns a function that boxes parameters sharded over `fsdp` in `Shard`s.

  Args:
    shardings: tree of the parameters' NamedShardings.
    rounded: maps a parameter's path to the dtype in which it is used; None
      means the parameter's own dtype.
  """

  def box(path: KeyPath, value: Array, sharding: NamedSharding) -> PyTree:
    axes = [n for n, a in enumerate(sharding.spec) if a == "fsdp"]
    if not axes or sharding.mesh.shape["fsdp"] == 1:
      return value
    dtype = rounded(path) or value.dtype.name
    return Shard(value, axes[0] - value.ndim, dtype)

  return lambda params: jax.tree_util.tree_map_with_path(box, params, shardings)


def _is_shard(leaf: object) -> bool:
  return isinstance(leaf, Shard)


def stored(tree: PyTree) -> PyTree:
  """Returns the tree with `Shard`s replaced by their arrays, not gathered."""
  return jax.tree.map(
    lambda x: x.value if _is_shard(x) else x, tree, is_leaf=_is_shard
  )


def _specs(tree: PyTree) -> PyTree:
  return jax.tree.map(
    lambda x: x.spec if _is_shard(x) else PartitionSpec(),
    tree,
    is_leaf=_is_shard,
  )


def by_rows(
  f: Callable[[PyTree, PyTree], PyTree],
) -> Callable[[PyTree, PyTree], PyTree]:
  """Returns f(params, rows) -> rows, with each device computing its own rows.

  The partitioner would sum the parameters' gradient over devices in every
  iteration of every loop within f; here it is summed once, after f. The
  gradient of a `Shard` is scattered where the parameter was gathered. Each
  row's result must depend only on that row. Without a mesh, this is f.
  """

  def run(params: PyTree, rows: PyTree) -> PyTree:
    if not _rows_are_spread():
      return f(params, rows)
    return _shard_map(
      f, (_specs(params), PartitionSpec(ROW_AXES)), PartitionSpec(ROW_AXES)
    )(params, rows)

  return run


def summed_by_rows(
  f: Callable[..., PyTree], gradient: bool = True
) -> Callable[..., PyTree]:
  """Returns f(params, frozen, batch, key), summed over devices once.

  Each device computes its own rows of every micro-batch. f returns two trees,
  which must be sums over rows: a gradient, with the structure of `params`, and
  any other tree. Without `gradient`, it returns only the second. Without a
  mesh, this is f.
  """

  def run(
    params: PyTree, frozen: PyTree, batch: PyTree, key: jax.Array
  ) -> PyTree:
    if not _rows_are_spread():
      return f(params, frozen, batch, key)

    def own(*args: PyTree) -> PyTree:
      everything = f(*args)
      if not gradient:
        return jax.lax.psum(everything, ROW_AXES)
      grads, sums = everything
      add = lambda x: (  # a shard's is already summed over fsdp
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
  """Returns whether the code of one device on its own rows is being traced."""
  return "data" in jax.sharding.get_abstract_mesh().manual_axes


def key_of_each_row(key: Array, rows: int) -> Array:
  """Returns a key per row, from its index among the rows of all devices.

  Args:
    key: one key for all rows.
    rows: number of rows: this device's rows if the caller runs on a device's
      own rows (see `on_own_rows`), otherwise all rows.
  """
  first = jax.lax.axis_index(ROW_AXES) * rows if on_own_rows() else 0
  return jax.vmap(functools.partial(jax.random.fold_in, key))(
    first + jnp.arange(rows)
  )


def _rows_are_spread() -> bool:
  mesh = jax.sharding.get_abstract_mesh()
  return (
    not mesh.empty
    and not on_own_rows()
    and math.prod(mesh.shape[axis] for axis in ROW_AXES) > 1
  )


def _shard_map(
  f: Callable[..., PyTree], taken: PyTree, given: PyTree
) -> Callable:
  # The partitioner handles arrays sharded over `tensor`.
  return jax.shard_map(
    f, in_specs=taken, out_specs=given, axis_names={*ROW_AXES}, check_vma=False
  )
