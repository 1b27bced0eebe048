# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""CoSENT (Su 2022): pairs that are more alike are to have the larger cosine.

Only the order of the scores counts. It is log(1 + sum of exp(scale · (s_i -
s_j))) over all i and j of the batch where pair j has the higher score, as
CoSENTLoss of sentence-transformers computes, but without the N² differences.
"""

from collections.abc import Sequence

import jax
from jax import Array
import jax.numpy as jnp

from nomic_jax.errors import OptionError
from nomic_jax.losses import texts
from nomic_jax.losses import transforms
from nomic_jax.losses.loss import Batch
from nomic_jax.losses.loss import Loss
from nomic_jax.losses.loss import Outcome
from nomic_jax.losses.loss import Params
from nomic_jax.losses.streamed import whole
from nomic_jax.model.encoder import Encoder

_LOWEST = -1e30  # in place of -inf, whose differences are NaN


class CoSENT(Loss):
  """Cosines of pairs against their scores, over the whole batch.

  Batch: that of `texts.Embedding`, and, as `data.pairs` makes them for
  config.data.kind=scores,
    query [N], candidate [N] int32: which slot (row · K + slot) holds a text;
      -1: absent, of a query that fills up a batch;
    positive [N] int32: index of each query's text among the candidates;
    score [N] float32: how alike the two are, on any scale.

  Attributes:
    scale: of the similarities; the larger, the more the worst pairs count.
    chunk_tokens: GradCache, see `transforms.chunked`.
    matryoshka_dims, matryoshka_weights: see `transforms.matryoshka`.
  """

  rows = "scores"

  def __init__(
    self,
    encoder: Encoder,
    *,
    scale: float = 20.0,
    chunk_tokens: int = 0,
    matryoshka_dims: Sequence[int] = (),
    matryoshka_weights: Sequence[float] = (),
  ):
    if not scale > 0:
      raise OptionError(f"scale: {scale} is not above 0; 20 is usual")
    encoder.architecture.head.check_one_vector()
    self._encoder, self._scale = encoder, scale
    self._texts = texts.Embedding(encoder, chunk_tokens)
    self._widths = transforms.matryoshka(matryoshka_dims, matryoshka_weights)

  def init(self, rng: Array) -> Params:
    return {"encoder": self._encoder.init(rng)}

  def similarity(self, first: Array, second: Array) -> Array:
    """Similarities [N] of unit vectors [N, D] and [N, D]."""
    return (first * second).sum(-1)

  def __call__(self, params: Params, batch: Batch, rng: Array) -> Outcome:
    slots = self._texts(params["encoder"], batch, rng)
    counted = batch["query"] >= 0
    own = batch["candidate"][batch["positive"]]
    scores = batch["score"]

    def ask(first: Array, second: Array) -> tuple[Array, Array]:
      alike = self._scale * self.similarity(first, second)
      alike, wanted, there = whole((alike, scores, counted))
      return order_loss(alike, wanted, there), jnp.float32(0)

    first, second = slots.at(batch["query"]), slots.at(own)
    loss, _ = self._widths(ask, first.vectors, second.vectors)
    # One figure of the batch, weighted by its pairs.
    weight = counted.sum().astype(jnp.float32)
    return loss * weight, weight, {}


def order_loss(scores: Array, target: Array, counted: Array) -> Array:
  """log(1 + sum of exp(scores_i - scores_j) where target_i < target_j).

  In O(N log N): sorted by target, the sum over all j above i is a running one.

  Args:
    scores: float32 [N], differentiated.
    target: float32 [N], whose order the scores are to have.
    counted: bool [N], which count.
  """
  key = jnp.where(counted, -target, jnp.inf)
  order = jnp.argsort(key)
  key, scores, counted = key[order], scores[order], counted[order]
  higher = jax.lax.cumlogsumexp(jnp.where(counted, -scores, _LOWEST))
  # How many have a target above each one's; of equal targets none has.
  above = jnp.searchsorted(key, key, side="left")
  terms = jnp.where(
    counted & (above > 0), scores + higher[jnp.maximum(above - 1, 0)], _LOWEST
  )
  return jax.nn.logsumexp(jnp.concatenate([jnp.zeros(1), terms]))
