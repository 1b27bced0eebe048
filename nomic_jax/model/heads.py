# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""What stands on top of the encoder while it trains."""

from flax import linen as nn
import jax
from jax import Array
import jax.numpy as jnp

from nomic_jax.model import layers
from nomic_jax.model.architecture import Architecture


class MLMHead(nn.Module):
  """The masked-language-model head, tied to the word embedding.

  dense D→D, activation, norm, decoder: see `architecture.Prediction`.
  """

  architecture: Architecture
  dtype: str = "float32"

  @nn.compact
  def __call__(self, hidden: Array, word_embedding: Array) -> Array:
    """[N, D] hidden states and the [V, D] table to float32 [N, V] logits."""
    a = self.architecture
    p = a.prediction
    x = layers.dense(
      a.width,
      ("embed", "embed_out"),
      p.bias,
      a.initializer_range,
      self.dtype,
      "transform",
    )(hidden)
    x = layers.norm(p.norm, "norm")(layers.ACTIVATIONS[p.activation](x))
    logits = jnp.einsum(
      "nd,vd->nv",
      x.astype(self.dtype),
      word_embedding.astype(self.dtype),
      preferred_element_type=jnp.float32,
    )
    if p.bias:
      init = nn.with_logical_partitioning(nn.initializers.zeros, ("vocab",))
      logits += self.param("bias", init, (a.vocab_size,))
    return logits


# Activations of `architecture.Classifier`.
CLASSIFIERS = {"tanh": jnp.tanh, "relu": jax.nn.relu}


class ClassificationHead(nn.Module):
  """A sequence classifier: pooler, activation, dropout, dense D→labels.

  The activation and where else there is dropout are the architecture's, see
  `architecture.Classifier`.

  Params: `pooler` {kernel [D, D], bias [D]} and `classifier`
  {kernel [D, labels], bias [labels]}, a tree that a loss keeps beside its
  `encoder` as `classification_head`. For BERT transformers calls them
  `bert.pooler.dense` and `classifier`.

  It is applied to the first token of each text. From packed rows those are

    first = encoder.with_pooling("cls").embed(params, tokens, slots, rng)
    logits = head.apply({"params": head_params}, first)  # [B, slots, labels]

  and with dropout, `rngs={"dropout": key}` and `train=True`.

  Attributes:
    architecture: of the encoder.
    labels: classes; 1 for a regression.
    dtype: of the matmuls.
    dropout: between pooler and classifier, when training.
  """

  architecture: Architecture
  labels: int
  dtype: str = "float32"
  dropout: float = 0.0

  @nn.compact
  def __call__(self, first: Array, train: bool = False) -> Array:
    """[..., D] hidden states of first tokens to float32 [..., labels]."""
    a = self.architecture
    width = a.width
    dense = lambda features, axes, name: layers.dense(
      features, axes, True, a.initializer_range, self.dtype, name
    )
    drop = nn.Dropout(self.dropout, deterministic=not train)
    x = drop(first) if a.classifier.drops_input else first
    x = dense(width, ("embed", "embed_out"), "pooler")(x)
    x = drop(CLASSIFIERS[a.classifier.activation](x))
    x = dense(self.labels, ("embed", "labels"), "classifier")(x)
    return x.astype(jnp.float32)
