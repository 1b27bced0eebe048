# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""AnglE (Li and Li 2023): CoSENT with angles in complex space.

A cosine is flat where it is near 1 or -1, and its gradient vanishes; the angle
between two vectors of complex numbers is not. The similarity is that of
AnglELoss in sentence-transformers.
"""

from jax import Array
import jax.numpy as jnp

from nomic_jax.losses.cosent import CoSENT


class AnglE(CoSENT):
  """As `CoSENT`, but for the similarity."""

  def similarity(self, first: Array, second: Array) -> Array:
    """|sum of the real and imaginary parts of first / second| [N].

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
