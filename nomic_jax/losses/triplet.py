# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The triplet loss (Schroff et al. 2015)."""

from collections.abc import Callable

from jax import Array
import jax.numpy as jnp

from nomic_jax.errors import one_of
from nomic_jax.errors import OptionError
from nomic_jax.losses import texts
from nomic_jax.losses.loss import Batch
from nomic_jax.losses.loss import Loss
from nomic_jax.losses.loss import Outcome
from nomic_jax.losses.loss import Params
from nomic_jax.model.encoder import Encoder
from nomic_jax.model.pooling import normalize

_EPS = 1e-6  # added to each difference, as in torch's pairwise_distance


def _cosine(a: Array, b: Array) -> Array:
  return 1 - (normalize(a) * normalize(b)).sum(-1)


def _euclidean(a: Array, b: Array) -> Array:
  return jnp.sqrt(((a - b + _EPS) ** 2).sum(-1))


def _manhattan(a: Array, b: Array) -> Array:
  return jnp.abs(a - b + _EPS).sum(-1)


# Distances [N] of vectors [N, D] and [N, D], and their default margins.
DISTANCES: dict[str, tuple[Callable[[Array, Array], Array], float]] = {
  "cosine": (_cosine, 0.3),
  "euclidean": (_euclidean, 5.0),
  "manhattan": (_manhattan, 5.0),
}


class Triplet(Loss):
  """The mean of max(0, d(query, positive) - d(query, negative) + margin).

  Batch: that of `texts.Embedding`, and, as `data.pairs` makes them for
  config.data.kind=triplets,
    query [N] int32: the slot (row · K + slot) of each query; -1: absent;
    text [N · (1 + M)] int32: the slots of the N positives, then of the M
      negatives of each query; -1 if a row has fewer.

  Each negative of a row makes a separate triplet.

  Attributes:
    distance: a name in DISTANCES, by which the trained model is compared, too;
      euclidean and manhattan use vectors that are not normalized.
    margin: None: the default of the distance.
    chunk_tokens: GradCache, see `transforms.chunked`.
  """

  rows = ("triplets",)
  similarity = "cosine"  # unless `distance` is another

  def __init__(
    self,
    encoder: Encoder,
    *,
    distance: str = "cosine",
    margin: float | None = None,
    chunk_tokens: int = 0,
  ):
    one_of(
      distance,
      DISTANCES,
      f"distance: no distance '{distance}'",
      error=OptionError,
    )
    self.similarity = distance
    self._distance, usual = DISTANCES[distance]
    self._margin = usual if margin is None else margin
    if self._margin < 0:
      raise OptionError(f"margin: {margin} is below 0; {usual} is usual")
    encoder.architecture.head.check_one_vector()
    self._encoder = encoder
    self._texts = texts.Embedding(encoder, chunk_tokens)

  def init(self, rng: Array) -> Params:
    """Returns initial parameters; see `Loss`."""
    return {"encoder": self._encoder.init(rng)}

  def __call__(self, params: Params, batch: Batch, rng: Array) -> Outcome:
    """Computes the loss; see `Loss`."""
    slots = self._texts(params["encoder"], batch, rng)
    count = len(batch["query"])
    negatives = batch["text"][count:]
    each = len(negatives) // count
    if not each:
      raise OptionError(
        "name: the triplet loss needs negatives; set config.data.negatives to "
        "1 or more"
      )
    query = slots.at(batch["query"]).vectors
    near = self._distance(query, slots.at(batch["text"][:count]).vectors)
    negative = slots.at(negatives).vectors.reshape(count, each, -1)
    far = self._distance(query[:, None], negative)
    there = (batch["query"] >= 0)[:, None] & (
      negatives.reshape(count, each) >= 0
    )
    gap = far - near[:, None]
    loss = jnp.where(there, jnp.maximum(self._margin - gap, 0), 0).sum()
    right = (there & (gap > 0)).sum()
    return loss, there.sum().astype(jnp.float32), {"accuracy": right}
