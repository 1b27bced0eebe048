# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Cross-entropy over all pairs of two sets of texts, without storing the pairs.

Pairs are scored by a differentiable function, `score`. The [Q, C] matrix of
logits is never materialised. The loss and, if it is differentiated, both
gradients are computed block by block: one loop over blocks of queries computes
the loss and the gradient of the queries; another, over blocks of candidates,
computes the gradient of the candidates. A block of one set is scored against
the whole other set. On a mesh, where both are sharded, each set is therefore
gathered once and the loop contains no sum over devices; a single pass that
accumulates the candidates' gradient would need one in every block.
"""

from collections.abc import Callable
import functools
from typing import Any
from typing import NamedTuple

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float
from jaxtyping import Float32
from jaxtyping import Int
from jaxtyping import PyTree
from jaxtyping import UInt32

from nomic_jax.losses import negatives
from nomic_jax.losses.blocks import map_blocks
from nomic_jax.losses.blocks import whole

# True float32: by default accelerators multiply in bfloat16 or TF32, and a
# temperature of 0.02 multiplies their errors by fifty.
_EXACT = jax.lax.Precision.HIGHEST


# Maps [q, ...] queries and [c, ...] candidates, trees of float arrays, to
# scores.
Score = Callable[[PyTree, PyTree], Float32[Array, "q c"]]


def dot(
  queries: Float[Array, "q D"], candidates: Float[Array, "c D"]
) -> Float32[Array, "q c"]:
  """Returns dot products of [q, D] and [c, D]; a `Score`."""
  return jnp.einsum(
    "qd,cd->qc",
    queries,
    candidates,
    precision=_EXACT,
    preferred_element_type=jnp.float32,
  )


class _Queries(NamedTuple):
  """Queries to score.

  Attributes:
    vectors: [q, ...], a tree.
    positive: int32 [q], the index of each one's positive; -1 if absent.
    identity: int32 [q], of the positive.
    group: uint32 [q, words], at most one bit, see `negatives.answers`.
  """

  vectors: PyTree
  positive: Int[Array, " q"]
  identity: Int[Array, " q"]
  group: UInt32[Array, "q words"]


class _Answers(NamedTuple):
  """Which candidates answer which queries.

  Attributes:
    positive: int32 [Q], the candidate of each query; -1 for absent queries.
    identity: int32 [C], equal for equal texts; 0 for absent candidates.
    group: uint32 [Q, words], at most one bit, see `negatives.answers`.
    groups: uint32 [C, words], groups of the queries it answers.
  """

  positive: Int[Array, " Q"]
  identity: Int[Array, " C"]
  group: UInt32[Array, "Q words"]
  groups: UInt32[Array, "C words"]


class _Candidates(NamedTuple):
  """Candidates to score.

  Attributes:
    vectors: [c, ...], a tree.
    place: int32 [c], index among all candidates.
    identity: int32 [c], equal for equal texts; 0 if absent.
    groups: uint32 [c, words], groups of the queries it answers.
  """

  vectors: PyTree
  place: Int[Array, " c"]
  identity: Int[Array, " c"]
  groups: UInt32[Array, "c words"]


def cross_entropy(
  score: Score,
  queries: PyTree,
  candidates: PyTree,
  scale: Float[Array, ""],
  positive: Int[Array, " Q"],
  identity: Int[Array, " C"],
  group: Int[Array, " Q"] | None = None,
) -> tuple[Float[Array, ""], Float[Array, " Q"]]:
  """Computes, for each query, logsumexp(logits) − logit of the positive.

  A logit is `scale` times the score of a query and a candidate. A candidate is
  a negative of a query unless it equals the query's positive or is the positive
  of an equal query.

  The difference is taken before summing, in float32, which is ten times more
  accurate than reading a log-softmax at the positive.

  Args:
    score: differentiable, and independent for each pair: it is called for
      blocks of queries with all candidates, and vice versa.
    queries: float32 [Q, D], or another input of `score`: a tree of float arrays
      [Q, ...], such as a vector and a weight for each token.
    candidates: likewise, [C, ...].
    scale: float32 [], inverse temperature.
    positive: int32 [Q], the candidate that answers each query; -1 for absent
      queries, whose loss is 0.
    identity: int32 [C], equal for equal texts and 0 for absent candidates.
    group: int32 [Q], equal for equal queries and 0 for absent ones; None if all
      queries differ.

  Returns:
    The sum over queries, and for each [Q] whether its positive scores highest
    (1.0 or 0.0), which has no gradient.
  """
  everywhere = whole((positive, identity, group))
  if group is None:  # then the identity of a query's positive is its group
    everywhere = *everywhere[:2], everywhere[1][everywhere[0]]
  answers = _Answers(positive, identity, *whole(negatives.answers(*everywhere)))
  return _cross_entropy(score, queries, candidates, scale, answers)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _cross_entropy(
  score: Score,
  queries: PyTree,
  candidates: PyTree,
  scale: Array,
  answers: _Answers,
) -> tuple[Array, Array]:
  loss, correct, *_ = _of_queries(
    score, queries, candidates, scale, answers, gradient=False
  )
  return loss.sum(), correct


def _forward(
  score: Score,
  queries: PyTree,
  candidates: PyTree,
  scale: Array,
  answers: _Answers,
) -> tuple[tuple[Array, Array], tuple[PyTree, ...]]:
  about = score, queries, candidates, scale, answers
  loss, correct, total, others, d_scale, d_queries = _of_queries(
    *about, gradient=True
  )
  d_candidates = _of_candidates(*about, total, others)
  return (loss.sum(), correct), (scale, d_queries, d_candidates, d_scale.sum())


def _backward(
  score: Score, saved: tuple[PyTree, ...], cotangent: tuple[Array, Array]
) -> tuple[PyTree, ...]:
  del score
  scale, d_queries, d_candidates, d_scale = saved
  by_logit = cotangent[0]
  by_score = lambda tree: jax.tree.map(lambda x: by_logit * scale * x, tree)
  return by_score(d_queries), by_score(d_candidates), by_logit * d_scale, None


_cross_entropy.defvjp(_forward, _backward)


def _of_queries(
  score: Score,
  queries: PyTree,
  candidates: PyTree,
  scale: Array,
  answers: _Answers,
  gradient: bool,
) -> tuple[Any, ...]:
  """Computes the loss and the queries' gradient by blocks of queries.

  Returns:
    Loss [Q]; correct [Q]; and with `gradient`: the log of the softmax
    denominator [Q]; the softmax probability of all candidates other than the
    positive [Q]; gradient with respect to the scale [Q], and to (scale ·
    queries) [Q, ...].
  """
  positive, identity, group, groups = answers
  rows = _Queries(queries, positive, identity[positive], group)
  candidates, identity = whole((candidates, identity))
  everyone = _Candidates(
    candidates, jnp.arange(len(identity)), identity, groups
  )

  def of_block(rows: _Queries) -> tuple[PyTree, ...]:
    scores, back = jax.vjp(
      lambda queries: score(queries, candidates), rows.vectors
    )
    logits, own = _logits(scale * scores, rows, everyone)
    counted = rows.positive >= 0
    true = jnp.where(own, logits, 0).sum(1)
    total = jnp.where(counted, jax.nn.logsumexp(logits, axis=1), jnp.inf)
    loss = jnp.where(counted, total - true, 0)
    correct = (counted & (true >= logits.max(1))).astype(jnp.float32)
    if not gradient:
      return loss, correct
    excess, others = _excess(logits, own, total)
    return (
      loss,
      correct,
      total,
      others,
      (excess * scores).sum(1),
      *back(excess),
    )

  return map_blocks(of_block, _rows(queries), rows)


def _of_candidates(
  score: Score,
  queries: PyTree,
  candidates: PyTree,
  scale: Array,
  answers: _Answers,
  total: Array,
  others: Array,
) -> PyTree:
  """Computes the gradient with respect to (scale · candidates), [C, ...]."""
  positive, identity, group, groups = answers
  rows = _Candidates(candidates, jnp.arange(len(identity)), identity, groups)
  queries, positive, everyones, total, others = whole(
    (queries, positive, identity, total, others)
  )
  # Indexes whole sets, so devices exchange nothing.
  everyone = _Queries(queries, positive, everyones[positive], group)

  def of_block(rows: _Candidates) -> PyTree:
    scores, back = jax.vjp(
      lambda candidates: score(queries, candidates), rows.vectors
    )
    logits, own = _logits(scale * scores, everyone, rows)
    # Constrained again inside the loop: with few queries, which are one block,
    # the partitioner would otherwise gather these in each iteration.
    excess, _ = _excess(logits, own, *whole((total, others)))
    return back(excess)[0]

  return map_blocks(of_block, _rows(queries), rows)


def _logits(
  logits: Array, queries: _Queries, candidates: _Candidates
) -> tuple[Array, Array]:
  """Returns the logits, −inf where masked, and a boolean mask of the positives.

  Both are [q, c]; one of the two sets is a block.
  """
  own = queries.positive[:, None] == candidates.place
  seen = own | ~negatives.left_out(
    queries.identity, queries.group, candidates.identity, candidates.groups
  )
  return jnp.where(seen, logits, -jnp.inf), own


def _excess(
  logits: Array, own: Array, total: Array, others: Array | None = None
) -> tuple[Array, Array]:
  """Returns softmax − onehot(positive) [q, c], and the sum of the others [q].

  The sum is over all candidates but the positive. The entry of the positive is
  computed as minus this sum, because softmax − 1 would lose all significant
  digits for a query whose positive has nearly all of the probability.
  """
  share = jnp.where(own, 0, jnp.exp(logits - total[:, None]))
  if others is None:
    others = share.sum(1)
  return jnp.where(own, -others[:, None], share), others


def _rows(vectors: PyTree) -> int:
  """Returns the number of rows per block.

  The logits of a block take no more memory than the vectors of the other set.
  """
  return max(sum(x[0].size for x in jax.tree.leaves(vectors)), 8)
