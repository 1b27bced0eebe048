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


class ClassificationHead(nn.Module):
  """BERT's sequence classifier: pooler, dropout, dense D→labels.

  Params: `pooler` {kernel [D, D], bias [D]} and `classifier`
  {kernel [D, labels], bias [labels]}, a tree that a loss keeps beside its
  `encoder` as `classification_head`. transformers calls them
  `bert.pooler.dense` and `classifier`, and applies tanh to the first.

  It is applied to the first token of each text. From packed rows those are

    first = encoder.with_pooling("cls").embed(params, tokens, slots, rng)
    logits = head.apply({"params": head_params}, first)  # [B, slots, labels]

  and with dropout, `rngs={"dropout": key}` and `train=True`.

  Attributes:
    config: of the encoder.
    labels: classes; 1 for a regression.
    dtype: of the matmuls.
    dropout: between pooler and classifier, when training.
  """

  config: EncoderConfig
  labels: int
  dtype: str = "float32"
  dropout: float = 0.0

  @nn.compact
  def __call__(self, first: Array, train: bool = False) -> Array:
    """[..., D] hidden states of first tokens to float32 [..., labels]."""
    dense = lambda features, axes, name: encoder.dense(
        self.config, features, axes, True, self.dtype, name
    )
    width = self.config.width
    x = jnp.tanh(dense(width, ("embed", "embed_out"), "pooler")(first))
    x = nn.Dropout(self.dropout, deterministic=not train)(x)
    x = dense(self.labels, ("embed", "labels"), "classifier")(x)
    return x.astype(jnp.float32)
