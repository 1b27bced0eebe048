# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Quantization of vectors to fewer bytes."""

import numpy as np

from nomic_jax.errors import one_of
from nomic_jax.errors import UserError

PRECISIONS = ("float32", "int8", "binary")


def check(precision: str, width: int) -> None:
  """Raises UserError for an unknown precision, or one that does not fit."""
  one_of(precision, PRECISIONS, f"precision '{precision}' is unknown")
  if precision == "binary" and width % 8:
    raise UserError(
      f"precision 'binary' packs 8 dimensions per byte, but {width} is not a "
      "multiple of 8; choose another dim"
    )


def stored_as(precision: str, width: int) -> tuple[np.dtype, int]:
  """Returns the dtype and the number of columns of quantized vectors."""
  if precision == "binary":
    return np.dtype(np.int8), width // 8
  return np.dtype(precision), width


def quantize(vectors: np.ndarray, precision: str) -> np.ndarray:
  """Converts float vectors [N, D] to a precision.

  float32: unchanged, [N, D].

  int8: [N, D]; round(127 · x / max|x|) with the largest |x| of the vector
    itself. Nothing is calibrated, so a text's vector does not depend on others
    in the call, and vectors of different calls can be compared. Lengths are
    lost, so compare by cosine. (sentence-transformers' int8 instead takes each
    dimension's range from the texts of the call, or from calibration texts.)

  binary: int8 [N, D/8]; the signs (x > 0 is 1), eight per byte with the first
    in the highest bit, minus 128, as sentence-transformers' "binary".
    `.view(np.uint8) ^ 128` gives its "ubinary". Compare by Hamming distance,
    which is the same for both.

  Raises:
    UserError: for an unknown precision, or binary if D is not a multiple of 8.
  """
  check(precision, vectors.shape[1])
  if precision == "int8":
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    return np.rint(127 * vectors / np.maximum(largest, 1e-30)).astype(np.int8)
  if precision == "binary":
    return np.packbits(vectors > 0, axis=1).view(np.int8) ^ np.int8(-128)
  return vectors


class Directions:
  """Vectors [N, D] in int8, read like an array of float32 of length 1."""

  ndim = 2

  def __init__(self, quantized: np.ndarray):
    """Keeps vectors that `quantize` made, perhaps memory-mapped."""
    self._quantized = quantized
    self.shape = quantized.shape

  def __len__(self) -> int:
    return self.shape[0]

  def __getitem__(self, at: slice | np.ndarray) -> np.ndarray:
    """Copies rows: a slice, or row numbers [n]."""
    rows = np.asarray(self._quantized[at], np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.maximum(lengths, 1e-30)

  @classmethod
  def of(cls, vectors: np.ndarray) -> "np.ndarray | Directions":
    """Returns vectors in int8 as `Directions`, and others unchanged."""
    return cls(vectors) if vectors.dtype == np.int8 else vectors
