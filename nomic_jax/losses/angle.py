# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""AnglE (Li and Li 2023): CoSENT with angles in complex space.

The gradient of the cosine vanishes where the cosine is near 1 or -1. The
gradient of the angle between the vectors, read as complex vectors, does not.
The similarity is that of AnglELoss in sentence-transformers.
"""

from jax import Array
import jax.numpy as jnp

from nomic_jax.losses.cosent import CoSENT


class AnglE(CoSENT):
  """`CoSENT` with another similarity in training.

  The trained model is compared by cosine, as in the paper.
  """

  def compare(self, first: Array, second: Array) -> Array:
    """Returns |sum of real and imaginary parts of first / second| [N].

    The first half of a vector's dimensions are real parts, the rest imaginary.
    """
    if first.shape[-1] % 2:
      first, second = (jnp.pad(x, [(0, 0), (0, 1)]) for x in (first, second))
    a, b = jnp.split(first, 2, -1)
    c, d = jnp.split(second, 2, -1)
    length = lambda x: jnp.sqrt(jnp.maximum((x**2).sum(-1), 1e-24))
    real, imaginary = a * c + b * d, b * c - a * d
    total = (real + imaginary).sum(-1)
    return jnp.abs(total / (length(first) * length(second)))
