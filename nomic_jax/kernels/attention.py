# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Attention over packed rows: one API, one table of implementations.

Letters in shapes, here and everywhere: B rows, S tokens in a row, H heads,
d width of a head, D width of the model.
"""

import dataclasses
import functools
import math
from typing import Any, Callable

import jax
from jax import Array
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import PartitionSpec

from nomic_jax.errors import nearest
from nomic_jax.errors import UserError
from nomic_jax.kernels import blocks
from nomic_jax.kernels import cudnn
from nomic_jax.kernels import flash_gpu
from nomic_jax.kernels import flash_tpu
from nomic_jax.kernels import reference

# An implementation is a module with two functions, and `fits` if it is a
# kernel:
#   prepare(options, segment_ids, angles, dtype) -> rows, a tree of arrays
#   attend(options, qkv, rows, heads) -> out
#   fits(heads, d) -> whether it has a layout for such heads
_IMPLEMENTATIONS = {
    "reference": reference,
    "pallas_tpu": flash_tpu,
    "pallas_gpu": flash_gpu,
    "cudnn": cudnn,
}
# What a kernel was written for; the others run anywhere.
_PLATFORMS = {"pallas_tpu": "tpu", "pallas_gpu": "gpu", "cudnn": "gpu"}
# On GPUs ours and not cuDNN, which computes all of a packed row's blocks, keeps
# an S x S bias, and has no float32.
_AUTO = {"tpu": "pallas_tpu", "gpu": "pallas_gpu"}
_AMPERE = 8.0


def choose(
    name: str, mesh: Mesh, rows_over: tuple[str, ...], heads: int, width: int,
    *, forward_only: bool = False, longest: int = 0, dtype: Any = "float32",
    say: Callable[[str], Any] = print,
) -> "Attention":
  """Attention for the devices of a mesh; what `auto` becomes is printed.

  Args:
    name: an implementation, or auto for the one made for these devices.
    mesh: where it is to run; AOT devices will do.
    rows_over: the axes of the mesh over which rows of tokens lie.
    heads: H.
    width: d, of a head.
    forward_only: whether nobody will ask for gradients.
    longest: most tokens in a row: `auto` takes no kernel that lacks the room.
    dtype: of qkv.
    say: what to print with.

  Raises:
    UserError: for a name that is unknown or does not run there.
  """
  device = mesh.devices.flat[0]
  known = ("auto", *_IMPLEMENTATIONS)
  if name not in known:
    raise UserError(
        f"config.compute.attention: no implementation '{name}'; expected one "
        f"of {', '.join(known)}.{nearest(name, known)}"
    )
  chosen = _AUTO.get(device.platform, "reference") if name == "auto" else name
  attention = Attention(
      chosen, device=device.device_kind, forward_only=forward_only)
  if name == "auto" and (why := _lacks(
      attention, device, heads, width, longest, dtype)):
    say(f"attention: {chosen} {why}")
    chosen, attention = "reference", Attention(device=device.device_kind)
  platform = _PLATFORMS.get(chosen, device.platform)
  if platform != device.platform:
    raise UserError(
        f"config.compute.attention: {chosen} runs on {platform}, and these "
        f"devices are {device.platform}; set it to auto or reference"
    )
  if why := _too_old(chosen, device):
    raise UserError(
        f"config.compute.attention: {chosen} {why}; set it to reference")
  kernel = chosen in _PLATFORMS
  whole = math.prod(mesh.shape[a] for a in rows_over)
  if kernel and whole != mesh.size:
    raise UserError(
        f"config.compute.attention: {chosen} would repeat its work on devices "
        "that share rows; set config.mesh.tensor=1, or it to reference"
    )
  if name == "auto":
    say(f"attention: {chosen}, for {device.device_kind}")
  return dataclasses.replace(attention, rows_over=rows_over if kernel else ())


def _lacks(
    attention: "Attention", device: Any, heads: int, width: int, longest: int,
    dtype: Any,
) -> str:
  """Why a kernel cannot be used there; nothing if it can."""
  kernel = _IMPLEMENTATIONS[attention.implementation]
  if kernel is reference:
    return ""
  if not kernel.fits(heads, width):
    return f"has no layout for {heads} heads of {width}"
  room = blocks.tpu_room(attention, jnp.dtype(dtype).itemsize)
  if longest > room:
    return f"has room for rows of {room} tokens, not {longest}"
  return _too_old(attention.implementation, device)


def _too_old(chosen: str, device: Any) -> str:
  """Why a GPU is none that the kernels run on; nothing if it is."""
  if _PLATFORMS.get(chosen) != "gpu":
    return ""
  capability = getattr(device, "compute_capability", "")
  try:
    new = float(capability) >= _AMPERE
  except ValueError:  # AMD's are names
    new = False
  return "" if new else (
      f"needs an NVIDIA GPU of compute capability {_AMPERE} (Ampere) or later, "
      f"not a {device.device_kind}"
  )


@dataclasses.dataclass(frozen=True)
class Attention:
  """Bidirectional softmax attention within each segment of each row.

    rows = attention.prepare(segment_ids, angles, qkv.dtype)  # once
    out = attention(qkv, rows, heads)  # in each layer

  Attributes:
    implementation: a name in this module's table, `auto` excepted.
    window: how many places to either side a token sees; None: all.
    device: `jax.Device.device_kind` of where it runs.
    blocks: tokens in a kernel's blocks, two sizes forward and two backward;
      None: see `nomic_jax.kernels.blocks`.
    forward_only: whether nobody will ask for gradients, so that a kernel
      needs no room for them.
    rows_over: axes of the mesh in context over which rows lie. A kernel runs
      on each device's own, since XLA cannot divide it.
    interpret: run a kernel as Python on the CPU: True, or Pallas' parameters
      to do so.
  """

  implementation: str = "reference"
  window: int | None = None
  device: str = ""
  blocks: tuple[int, int, int, int] | None = None
  forward_only: bool = False
  rows_over: tuple[str, ...] = ()
  interpret: Any = False

  def prepare(
      self, segment_ids: Array, angles: tuple[Array, Array] | None, dtype: Any
  ) -> Any:
    """What all layers share, computed once for them.

    Args:
      segment_ids: int32 [B, S]; tokens attend to tokens of the same id, and 0
        is padding, whose output is zero.
      angles: cos and sin, float32 [B, S, d/2], of the angles by which
        dimensions (i, i + d/2) of queries and keys are turned (rotary
        position embedding); None does not turn.
      dtype: of qkv.

    Returns:
      A tree of arrays with leading axis B.

    Raises:
      UserError: for what the implementation cannot do.
      ValueError: for shapes that do not fit each other.
    """
    if jnp.ndim(segment_ids) != 2:
      raise ValueError(
          "segment_ids must be [B, S]: got "
          f"{getattr(segment_ids, 'shape', segment_ids)}; a batch without "
          "packing has ones, and zeros where it is padded"
      )
    if angles is not None and any(
        a.ndim != 3 or a.shape[:2] != segment_ids.shape for a in angles):
      raise ValueError(
          f"angles must be two [B, S, d/2] with [B, S] = {segment_ids.shape}: "
          f"got {[a.shape for a in angles]}"
      )
    return _IMPLEMENTATIONS[self.implementation].prepare(
        self, segment_ids, angles, jnp.dtype(dtype))

  def __call__(self, qkv: Array, rows: Any, heads: int) -> Array:
    """[B, S, 3 H d], all of q, then k, then v, to [B, S, H d].

    Scores are scaled by 1/sqrt(d); softmax is float32.
    """
    if qkv.ndim != 3 or qkv.shape[-1] % (3 * heads):
      raise ValueError(
          f"qkv must be [B, S, 3 H d] with H = {heads}: got {qkv.shape}"
      )
    attend = functools.partial(
        _IMPLEMENTATIONS[self.implementation].attend, self, heads=heads)
    if self.rows_over:
      attend = self._on_own_rows(attend, qkv.shape[0])
    with jax.named_scope(f"attention_{self.implementation}"):
      return attend(qkv, rows)

  def _on_own_rows(self, attend: Any, count: int) -> Any:
    """`attend` by each device for its rows, where it is not so already."""
    mesh = jax.sharding.get_abstract_mesh()
    left = set(mesh.axis_names) - set(mesh.manual_axes)
    if not left:
      return attend
    axes = tuple(a for a in self.rows_over if a in left)
    devices = math.prod(mesh.shape[a] for a in axes)
    if count % devices:
      raise UserError(
          f"compute.attention: {self.implementation} cannot lay {count} rows "
          f"over {devices} devices; give it a multiple (config.data."
          "rows_multiple or batch_size; config.loss.chunks)"
      )
    spec = PartitionSpec(axes)
    return jax.shard_map(
        attend, in_specs=(spec, spec), out_specs=spec, axis_names=left,
        check_vma=False,
    )
