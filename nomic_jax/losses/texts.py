# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The vectors of a batch's texts, which losses of texts have in common."""

from typing import Any
from typing import NamedTuple

from jax import Array
import jax.numpy as jnp

from nomic_jax.losses import transforms
from nomic_jax.model.encoder import Encoder


class Texts(NamedTuple):
  """Texts of a batch, or of some of its slots; N of them.

  Attributes:
    vectors: float32 [N, D], not normalised; arbitrary where absent.
    identity: int32 [N], equal for texts that are the same to the encoder, 0
      where a text is absent.
  """

  vectors: Array
  identity: Array

  def at(self, slots: Array) -> "Texts":
    """The texts in these slots; -1 is absent."""
    there = jnp.maximum(slots, 0)
    return Texts(
      self.vectors[there], jnp.where(slots >= 0, self.identity[there], 0)
    )


class Embedding:
  """Embeds the texts of a batch with an encoder, a chunk of rows at a time.

  Batch:
    inputs: what the encoder takes, a dict of arrays [B, ...] of its own;
    content [B, K] int32: identity of the text in each of the K slots of each
      row, 0 where there is none.
  """

  def __init__(self, encoder: Encoder, chunk_tokens: int = 0):
    """Args: the encoder; and see `transforms.chunked`."""
    self._embed = transforms.chunked(encoder.embed, chunk_tokens)
    self._drops = bool(encoder.dropout)

  def __call__(
    self, params: Any, batch: dict[str, Any], rng: Array | None
  ) -> Texts:
    """All slots of the batch, row by row: [B K].

    Args:
      params: the encoder's.
      batch: see the class.
      rng: for dropout, if the encoder has any; None computes without.
    """
    content = batch["content"]
    vectors = self._embed(
      params, batch["inputs"], content.shape[1], rng if self._drops else None
    )
    return Texts(vectors.reshape(-1, vectors.shape[-1]), content.reshape(-1))
