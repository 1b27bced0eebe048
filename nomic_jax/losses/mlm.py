# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Masked language modelling (Devlin et al. 2019; Nomic Embed, section 4.1)."""

from typing import cast

from flax.linen import meta
import jax
from jax import Array
import jax.numpy as jnp

from nomic_jax.cli import ranges
from nomic_jax.losses import transforms
from nomic_jax.losses import vocabulary
from nomic_jax.losses.loss import Batch
from nomic_jax.losses.loss import Loss
from nomic_jax.losses.loss import Outcome
from nomic_jax.losses.loss import Params
from nomic_jax.mesh import own_rows
from nomic_jax.model.encoder import Encoder
from nomic_jax.model.heads import MLMHead


class MLM(Loss):
  """Cross-entropy of the masked tokens only.

  Batch: `inputs`, those of the encoder, with masked ids [B, S]; `masked`
  int32 [B, M], the positions to predict; `labels` int32 [B, M], the true ids,
  -1 for none. Only the M hidden states per row are multiplied by the
  vocabulary.

  Attributes:
    chunks: number of chunks in which the product with the vocabulary is
      computed, so that [B·M, V] logits never exist at once. Each chunk reads
      the whole table and adds to its whole gradient.
  """

  perplexity = True  # exp(loss) is the perplexity
  by_row = True
  similarity = ""
  rows = ("text",)

  def __init__(self, encoder: Encoder, *, chunks: int = 1):
    ranges.at_least("", {"chunks": chunks}, chunks=1)
    self._encoder, self._chunks = encoder, chunks
    self._head = MLMHead(encoder.architecture, encoder.dtype)

  def init(self, rng: Array) -> Params:
    """Returns fresh parameters of the encoder and the head."""
    encoder_rng, head_rng = jax.random.split(rng)
    params = self._encoder.init(encoder_rng)
    table = meta.unbox(params)["word"]["embedding"]
    hidden = jnp.zeros((1, self._encoder.architecture.width))
    head = self._head.init(head_rng, hidden, table)["params"]
    return {"encoder": params, "mlm_head": head}

  def __call__(self, params: Params, batch: Batch, rng: Array) -> Outcome:
    """Computes the loss; see `Loss`."""
    if self._encoder.dropout:  # the same masks on any number of devices
      rng = own_rows.key_of_each_row(rng, len(batch["labels"]))
    hidden = self._encoder.apply(params["encoder"], batch["inputs"], rng)
    chosen = jnp.take_along_axis(hidden, batch["masked"][:, :, None], axis=1)
    # Gathered once for all chunks.
    head = meta.unbox(params["mlm_head"])
    table = meta.unbox(params["encoder"]["word"]["embedding"])

    def score(rows):
      chosen, labels = rows
      x = self._head.apply(
        {"params": head}, chosen.reshape(-1, chosen.shape[-1])
      )
      loss, found = vocabulary.cross_entropy(
        cast(Array, x), table, head.get("bias"), labels.reshape(-1)
      )
      return (
        loss.reshape(labels.shape).sum(-1),
        found.reshape(labels.shape).sum(-1),
      )

    loss, correct = transforms.map_chunks(
      score, self._chunks, (chosen, batch["labels"])
    )
    weight = (batch["labels"] >= 0).sum().astype(jnp.float32)
    correct = correct.sum().astype(jnp.float32)
    return loss.sum(), weight, {"accuracy": correct}
