# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Layers between the pooled vector and the embedding, in order.

They are those of sentence-transformers that follow its Pooling: Dense layers
with their activations, LayerNorms with weights, and vectors normalised before
further layers. What most models have, a norm without weights and one linear
layer, is `EncoderConfig.pooled_norm` and `EncoderConfig.projection`.
"""

from typing import Any

from flax.linen import meta
import jax
from jax import Array
import jax.numpy as jnp

from nomic_jax.model.config import output_name
from nomic_jax.model.config import OutputLayer

ACTIVATIONS = {
    "identity": lambda x: x,
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
}


def apply(
    layers: tuple[OutputLayer, ...], params: dict[str, Any], x: Array
) -> Array:
  """Applies the layers in order, in float32.

  Args:
    layers: of the config.
    params: the encoder's tree, of which `output_name(i)` is layer i.
    x: [..., D].

  Returns:
    [..., width of the last layer].
  """
  for i, layer in enumerate(layers):
    p = meta.unbox(params.get(output_name(i), {}))
    if layer.kind == "normalize":
      square = (x**2).sum(-1, keepdims=True)
      x = x * jax.lax.rsqrt(jnp.maximum(square, 1e-24))
    elif layer.kind == "norm":
      centred = x - x.mean(-1, keepdims=True)
      scale = jax.lax.rsqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
      x = centred * scale * p["scale"] + p["bias"]
    else:
      x = jnp.einsum("...d,dp->...p", x, p["kernel"],
                     precision=jax.lax.Precision.HIGHEST)
      x = ACTIVATIONS[layer.activation](x + p["bias"] if layer.bias else x)
  return x
