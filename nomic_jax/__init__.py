# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""nomic_jax: train your own long-context text embedding model, in JAX.

Letters in array shapes, everywhere: B rows, S tokens in a row, K texts in a
row, D width, H heads, d width of a head, L layers, V vocabulary, F width of
the MLP, Q queries, C candidates, A micro-batches.
"""

__version__ = "0.1.0"


def load(path: str, dtype: str = "float32", pooled_norm: bool = False):
  """Opens a model directory or a work directory for `encode`.

  Args:
    path: the directory, or a hub name.
    dtype: of activations and matmuls; "bfloat16" is about twice as fast, and
      vectors then differ by about 1e-2.
    pooled_norm: apply a LayerNorm to the pooled vector although the files name
      none: nomic-embed-text-v1.5 as published needs it below 768 dimensions.

  Returns:
    A `nomic_jax.embed.model.Model`.

  Raises:
    nomic_jax.errors.UserError: naming what is missing or does not fit.
  """
  from nomic_jax.embed.model import Model  # JAX is imported when it is needed

  return Model.load(path, dtype, pooled_norm)
