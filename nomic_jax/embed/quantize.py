# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Vectors in fewer bytes."""

import numpy as np

from nomic_jax.errors import one_of
from nomic_jax.errors import UserError

PRECISIONS = ("float32", "int8", "binary")


def check(precision: str, width: int) -> None:
  """Raises UserError for an unknown precision, or one that does not fit."""
  one_of(precision, PRECISIONS, f"precision '{precision}' is unknown")
  if precision == "binary" and width % 8:
    raise UserError(
      f"precision 'binary' packs 8 dimensions in a byte, and {width} is not "
      "a multiple of 8; choose another dim"
    )


def stored_as(precision: str, width: int) -> tuple[np.dtype, int]:
  """The dtype and the number of columns of quantised vectors."""
  if precision == "binary":
    return np.dtype(np.int8), width // 8
  return np.dtype(precision), width


def quantize(vectors: np.ndarray, precision: str) -> np.ndarray:
  """Float vectors [N, D] in a precision.

  float32: as they are, [N, D].

  int8: [N, D]; round(127 · x / max|x|) with the largest |x| of the vector
    itself. So nothing is calibrated, a text's vector does not depend on the
    others of its call, and queries and documents of different calls go
    together; but lengths are lost, so compare by cosine. (The int8 of
    sentence-transformers instead takes each dimension's range from the
    texts of the call, or from texts to calibrate with.)

  binary: int8 [N, D/8]; the signs, x > 0 being 1, eight to a byte, the first
    in its highest bit, less 128: what sentence-transformers' "binary" is.
    `.view(np.uint8) ^ 128` is its "ubinary". Compare by Hamming distance,
    which both give alike.

  Raises:
    UserError: for an unknown precision, or binary and D no multiple of 8.
  """
  check(precision, vectors.shape[1])
  if precision == "int8":
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    return np.rint(127 * vectors / np.maximum(largest, 1e-30)).astype(np.int8)
  if precision == "binary":
    return np.packbits(vectors > 0, axis=1).view(np.int8) ^ np.int8(-128)
  return vectors
