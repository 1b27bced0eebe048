# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""cuDNN's flash attention, through `jax.nn.dot_product_attention`.

Rotary embeddings are applied before it. Segments become a bias, bfloat16
[B, 1, S, S], made once for all layers. Therefore no block is skipped, and long
rows cost memory: 128 MiB for a row of 8,192 tokens.
"""

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float
from jaxtyping import Int
import numpy as np

from nomic_jax.kernels import common
from nomic_jax.kernels import reference
from nomic_jax.kernels.layout import Angles
from nomic_jax.kernels.layout import Call

Rows = tuple[Int[Array, "B S"], Angles | None, Float[Array, "B 1 S S"]]

_HOPPER_ON = ("NVIDIA H", "NVIDIA B", "NVIDIA GB", "NVIDIA GH")
_FAR = -(2.0**15)  # far below any score, and exact in bfloat16


def lacks(call: Call, length: int, dtype: np.dtype | None) -> str:
  """See `nomic_jax.kernels.attention`."""
  d = call.layout.width
  widest = 256 if call.device.startswith(_HOPPER_ON) else 128
  if d % 8 or d > widest:
    return f"has no heads of {d}; expected a multiple of 8 up to {widest}"
  if length % 2 and not call.forward_only:
    return f"has no gradient for rows of {length} tokens; expected even ones"
  return common.lacks(call, dtype, "bfloat16")


def prepare(
  call: Call,
  segment_ids: Int[Array, "B S"],
  angles: Angles | None,
  dtype: np.dtype,
) -> Rows:
  """Computes what all layers share; see `nomic_jax.kernels.attention`."""
  seen = reference.mask(segment_ids, call.reach)
  return segment_ids, angles, jnp.where(seen, 0, _FAR).astype(dtype)[:, None]


def attend(
  call: Call, qkv: Float[Array, "B S columns"], rows: Rows
) -> Float[Array, "B S out"]:
  """See `nomic_jax.kernels.attention`."""
  segment_ids, angles, bias = rows
  q, k, v = call.layout.split(qkv)
  if angles is not None:
    q, k = reference.rotate(q, *angles), reference.rotate(k, *angles)
  out = jax.nn.dot_product_attention(q, k, v, bias, implementation="cudnn")
  out = jnp.where((segment_ids > 0)[:, :, None, None], out, 0)
  return out.reshape(*segment_ids.shape, -1)
