# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""CoSENT (Su 2022): pairs with higher scores should have larger cosines.

Only the order of the scores counts. The loss is log(1 + sum of exp(scale · (s_i
- s_j))) over all i and j of the batch where pair j has the higher score, as in
CoSENTLoss of sentence-transformers, but without computing N² differences.
"""

from collections.abc import Sequence

import jax
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
from nomic_jax.model.encoder import Encoder

_LOWEST = -1e30  # in place of -inf, whose differences are NaN


class CoSENT(Loss):
  """Compares cosines of pairs with their scores, over the whole batch.

  Batch: that of `texts.Embedding`, and, as `data.pairs` makes them for
  config.data.kind=scores,
    query [N], candidate [N] int32: the slot (row · K + slot) of each text; -1
      in pairs that pad a batch;
    positive [N] int32: index of each query's text among the candidates;
    score [N] float32: similarity of the pair, on any scale.

  Attributes:
    scale: factor of the similarities; larger ones weight the worst pairs more.
    chunk_tokens: GradCache, see `transforms.chunked`.
    matryoshka_dims, matryoshka_weights: see `transforms.matryoshka`.
  """

  rows = ("scores",)
  similarity = "cosine"

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
    """Returns initial parameters; see `Loss`."""
    return {"encoder": self._encoder.init(rng)}

  def compare(self, first: Array, second: Array) -> Array:
    """Returns the similarities [N] of unit vectors [N, D] and [N, D]."""
    return (first * second).sum(-1)

  def __call__(self, params: Params, batch: Batch, rng: Array) -> Outcome:
    """Computes the loss; see `Loss`."""
    slots = self._texts(params["encoder"], batch, rng)
    counted = batch["query"] >= 0
    own = batch["candidate"][batch["positive"]]
    scores = batch["score"]

    def ask(first: Array, second: Array) -> tuple[Array, Array]:
      alike = self._scale * self.compare(first, second)
      alike, wanted, there = whole((alike, scores, counted))
      return order_loss(alike, wanted, there), jnp.float32(0)

    first, second = slots.at(batch["query"]), slots.at(own)
    loss, _ = self._widths(ask, first.vectors, second.vectors)
    # One value for the batch, weighted by its number of pairs.
    weight = counted.sum().astype(jnp.float32)
    return loss * weight, weight, {}


def order_loss(scores: Array, target: Array, counted: Array) -> Array:
  """Returns log(1 + sum of exp(scores_i - scores_j) where target_i < target_j).

  Takes O(N log N): after sorting by target, the sum over all j above i is a
  running sum.

  Args:
    scores: float32 [N], differentiated.
    target: float32 [N], the order that the scores should have.
    counted: bool [N], whether a pair counts.
  """
  key = jnp.where(counted, -target, jnp.inf)
  order = jnp.argsort(key)
  key, scores, counted = key[order], scores[order], counted[order]
  higher = jax.lax.cumlogsumexp(jnp.where(counted, -scores, _LOWEST))
  # The number of targets above each; equal targets are not above each other.
  above = jnp.searchsorted(key, key, side="left")
  terms = jnp.where(
    counted & (above > 0), scores + higher[jnp.maximum(above - 1, 0)], _LOWEST
  )
  return jax.nn.logsumexp(jnp.concatenate([jnp.zeros(1), terms]))
