# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Plain JAX attention: the oracle of every kernel, and the CPU's path."""

import jax
from jax import Array
import jax.numpy as jnp


def attention(q: Array, k: Array, v: Array, segment_ids: Array) -> Array:
  """See `nomic_jax.kernels.attention.attention`. Holds [B, H, S, S] scores.

  Scores and softmax are float32 whatever the inputs are.
  """
  scale = q.shape[-1] ** -0.5
  scores = jnp.einsum(
      "bqhd,bkhd->bhqk", q * scale, k, preferred_element_type=jnp.float32
  )
  same = segment_ids[:, :, None] == segment_ids[:, None, :]
  # A large negative number, not -inf: a padded query sees the other padding,
  # so that no row of the softmax is empty and no gradient is NaN.
  scores = jnp.where(same[:, None], scores, -1e30)
  weights = jax.nn.softmax(scores, axis=-1).astype(v.dtype)
  out = jnp.einsum("bhqk,bkhd->bqhd", weights, v)
  return jnp.where((segment_ids > 0)[:, :, None, None], out, 0)
