# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Attention over packed rows: one API, one table of implementations.

Letters in shapes, here and everywhere: B rows, S tokens in a row, H heads,
d width of a head, D width of the model.
"""

import dataclasses
from typing import Any

import jax
from jax import Array

from nomic_jax.errors import nearest
from nomic_jax.errors import UserError
from nomic_jax.kernels import flash_tpu
from nomic_jax.kernels import reference

# An implementation is a module with two functions:
#   prepare(options, segment_ids, angles, dtype) -> rows, a tree of arrays
#   attend(options, qkv, rows, heads) -> out
_IMPLEMENTATIONS = {
    "reference": reference,
    "pallas_tpu": flash_tpu,
}


def check_implementation(name: str) -> str:
  """Returns `name`, or raises UserError listing the implementations."""
  if name not in _IMPLEMENTATIONS:
    raise UserError(
        f"compute.attention: no implementation '{name}'; expected one of "
        f"{', '.join(_IMPLEMENTATIONS)}.{nearest(name, _IMPLEMENTATIONS)}"
    )
  return name


@dataclasses.dataclass(frozen=True)
class Attention:
  """Bidirectional softmax attention within each segment of each row.

    rows = attention.prepare(segment_ids, angles, qkv.dtype)  # once
    out = attention(qkv, rows, heads)  # in each layer

  Attributes:
    implementation: a name `check_implementation` accepts.
    window: how many places to either side a token sees; None: all.
    device: `jax.Device.device_kind` of where it runs.
    blocks: tokens in a kernel's blocks of queries and keys, forward and
      backward; None: see `nomic_jax.kernels.blocks`.
    interpret: run a kernel as Python on the CPU: True, or Pallas' parameters
      to do so.
  """

  implementation: str = "reference"
  window: int | None = None
  device: str = ""
  blocks: tuple[int, int, int, int] | None = None
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
      UserError: for an unknown implementation.
      ValueError: for shapes that do not fit each other.
    """
    if segment_ids.ndim != 2:
      raise ValueError(
          f"segment_ids must be [B, S]: got {segment_ids.shape}; a batch "
          "without packing has ones, and zeros where it is padded"
      )
    if angles is not None and any(
        a.ndim != 3 or a.shape[:2] != segment_ids.shape for a in angles):
      raise ValueError(
          f"angles must be two [B, S, d/2] with [B, S] = {segment_ids.shape}: "
          f"got {[a.shape for a in angles]}"
      )
    module = _IMPLEMENTATIONS[check_implementation(self.implementation)]
    return module.prepare(self, segment_ids, angles, dtype)

  def __call__(self, qkv: Array, rows: Any, heads: int) -> Array:
    """[B, S, 3 H d], all of q, then k, then v, to [B, S, H d].

    Scores are scaled by 1/sqrt(d); softmax is float32.
    """
    if qkv.ndim != 3 or qkv.shape[-1] % (3 * heads):
      raise ValueError(
          f"qkv must be [B, S, 3 H d] with H = {heads}: got {qkv.shape}"
      )
    with jax.named_scope(f"attention_{self.implementation}"):
      return _IMPLEMENTATIONS[self.implementation].attend(
          self, qkv, rows, heads
      )
