# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Predicting classes or numbers from a text or pair of texts (such as GLUE)."""

from typing import cast

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float32
import optax

from nomic_jax.cli import ranges
from nomic_jax.errors import check_choice
from nomic_jax.errors import OptionError
from nomic_jax.losses import texts
from nomic_jax.losses.loss import Batch
from nomic_jax.losses.loss import Outcome
from nomic_jax.losses.loss import Params
from nomic_jax.losses.loss import Predictor
from nomic_jax.model.encoder import Encoder
from nomic_jax.model.heads import ClassificationHead

KINDS = ("single", "multi", "regression")


class Classification(Predictor):
  """Cross-entropy of labels, or squared error of numbers.

  Batch: that of `texts.Embedding`, where only the shape of `content` is used;
    text [N] int32: the slot (row · K + slot) of each text;
    labels [N, M] float32: classes or numbers, NaN where a text has fewer. A
      text without labels does not count.

  Attributes:
    kind: single (softmax over the classes, one label), multi (a sigmoid per
      class, any number of labels) or regression (mean squared error).
    labels: number of classes; for regression, the number of values to predict
      per text, which must equal M.
    chunk_tokens: GradCache, see `transforms.chunked`.
  """

  rows = ("labels",)

  def __init__(
    self,
    encoder: Encoder,
    *,
    kind: str = "single",
    labels: int = 2,
    chunk_tokens: int = 0,
  ):
    check_choice("kind", kind, KINDS)
    self._compare = {
      "single": self._single,
      "multi": self._multi,
      "regression": self._regression,
    }[kind]
    ranges.at_least("", {"labels": labels}, labels=1)
    self._encoder, self._labels = encoder, labels
    # The head has its own dense layer after pooling.
    pooled = encoder.with_pooling(encoder.architecture.classifier.pooling)
    self._texts = texts.Embedding(pooled, chunk_tokens)
    self._head = ClassificationHead(
      encoder.architecture, labels, encoder.dtype, encoder.head_dropout
    )

  def init(self, rng: Array) -> Params:
    """Returns fresh parameters of the encoder and the head."""
    encoder_rng, head_rng = jax.random.split(rng)
    first = jnp.zeros((1, self._encoder.architecture.width))
    return {
      "encoder": self._encoder.init(encoder_rng),
      "classification_head": self._head.init(head_rng, first)["params"],
    }

  def predict(self, params: Params, batch: Batch) -> Float32[Array, "N labels"]:
    """Returns logits of classes, or numbers, without dropout: [N, labels]."""
    return self._logits(params, batch, None)

  def _logits(self, params: Params, batch: Batch, rng: Array | None) -> Array:
    encoder_rng, head_rng = (
      (None, None) if rng is None else (jax.random.split(rng))
    )
    slots = self._texts(params["encoder"], batch, encoder_rng)
    first = slots.vectors[batch["text"]]
    logits = self._head.apply(
      {"params": params["classification_head"]},
      first,
      rng is not None,
      rngs=None if head_rng is None else {"dropout": head_rng},
    )
    return cast(Array, logits)

  def __call__(self, params: Params, batch: Batch, rng: Array) -> Outcome:
    """Computes the loss; see `Loss`."""
    drops = self._encoder.dropout or self._encoder.head_dropout
    logits = self._logits(params, batch, rng if drops else None)
    labels = batch["labels"]
    counted = ~jnp.isnan(labels).all(1)
    loss, sums = self._compare(logits, labels)
    sum_counted = lambda x: jnp.where(counted, x, 0.0).sum()
    return (
      sum_counted(loss),
      counted.sum().astype(jnp.float32),
      {name: sum_counted(x) for name, x in sums.items()},
    )

  def _single(
    self, logits: Array, labels: Array
  ) -> tuple[Array, dict[str, Array]]:
    label = jnp.nan_to_num(labels[:, 0]).astype(jnp.int32)
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, label)
    return loss, {"accuracy": logits.argmax(1) == label}

  def _multi(
    self, logits: Array, labels: Array
  ) -> tuple[Array, dict[str, Array]]:
    label = jnp.where(jnp.isnan(labels), -1, labels).astype(jnp.int32)
    chosen = jax.nn.one_hot(label, self._labels).max(1)
    loss = optax.sigmoid_binary_cross_entropy(logits, chosen).mean(1)
    # A text is correct if all of its classes are.
    return loss, {"accuracy": ((logits > 0) == (chosen > 0)).all(1)}

  def _regression(
    self, logits: Array, labels: Array
  ) -> tuple[Array, dict[str, Array]]:
    if labels.shape[1] != self._labels:
      raise OptionError(
        f"labels: {self._labels} numbers to predict, but the rows have "
        f"{labels.shape[1]}; they must be equal"
      )
    known = ~jnp.isnan(labels)
    error = jnp.where(known, logits - jnp.nan_to_num(labels), 0.0)
    count = jnp.maximum(known.sum(1), 1)
    return (error**2).sum(1) / count, {
      "absolute_error": jnp.abs(error).sum(1) / count
    }
