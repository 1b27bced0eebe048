# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""cuDNN's flash attention, through `jax.nn.dot_product_attention`.

What it has no words for is done around it: rotary before, and the segments as
a bias, bfloat16 [B, 1, S, S], made once for all layers. So it skips nothing,
and long rows cost that much memory: 128 MiB for each of 8,192 tokens.
"""

from typing import Any

import jax
from jax import Array
import jax.numpy as jnp

from nomic_jax.errors import UserError
from nomic_jax.kernels import common
from nomic_jax.kernels import reference

_FAR = -(2.0 ** 15)  # far below any score, and exact in bfloat16


def prepare(options: Any, segment_ids: Array, angles: Any, dtype: Any) -> Any:
  """What all layers share; see `nomic_jax.kernels.attention`."""
  common.check_dtype("cudnn", dtype, "bfloat16")
  length = segment_ids.shape[1]
  if length % 2:
    raise UserError(
        f"compute.attention: cudnn has no gradient for rows of {length} "
        "tokens; make them even, or set it to pallas_gpu"
    )
  at = jnp.arange(length)[None]
  seen = reference.mask(segment_ids, segment_ids, at, at, options.window)
  return segment_ids, angles, jnp.where(seen, 0, _FAR).astype(dtype)[:, None]


def fits(heads: int, d: int) -> bool:
  """Whether cuDNN has heads of that width, on Ampere too."""
  del heads
  return d % 8 == 0 and d <= 128


def attend(options: Any, qkv: Array, rows: Any, heads: int) -> Array:
  """See `nomic_jax.kernels.attention`.

  Raises:
    UserError: for heads of a width that cuDNN lacks.
  """
  del options
  segment_ids, angles, bias = rows
  d = qkv.shape[-1] // (3 * heads)
  if not fits(heads, d):
    raise UserError(
        f"compute.attention: cudnn has no heads of {d}; expected a multiple "
        "of 8 up to 128; set it to reference"
    )
  q, k, v = (
      part.reshape(*segment_ids.shape, heads, d)
      for part in jnp.split(qkv, 3, axis=-1)
  )
  if angles is not None:
    q, k = reference.rotate(q, *angles), reference.rotate(k, *angles)
  out = jax.nn.dot_product_attention(q, k, v, bias, implementation="cudnn")
  out = jnp.where((segment_ids > 0)[:, :, None, None], out, 0)
  return out.reshape(*segment_ids.shape, -1)
