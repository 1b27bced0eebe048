# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Distillation from another model's vectors of the same texts.

The teacher is a pair of files of vectors that the data chain adds to the batch
(config.data.teacher; `nomic-jax teach` makes them with any model). The teacher
model is therefore not run during training and takes no device memory; its
vectors are ordinary arrays of the batch, so GradCache needs no special case.
"""

import functools

import jax
from jax import Array
import jax.numpy as jnp

from nomic_jax.errors import check_choice
from nomic_jax.errors import OptionError
from nomic_jax.losses import ranking
from nomic_jax.losses import texts
from nomic_jax.losses.blocks import map_blocks
from nomic_jax.losses.loss import Batch
from nomic_jax.losses.loss import Loss
from nomic_jax.losses.loss import Outcome
from nomic_jax.losses.loss import Params
from nomic_jax.losses.streamed import cross_entropy
from nomic_jax.losses.streamed import dot
from nomic_jax.mesh import own_rows
from nomic_jax.model.encoder import Encoder
from nomic_jax.model.pooling import normalize

# Weights of the terms of the relational loss (Stella; Zhang et al. 2024).
_COSINE, _SIMILARITY, _RANKING, _MARGIN = 10.0, 200.0, 20.0, 0.015
_KD, _KD_TEMPERATURE = 1000.0, 0.02
_ABSENT = -1e30  # a logit with softmax 0, avoiding the NaN of infinities


class Distill(Loss):
  """Compares unit vectors of queries q and documents d with the teacher's.

  Batch: that of `InfoNCE` (hard negatives are not used), and
    teacher_query, teacher_document [N, T] float32: the teacher's vectors of
    each query and its positive.

  Attributes:
    kind: the loss. Unless noted otherwise, it is computed for queries and for
      documents, and the two are added.
      mse: mean squared difference of the vectors' elements.
      kd: 1000 · KL(teacher ‖ student) of the softmax of q·d over the documents
        of the batch, at `temperature`, plus InfoNCE at 0.02.
      towers: mean of four InfoNCE at `temperature`: q to d, q to the teacher's
        q, d to the teacher's d, q to the teacher's d.
      relational: 10 · (1 − cosine to the teacher's vector) + 200 · mean squared
        difference of the similarities within the batch + 20 · mean of
        relu(0.015 − (s_i − s_j)), for the student's similarities s, over all
        pairs i, j for which the teacher's similarity i is larger than j.
    temperature: see kind.
    chunk_tokens: GradCache, see `transforms.chunked`.

  All but kd require the teacher's width, which the encoder's projection can
  provide.
  """

  similarity = "cosine"
  rows = ("pairs", "triplets", "scores")

  def __init__(
    self,
    encoder: Encoder,
    *,
    kind: str = "relational",
    temperature: float = 1.0,
    chunk_tokens: int = 0,
  ):
    kinds = {
      "mse": self._mse,
      "kd": self._kd,
      "towers": self._towers,
      "relational": self._relational,
    }
    check_choice("kind", kind, kinds)
    if temperature <= 0:
      raise OptionError(
        f"temperature: {temperature} is not above 0; 1 is usual"
      )
    encoder.architecture.head.check_one_vector()
    self._kind, self._mean = kind, kinds[kind]
    self._encoder, self._temperature = encoder, temperature
    self._texts = texts.Embedding(encoder, chunk_tokens)

  def init(self, rng: Array) -> Params:
    """Returns fresh parameters of the encoder."""
    return {"encoder": self._encoder.init(rng)}

  def __call__(self, params: Params, batch: Batch, rng: Array) -> Outcome:
    """Computes the loss; see `Loss`."""
    slots = self._texts(params["encoder"], batch, rng)
    counted = batch["query"] >= 0  # the rest fills up the batch
    sides = [
      slots.at(jnp.where(counted, side, -1))
      for side in (batch["query"], batch["candidate"][batch["positive"]])
    ]
    student = tuple(normalize(side.vectors) for side in sides)
    teacher = tuple(
      normalize(batch[f"teacher_{side}"]) for side in ("query", "document")
    )
    self._check_width(student[0].shape[1], teacher[0].shape[1])
    identity = tuple(side.identity for side in sides)
    weight = counted.sum().astype(jnp.float32)
    mean, parts = self._mean(student, teacher, identity, counted)
    return weight * mean, weight, {k: weight * v for k, v in parts.items()}

  def _check_width(self, ours: int, theirs: int) -> None:
    if self._kind != "kd" and ours != theirs:
      raise OptionError(
        f"kind: {self._kind} needs vectors of equal width, but the teacher's "
        f"have width {theirs} and the student's {ours}; set the encoder's "
        f"projection to {theirs}, or kind to kd, which compares similarities"
      )

  def _mse(self, student, teacher, identity, counted):
    del identity
    return sum(
      _mean(((s - t) ** 2).mean(1), counted) for s, t in zip(student, teacher)
    ), {}

  def _kd(self, student, teacher, identity, counted):
    (q, d), (tq, td) = student, teacher

    def divergence(documents, there, queries):
      student, target = (
        jax.nn.log_softmax(
          jnp.where(there, _products(a, b) / self._temperature, _ABSENT), axis=1
        )
        for a, b in zip(queries, documents)
      )
      return (jnp.exp(target) * (target - student)).sum(1)

    def in_blocks(everywhere, queries):
      block = jax.checkpoint(functools.partial(divergence, *everywhere))
      return map_blocks(block, max(q.shape[1], 8), queries)

    # Each device handles its own queries: documents are gathered once, and
    # their gradient is summed over devices once rather than in every block.
    rows = own_rows.by_rows(in_blocks)(((d, td), counted), (q, tq))
    kl = _mean(rows, counted)
    nce = _contrast(q, d, identity, _KD_TEMPERATURE, counted)
    return _KD * kl + nce, {"kl": kl, "info_nce": nce}

  def _towers(self, student, teacher, identity, counted):
    (q, d), (tq, td), t = student, teacher, self._temperature
    terms = {
      "query_document": _contrast(q, d, identity, t, counted),
      "query": _contrast(q, tq, identity[:1] * 2, t, counted),
      "document": _contrast(d, td, identity[1:] * 2, t, counted),
      "query_teacher_document": _contrast(q, td, identity, t, counted),
    }
    return sum(terms.values()) / len(terms), terms

  def _relational(self, student, teacher, identity, counted):
    del identity
    zero = jnp.float32(0)
    parts = {"cosine": zero, "similarity": zero, "ranking": zero}
    pairs = counted[:, None] & counted
    upper = jnp.triu_indices(len(counted), 1)
    for s, t in zip(student, teacher):
      parts["cosine"] += _COSINE * (1 - _mean((s * t).sum(1), counted))
      ours, theirs = _products(s, s), _products(t, t)
      parts["similarity"] += _SIMILARITY * _mean((ours - theirs) ** 2, pairs)
      parts["ranking"] += _RANKING * ranking.margin_loss(
        ours[upper], theirs[upper], _MARGIN, pairs[upper]
      )
    return sum(parts.values()), parts


def _mean(values: Array, counted: Array) -> Array:
  """Returns the mean of the values that count; 0 if none does."""
  total = jnp.where(counted, values, 0).sum()
  return total / jnp.maximum(counted.sum(), 1)


def _products(a: Array, b: Array) -> Array:
  return jnp.matmul(a, b.T, precision=jax.lax.Precision.HIGHEST)


def _contrast(
  a: Array,
  b: Array,
  identity: tuple[Array, Array],
  temperature: float,
  counted: Array,
) -> Array:
  """Returns the mean InfoNCE of a's rows against b's.

  `identity` has the identities of the texts of a and of those of b.
  """
  own = jnp.where(counted, jnp.arange(len(a), dtype=jnp.int32), -1)
  total, _ = cross_entropy(
    dot, a, b, jnp.float32(1 / temperature), own, identity[1], identity[0]
  )
  return total / jnp.maximum(counted.sum(), 1)
