# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""InfoNCE with in-batch and hard negatives (Nomic Embed, section 4.2).

Memory is proportional to the vectors rather than to queries times candidates:
see `streamed.cross_entropy`.
"""

from collections.abc import Sequence
import math

from flax import linen as nn
from jax import Array
import jax.numpy as jnp

from nomic_jax.errors import OptionError
from nomic_jax.losses import texts
from nomic_jax.losses import transforms
from nomic_jax.losses.blocks import whole
from nomic_jax.losses.loss import Batch
from nomic_jax.losses.loss import Loss
from nomic_jax.losses.loss import Outcome
from nomic_jax.losses.loss import Params
from nomic_jax.losses.streamed import cross_entropy
from nomic_jax.losses.streamed import dot
from nomic_jax.model.encoder import Encoder


class InfoNCE(Loss):
  """Each query against every candidate of the global batch.

  Batch: that of `texts.Embedding`, and
    query [N], candidate [C] int32: the slot (row · K + slot) of each text; -1
      where there is none, in rows with fewer negatives than others and for
      queries that pad a batch;
    positive [N] int32: index of each query's positive among the candidates.

  A candidate that equals a query's positive, or answers an equal query of the
  batch, is not a negative of it. Duplicate texts count as one negative:
  `data.pairs` lists each distinct candidate once, and with `bidirectional` each
  distinct query is a candidate once.

  Attributes:
    temperature: softmax temperature, or the initial value of a trainable one.
    trainable_temperature: whether to learn it, as log(1/temperature); it stays
      >= 0.01.
    bidirectional: whether to also retrieve queries by documents; the two
      directions have equal weight. (The paper uses one direction.)
    chunk_tokens: GradCache, see `transforms.chunked`.
    matryoshka_dims: see `transforms.matryoshka`.
    matryoshka_weights: see `transforms.matryoshka`.
  """

  similarity = "cosine"
  rows = ("pairs", "triplets", "scores")

  def __init__(
    self,
    encoder: Encoder,
    *,
    temperature: float = 0.02,
    trainable_temperature: bool = False,
    bidirectional: bool = False,
    chunk_tokens: int = 0,
    matryoshka_dims: Sequence[int] = (),
    matryoshka_weights: Sequence[float] = (),
  ):
    if temperature <= 0:
      raise OptionError(
        f"temperature: {temperature} is not above 0; 0.02 is usual"
      )
    encoder.architecture.head.check_one_vector()
    self._encoder = encoder
    self._texts = texts.Embedding(encoder, chunk_tokens)
    self._temperature, self._trainable = temperature, trainable_temperature
    self._bidirectional = bidirectional
    self._widths = transforms.matryoshka(matryoshka_dims, matryoshka_weights)

  def init(self, rng: Array) -> Params:
    """Returns fresh parameters of the encoder and the temperature."""
    params: Params = {"encoder": self._encoder.init(rng)}
    if self._trainable:
      start = lambda: jnp.float32(-math.log(self._temperature))
      params["log_scale"] = nn.with_logical_partitioning(start, ())()
    return params

  def __call__(self, params: Params, batch: Batch, rng: Array) -> Outcome:
    """Computes the loss; see `Loss`."""
    slots = self._texts(params["encoder"], batch, rng)
    queries, group = slots.at(batch["query"])
    candidates, identity = slots.at(batch["candidate"])
    counted = batch["query"] >= 0
    # A query without an identity equals no other.
    alone = jnp.where(counted, -1 - jnp.arange(len(group)), 0)
    group = jnp.where(group == 0, alone, group)
    positive = jnp.where(counted, batch["positive"], -1)
    scale = jnp.float32(1 / self._temperature)
    if self._trainable:
      scale = jnp.exp(jnp.minimum(params["log_scale"], math.log(100.0)))

    def ask(queries, candidates):
      loss, correct = cross_entropy(
        dot, queries, candidates, scale, positive, identity, group
      )
      if self._bidirectional:
        # Swap queries with positives, and groups with identities. Of equal
        # queries, only the first is a candidate.
        first = _first_of_equal(group)
        own = jnp.where(counted, first, -1)
        once = jnp.where(first == jnp.arange(len(first)), group, 0)
        back, _ = cross_entropy(
          dot,
          candidates[positive],
          queries,
          scale,
          own,
          once,
          identity[positive],
        )
        loss = (loss + back) / 2
      return loss, correct.sum()

    loss, correct = self._widths(ask, queries, candidates)
    weight = counted.sum().astype(jnp.float32)
    return loss, weight, {"accuracy": correct}


def _first_of_equal(values: Array) -> Array:
  """Returns the index of the first equal value, int32 [N]."""
  _, first, number = jnp.unique(
    whole(values), return_index=True, return_inverse=True, size=len(values)
  )
  return first[number].astype(jnp.int32)
