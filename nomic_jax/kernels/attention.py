# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Attention over packed rows: one interface, one table of implementations.

Dimensions in shapes, here and everywhere: B rows, S tokens in a row, H query
heads, K key and value heads, d width of a head, D width of the model.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import functools
import math
from typing import Any

import jax
from jax import Array
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import PartitionSpec
from jax.typing import DTypeLike
from jaxtyping import PyTree

from nomic_jax.errors import one_of
from nomic_jax.errors import UserError
from nomic_jax.kernels import cudnn
from nomic_jax.kernels import flash_gpu
from nomic_jax.kernels import flash_tpu
from nomic_jax.kernels import reference
from nomic_jax.kernels.layout import Call
from nomic_jax.kernels.layout import Layout
from nomic_jax.kernels.layout import Need
from nomic_jax.kernels.layout import Reach

# An implementation is a module with three functions of a `Call`:
#   lacks(call, length, dtype) -> why it cannot compute this, or ""
#   prepare(call, segment_ids, angles, dtype) -> rows, a tree of arrays; takes
#     `bias` as a further argument if call.relative
#   attend(call, qkv, rows) -> out
_IMPLEMENTATIONS = {
  "reference": reference,
  "pallas_tpu": flash_tpu,
  "pallas_gpu": flash_gpu,
  "cudnn": cudnn,
}
# The platform that a kernel is written for; the others run anywhere.
_PLATFORMS = {"pallas_tpu": "tpu", "pallas_gpu": "gpu", "cudnn": "gpu"}
# On GPUs the default is our kernel. cuDNN computes all blocks of a packed row,
# holds an S x S bias and does not support float32.
_AUTO = {"tpu": "pallas_tpu", "gpu": "pallas_gpu"}
_AMPERE = 8.0


def choose(
  name: str,
  mesh: Mesh,
  rows_over: tuple[str, ...],
  needs: Sequence[Need],
  *,
  forward_only: bool = False,
  longest: int = 0,
  dtype: DTypeLike | None = None,
  say: Callable[[str], object] = print,
  quiet: bool = False,
) -> "Backend":
  """Returns the backend for the devices of a mesh and reports the choice.

  Args:
    name: an implementation, or "auto" for the kernel written for these devices
      if it supports all of `needs`, else reference.
    mesh: the mesh to run on; may consist of AOT devices.
    rows_over: the mesh axes over which rows of tokens are sharded. A kernel's
      heads are sharded over the other axes.
    needs: `architecture.Attention.need` of each attention of the architecture.
    forward_only: whether gradients are not needed.
    longest: the largest number of tokens in a row; 0 if unknown.
    dtype: the dtype of qkv; None if unknown.
    say: prints the report.
    quiet: whether to report only a kernel that cannot be used.

  Raises:
    UserError: for an unknown name, or an implementation that does not run on
      these devices or does not support one of `needs`.
  """
  device = mesh.devices.flat[0]
  one_of(name, ("auto", *_IMPLEMENTATIONS), f"no implementation '{name}'")
  chosen = _AUTO.get(device.platform, "reference") if name == "auto" else name
  backend = Backend(
    chosen, device=device.device_kind, forward_only=forward_only
  )
  if chosen in _PLATFORMS:
    heads_over = tuple(a for a in mesh.shape if a not in rows_over)
    backend = dataclasses.replace(
      backend,
      rows_over=rows_over,
      heads_over=heads_over,
      shares=math.prod(mesh.shape[a] for a in heads_over),
    )
  platform = _PLATFORMS.get(chosen, device.platform)
  if platform != device.platform:
    raise UserError(
      f"{chosen} runs on {platform}, but these devices are {device.platform}; "
      "expected auto or reference"
    )
  why = _too_old(chosen, device) or next(
    filter(
      None, (backend.lacks(need, length=longest, dtype=dtype) for need in needs)
    ),
    "",
  )
  if why and name != "auto":
    raise UserError(f"{chosen} {why}; expected auto or reference")
  if why:
    say(f"attention: reference, because {chosen} {why}")
    return Backend(device=device.device_kind)
  if name == "auto" and not quiet:
    say(f"attention: {chosen}, for {device.device_kind}")
  return backend


def _too_old(chosen: str, device: jax.Device) -> str:
  """Returns why the kernels do not run on a GPU, or ""."""
  if _PLATFORMS.get(chosen) != "gpu":
    return ""
  capability = getattr(device, "compute_capability", "")
  try:
    new = float(capability) >= _AMPERE
  except ValueError:  # on AMD GPUs it is a name, not a number
    new = False
  return (
    ""
    if new
    else (
      f"needs an NVIDIA GPU of compute capability {_AMPERE} (Ampere) or later, "
      f"not a {device.device_kind}"
    )
  )


