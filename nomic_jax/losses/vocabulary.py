# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Cross-entropy over a vocabulary, with a hand-written gradient.

Automatic differentiation would store the gradient of the logits in float32,
read it for each product, and scatter the labels into it. Here the backward pass
recomputes the logits, and stores their gradient once, in the dtype of the
products.
"""

import functools
from typing import Any

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Bool
from jaxtyping import Float
from jaxtyping import Float32
from jaxtyping import Int

from nomic_jax.model import heads

_product = functools.partial(
  jax.lax.dot_general, preferred_element_type=jnp.float32
)


@jax.custom_vjp
def cross_entropy(
  x: Float[Array, "N E"],
  table: Float[Array, "V E"],
  bias: Float32[Array, " V"] | None,
  labels: Int[Array, " N"],
) -> tuple[Float32[Array, " N"], Bool[Array, " N"]]:
  """Returns the loss of each row, and whether its label scores highest.

  Products are computed in the dtype of x and accumulated in float32. The
  gradient of the logits is rounded to that dtype before it is multiplied.

  Args:
    x: hidden states, as wide as the word embeddings.
    table: word embeddings.
    bias: added to the logits x @ table.T, or None.
    labels: true words; -1 for none. Rows without a label have a loss of 0.

  Returns:
    The losses, and whether each label scores higher than every other word. The
    gradient of the latter is 0.
  """
  return _forward(x, table, bias, labels)[0]


def _forward(
  x: Array, table: Array, bias: Array | None, labels: Array
) -> tuple[tuple[Array, Array], tuple[Any, ...]]:
  logits = heads.logits(x, table.astype(x.dtype), bias)
  counted, label = labels >= 0, jnp.maximum(labels, 0)[:, None]
  true = jnp.take_along_axis(logits, label, axis=-1)[:, 0]
  is_label = label == jnp.arange(len(table))
  others = jnp.where(is_label, -jnp.inf, logits).max(-1)
  top = jnp.maximum(true, others)
  normalizer = top + jnp.log(jnp.exp(logits - top[:, None]).sum(-1))
  loss = jnp.where(counted, normalizer - true, 0.0)
  found = counted & (true > others)
  return (loss, found), (x, table, bias, labels, normalizer)


def _backward(
  residuals: tuple[Any, ...], gradients: tuple[Array, Array]
) -> tuple[Array | None, ...]:
  x, table, bias, labels, normalizer = residuals
  words = table.astype(x.dtype)
  probabilities = jnp.exp(heads.logits(x, words, bias) - normalizer[:, None])
  is_label = labels[:, None] == jnp.arange(len(table))
  weights = jnp.where(labels >= 0, gradients[0], 0.0)
  d_logits = (probabilities - is_label) * weights[:, None]
  d_bias = None if bias is None else d_logits.sum(0)
  # The barrier keeps XLA from recomputing it for each product.
  d_logits = jax.lax.optimization_barrier(d_logits.astype(x.dtype))
  d_x = _product(d_logits, words, (((1,), (0,)), ((), ())))
  d_table = _product(d_logits, x, (((0,), (0,)), ((), ())))
  return d_x.astype(x.dtype), d_table.astype(table.dtype), d_bias, None


cross_entropy.defvjp(_forward, _backward)
