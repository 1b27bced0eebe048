# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""What stands on top of the encoder while it trains."""

from flax import linen as nn
from jax import Array
import jax.numpy as jnp

from nomic_jax.model import encoder
from nomic_jax.model.config import EncoderConfig


class MLMHead(nn.Module):
  """BERT's masked-language-model head, tied to the word embedding.

  dense D→D, activation, LayerNorm, decoder. The activation is the encoder's,
  SiLU where that is swiglu, and GELU where it is gated otherwise.
  Dense and decoder have a bias iff `config.mlp_in_bias`, as published.
  """

  config: EncoderConfig
  dtype: str = "float32"

  @nn.compact
  def __call__(self, hidden: Array, word_embedding: Array) -> Array:
    """[N, D] hidden states and the [V, D] table to float32 [N, V] logits."""
    c = self.config
    gated = {"swiglu": "silu", "geglu": "gelu", "glu": "gelu"}
    act = encoder.ACTIVATIONS[gated.get(c.activation, c.activation)]
    dense = encoder.dense(
        c, c.width, ("embed", "embed_out"), c.mlp_in_bias, self.dtype,
        "transform",
    )
    x = encoder.norm(c, "norm")(act(dense(hidden)))
    logits = jnp.einsum(
        "nd,vd->nv", x.astype(self.dtype), word_embedding.astype(self.dtype),
        preferred_element_type=jnp.float32,
    )
    if c.mlp_in_bias:
      init = nn.with_logical_partitioning(nn.initializers.zeros, ("vocab",))
      logits += self.param("bias", init, (c.vocab_size,))
    return logits
