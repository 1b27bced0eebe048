# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Heads on top of the encoder during training."""

from typing import cast

from flax import linen as nn
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float
from jaxtyping import Float32

from nomic_jax.model import layers
from nomic_jax.model.architecture import Architecture


class MLMHead(nn.Module):
  """The masked-language-model head, tied to the word embedding.

  dense D→E, activation, norm, decoder: see `architecture.Prediction`. E is the
  width of the word embedding, in most families D.
  """

  architecture: Architecture
  dtype: str = "float32"

  @nn.compact
  def __call__(
    self,
    hidden: Float[Array, "N D"],
    word_embedding: Float[Array, "V E"] | None = None,
  ) -> Float[Array, "N columns"]:
    """Maps hidden states [N, D] and table [V, E] to float32 logits [N, V].

    Without a table, returns the left operand of the product with it: [N, E], in
    the dtype of the head.
    """
    a = self.architecture
    p = a.prediction
    x = layers.dense(
      a.table_width,
      ("embed", "embed_out"),
      bool(p.dense_bias),
      a.fresh(output=True),
      self.dtype,
      "transform",
    )(hidden)
    x = layers.norm(p.norm, "norm")(layers.ACTIVATIONS[p.activation](x))
    x = x.astype(self.dtype)
    if word_embedding is None:
      return x
    bias = None
    if p.bias:
      init = nn.with_logical_partitioning(nn.initializers.zeros, ("vocab",))
      bias = cast(Array, self.param("bias", init, (a.vocab_size,)))
    return logits(x, word_embedding.astype(self.dtype), bias)


def logits(
  x: Float[Array, "N E"],
  words: Float[Array, "V E"],
  bias: Float32[Array, " V"] | None,
) -> Float32[Array, "N V"]:
  """Returns x [N, E] times the word embeddings [V, E].T, plus the bias."""
  y = jnp.einsum("nd,vd->nv", x, words, preferred_element_type=jnp.float32)
  return y if bias is None else y + bias


class ClassificationHead(nn.Module):
  """A sequence classifier: see `architecture.Classifier`.

  Params: `pooler` {kernel [D, D], bias [D]}, `norm` if there is one, and
  `classifier` {kernel [D, labels], bias [labels]}. A loss keeps this tree as
  `classification_head` beside its `encoder`. In transformers' BERT, the two
  layers are `bert.pooler.dense` and `classifier`.

  The head is applied to the pooled hidden states of each text (BERT: the first
  token's). For packed rows:

    pooling = encoder.architecture.classifier.pooling
    encoder = encoder.with_pooling(pooling)
    pooled, _ = encoder.embed(params, tokens, slots, rng)
    logits = head.apply({"params": head_params}, pooled)  # [B, slots, labels]

  With dropout, also pass `rngs={"dropout": key}` and `train=True`.

  Attributes:
    architecture: the architecture of the encoder.
    labels: classes; 1 for a regression.
    dtype: the dtype of the matmuls.
    dropout: before the classifier, when training.
  """

  architecture: Architecture
  labels: int
  dtype: str = "float32"
  dropout: float = 0.0

  @nn.compact
  def __call__(
    self, pooled: Float[Array, "*rows D"], train: bool = False
  ) -> Float32[Array, "*rows labels"]:
    """Maps pooled hidden states [..., D] to float32 [..., labels]."""
    a = self.architecture
    c = a.classifier
    drop = nn.Dropout(self.dropout, deterministic=not train)
    x = drop(pooled) if c.drops_input else pooled
    x = layers.dense(
      a.width,
      ("embed", "embed_out"),
      c.bias,
      a.fresh(output=True),
      self.dtype,
      "pooler",
    )(x)
    x = layers.ACTIVATIONS[c.activation](x)
    if c.norm:
      x = layers.norm(c.norm, "norm")(x)
    x = layers.dense(
      self.labels,
      ("embed", "labels"),
      True,
      a.fresh(),
      self.dtype,
      "classifier",
    )(drop(x))
    return x.astype(jnp.float32)
