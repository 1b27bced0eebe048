# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Embedding the texts of a batch, which losses of texts share."""

from typing import NamedTuple

from jax import Array
import jax.numpy as jnp
from jaxtyping import Float
from jaxtyping import Int
from jaxtyping import PyTree

from nomic_jax.losses import transforms
from nomic_jax.losses.loss import Batch
from nomic_jax.losses.loss import Params
from nomic_jax.model.encoder import Encoder


class Texts(NamedTuple):
  """The texts in all slots of a batch, or in N of them.

  Attributes:
    vectors: float32 [N, D], not normalized; arbitrary where absent.
    identity: int32 [N], equal for texts that are the same to the encoder, 0
      where a text is absent.
  """

  vectors: Float[Array, "N D"]
  identity: Int[Array, " N"]


class Slots(NamedTuple):
  """All slots of a batch, row by row.

  Attributes:
    vectors: float32 [B K, D], see `Texts`.
    identity: int32 [B K], see `Texts`.
    router: statistics of the B rows, see `Embedded`.
  """

  vectors: Float[Array, "N D"]
  identity: Int[Array, " N"]
  router: PyTree

  def at(self, slots: Int[Array, " M"]) -> Texts:
    """Returns the texts in these slots; -1 is absent."""
    index = jnp.maximum(slots, 0)
    return Texts(
      self.vectors[index], jnp.where(slots >= 0, self.identity[index], 0)
    )


class Embedding:
  """Embeds the texts of a batch with an encoder, one chunk of rows at a time.

  Batch:
    inputs: those of the encoder, a nested dict of arrays [B, ...];
    content [B, K] int32: identity of the text in each of the K slots of each
      row, 0 where there is none.
  """

  def __init__(self, encoder: Encoder, chunk_tokens: int = 0):
    """Uses `encoder` in chunks; see `transforms.chunked`."""
    self._embed = transforms.chunked(encoder.embed, chunk_tokens)
    self._drops = bool(encoder.dropout)

  def __call__(self, params: Params, batch: Batch, rng: Array | None) -> Slots:
    """Returns all slots of the batch.

    Args:
      params: the encoder's.
      batch: see the class.
      rng: for dropout, if the encoder has any; None disables it.
    """
    content = batch["content"]
    vectors, router = self._embed(
      params, batch["inputs"], content.shape[1], rng if self._drops else None
    )
    flat = vectors.reshape(-1, vectors.shape[-1])
    return Slots(flat, content.reshape(-1), router)
