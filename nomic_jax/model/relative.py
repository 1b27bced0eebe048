# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Buckets of distances for a relative attention bias."""

import math

import numpy as np

from nomic_jax.model.architecture import Relative


def buckets(relative: Relative, length: int) -> np.ndarray:
  """Returns the bucket of each distance in a row, int32 [2 length - 1].

  Distances range from `length` - 1 tokens before the query to `length` - 1
  after it. One half of the buckets is for tokens after the query. In each half,
  the first half of the buckets hold the distances 0, 1, 2, ..., one each; the
  others hold ranges that grow by a constant factor up to `furthest`. The
  logarithms are float32, as in PyTorch.
  """
  distance = np.arange(1 - length, length)
  half = relative.buckets // 2
  near = half // 2
  away = np.abs(distance)
  with np.errstate(divide="ignore"):
    steps = np.log(away.astype(np.float32) / np.float32(near))
  steps /= np.float32(math.log(relative.furthest / near))
  steps *= np.float32(half - near)
  far = near + np.maximum(steps, 0).astype(np.int32)
  bucket = np.where(away < near, away, np.minimum(far, half - 1))
  return (bucket + np.where(distance > 0, half, 0)).astype(np.int32)