@dataclasses.dataclass(frozen=True)
class Backend:
  """Computes softmax attention within each segment of each row.

  The architecture determines what is computed, a static `Need`:

    rows = backend.prepare(segment_ids, angles, dtype, need)
    out = backend.attend(qkv, rows, need)  # in each layer

  Attributes:
    implementation: a name in this module's table, other than "auto".
    device: the `jax.Device.device_kind` it runs on.
    blocks: block sizes of a kernel in tokens, two forward and two backward;
      None: see `nomic_jax.kernels.blocks`.
    forward_only: whether gradients are not needed, so that a kernel reserves no
      memory for them.
    rows_over: axes of the current mesh over which rows are sharded. Each device
      runs a kernel on its own rows, since XLA cannot partition kernels.
    heads_over: axes of the current mesh over which heads are sharded.
    shares: the number of devices along `heads_over`.
    interpret: runs a kernel in interpret mode on the CPU: True, or Pallas'
      interpret parameters.
  """

  implementation: str = "reference"
  device: str = ""
  blocks: tuple[int, int, int, int] | None = None
  forward_only: bool = False
  rows_over: tuple[str, ...] = ()
  heads_over: tuple[str, ...] = ()
  shares: int = 1
  interpret: Any = False

  def lacks(
    self, need: Need, *, length: int = 0, dtype: DTypeLike | None = None
  ) -> str:
    """Returns why it cannot compute this ("has no ..."), or "".

    Args:
      need: what to compute.
      length: the largest number of tokens in a row; 0 if unknown.
      dtype: the dtype of qkv; None if unknown.
    """
    layout = need.layout
    if layout.heads % self.shares or layout.kv_heads % self.shares:
      return f"cannot divide {layout} between {self.shares} devices"
    return _IMPLEMENTATIONS[self.implementation].lacks(
      self._call(need), length, None if dtype is None else jnp.dtype(dtype)
    )

  def prepare(
    self,
    segment_ids: Array,
    angles: tuple[Array, Array] | None,
    dtype: DTypeLike,
    need: Need,
    *,
    bias: Array | None = None,
  ) -> PyTree:
    """Computes what all layers with this attention share.

    Args:
      segment_ids: int32 [B, S]; tokens attend to tokens with the same id. 0 is
        padding, whose output is zero.
      angles: cos and sin, each float32 [B, S, d/2], of the angles by which
        dimensions (i, i + d/2) of queries and keys are rotated (rotary
        position embedding); None for no rotation.
      dtype: the dtype of qkv.
      need: what to compute.
      bias: with `need.relative`, float32 [H, 2 S - 1]: what is added to the
        scores of keys S - 1 tokens before the query, ..., S - 1 tokens after
        it.

    Returns:
      A tree of arrays; the first has a leading axis B.

    Raises:
      UserError: for what the implementation does not support.
      ValueError: for inconsistent shapes.
    """
    shape = None if segment_ids is None else jnp.shape(segment_ids)
    if shape is None or len(shape) != 2:
      raise ValueError(
        f"segment_ids must be [B, S], but got {shape}; without packing, use "
        "ones for tokens and zeros for padding"
      )
    layout = need.layout
    half = (*segment_ids.shape, layout.width // 2)
    if angles is not None and any(a.shape != half for a in angles):
      raise ValueError(
        f"angles must be two arrays [B, S, d/2] = {half}, but got "
        f"{[a.shape for a in angles]}"
      )
    expected = (
      (layout.heads, 2 * segment_ids.shape[1] - 1) if need.relative else None
    )
    shape = None if bias is None else bias.shape
    if shape != expected:
      raise ValueError(f"bias must be {expected}: got {shape}")
    if why := self.lacks(need, length=segment_ids.shape[1], dtype=dtype):
      raise UserError(
        f"attention: {self.implementation} {why}; use reference instead"
      )
    return _IMPLEMENTATIONS[self.implementation].prepare(
      self._call(need),
      segment_ids,
      angles,
      jnp.dtype(dtype),
      *(() if bias is None else (bias,)),
    )

  def attend(self, qkv: Array, rows: PyTree, need: Need) -> Array:
    """Computes attention from [B, S, (H + 2 K) d] to [B, S, H d].

    Scores are scaled by 1/sqrt(d); softmax is float32.

    Args:
      qkv: queries, keys and values as `need.layout` says.
      rows: from `prepare` with the same `need`.
      need: what to compute.

    Raises:
      ValueError: if the shape of qkv does not match the layout.
    """
    layout = need.layout
    if qkv.ndim != 3 or qkv.shape[-1] != layout.columns:
      raise ValueError(
        f"qkv must be [B, S, {layout.columns}] for {layout}, got {qkv.shape}"
      )
    attend = functools.partial(
      _IMPLEMENTATIONS[self.implementation].attend, self._call(need)
    )
    if self.rows_over:
      attend = self._on_own_share(attend, layout, qkv.shape[0])
    with jax.named_scope(f"attention_{self.implementation}"):
      return attend(qkv, rows)

  def _call(self, need: Need) -> Call:
    return Call(
      need.layout.of_each(self.shares),
      Reach.of(need.window, need.causal),
      need.relative,
      self.device,
      self.blocks,
      self.forward_only,
      self.interpret,
    )

  def _on_own_share(
    self, attend: Callable[..., Array], layout: Layout, count: int
  ) -> Callable[..., Array]:
    """Returns `attend` as run by each device on its own rows and heads."""
    mesh = jax.sharding.get_abstract_mesh()
    automatic = set(mesh.axis_names) - set(mesh.manual_axes)
    if not automatic:
      return attend
    axes = tuple(a for a in self.rows_over if a in automatic)
    devices = math.prod(mesh.shape[a] for a in axes)
    if count % devices:
      raise UserError(
        f"attention: {self.implementation} cannot divide {count} rows among "
        f"{devices} devices; use a multiple of {devices} rows per batch and "
        "chunk"
      )
    spec = PartitionSpec(axes, None, self.heads_over)
    # The columns of a device's q, k and v are not contiguous in qkv.
    parts = layout.parts if self.shares > 1 else lambda qkv: [qkv]
    sharded = jax.shard_map(
      lambda qkv, rows: attend(jnp.concatenate(qkv, axis=-1), rows),
      in_specs=(spec, PartitionSpec(axes)),
      out_specs=spec,
      axis_names=automatic,
      check_vma=False,
    )
    return lambda qkv, rows: sharded(parts(qkv), rows)
