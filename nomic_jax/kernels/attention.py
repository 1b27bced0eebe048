# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Attention over packed rows: one API, one table of implementations.

Letters in shapes, here and everywhere: B rows, S tokens in a row, H heads,
d width of a head, D width of the model.
"""

from typing import Callable

import jax
from jax import Array

from nomic_jax.errors import nearest
from nomic_jax.errors import UserError
from nomic_jax.kernels import reference

# An implementation takes (q, k, v, segment_ids) and returns what q looks like.
_IMPLEMENTATIONS: dict[str, Callable[..., Array]] = {
    "reference": reference.attention,
}


def check_implementation(name: str) -> str:
  """Returns `name`, or raises UserError listing the implementations."""
  if name not in _IMPLEMENTATIONS:
    raise UserError(
        f"compute.attention: no implementation '{name}'; expected one of "
        f"{', '.join(_IMPLEMENTATIONS)}.{nearest(name, _IMPLEMENTATIONS)}"
    )
  return name


def attention(
    q: Array, k: Array, v: Array, *, segment_ids: Array, implementation: str
) -> Array:
  """Bidirectional softmax attention within each segment of each row.

  Args:
    q: [B, S, H, d], already rotated; scaled by 1/sqrt(d) in here.
    k: [B, S, H, d], already rotated.
    v: [B, S, H, d].
    segment_ids: int32 [B, S]; tokens attend to tokens of the same id, and 0
      is padding, whose output is zero.
    implementation: a name `check_implementation` accepts.

  Returns:
    [B, S, H, d] in v's dtype.

  Raises:
    UserError: for an unknown implementation.
    ValueError: for shapes that do not fit each other.
  """
  if q.shape != k.shape or q.shape != v.shape or q.ndim != 4:
    raise ValueError(
        f"q, k, v must share one shape [B, S, H, d]: got {q.shape}, "
        f"{k.shape}, {v.shape}"
    )
  if segment_ids.shape != q.shape[:2]:
    raise ValueError(
        f"segment_ids must be [B, S] = {q.shape[:2]}: got {segment_ids.shape}"
    )
  check_implementation(implementation)
  with jax.named_scope(f"attention_{implementation}"):
    return _IMPLEMENTATIONS[implementation](q, k, v, segment_ids)
