# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Cross-entropy over all pairs of two sets of vectors, without the pairs.

[Q, C] logits never exist. The loss and, if it is differentiated, both
gradients are computed block by block in one go: blocks of queries give the
loss and the queries' gradient, blocks of candidates the candidates'. A block
of one set meets the other set whole, so that on a mesh, where both lie spread
over the devices, each set is gathered once, and no sum over devices is left
for the loop: a single pass that adds up the candidates' gradient would need
one in every block.
"""

from typing import Any, Callable

import jax
from jax import Array
from jax.sharding import PartitionSpec
import jax.numpy as jnp

# Float32 in earnest: by default accelerators multiply in bfloat16 or TF32, and
# a temperature of 0.02 makes their errors fifty times as large.
_EXACT = jax.lax.Precision.HIGHEST


def map_blocks(f: Callable[[Any], Any], most: int, rows: Any) -> Any:
  """f over blocks of at most `most` rows of the leading axis, one by one.

  Blocks are interleaved, so that each holds an equal part of every device's
  rows, and a power of two in number; where that does not divide the rows, the
  last places are filled with zeros and their results left out.

  Args:
    f: from a tree of [R, ...] arrays to another such tree.
    most: rows of a block.
    rows: a tree of [N, ...] arrays.
  """
  size = jax.tree.leaves(rows)[0].shape[0]
  blocks = 1
  while blocks * most < size:
    blocks *= 2
  if blocks == 1:
    return f(rows)
  filled = -(-size // blocks) * blocks

  def split(x: Array) -> Array:
    if filled > size:
      x = jnp.pad(x, [(0, filled - size)] + [(0, 0)] * (x.ndim - 1))
    return x.reshape(-1, blocks, *x.shape[1:]).swapaxes(0, 1)

  join = lambda x: x.swapaxes(0, 1).reshape(filled, *x.shape[2:])[:size]
  return jax.tree.map(join, jax.lax.map(f, jax.tree.map(split, rows)))


@jax.custom_vjp
def cross_entropy(
    queries: Array, candidates: Array, scale: Array, positive: Array,
    identity: Array,
) -> tuple[Array, Array]:
  """Per query, logsumexp(logits) − logit of the positive.

  The difference is taken before any sum, in float32: ten times more accurate
  than a log-softmax read at the positive.

  Args:
    queries: float32 [Q, D].
    candidates: float32 [C, D].
    scale: float32 [], inverse temperature.
    positive: int32 [Q], the candidate that answers each query.
    identity: int32 [C], equal for equal texts and 0 for absent candidates. A
      copy of the positive elsewhere in the batch is no negative.

  Returns:
    The sum over queries, and for each [Q] whether its positive scores highest
    (1.0 or 0.0), which has no gradient.
  """
  loss, correct, *_ = _of_queries(
      queries, candidates, scale, positive, identity, gradient=False
  )
  return loss.sum(), correct


def _forward(
    queries: Array, candidates: Array, scale: Array, positive: Array,
    identity: Array,
) -> tuple[tuple, tuple]:
  loss, correct, total, others, d_queries = _of_queries(
      queries, candidates, scale, positive, identity, gradient=True
  )
  d_scale = (d_queries * queries).sum()
  d_candidates = _of_candidates(
      queries, candidates, scale, positive, identity, total, others
  )
  return (loss.sum(), correct), (scale, d_queries, d_candidates, d_scale)


def _backward(saved: tuple, cotangent: tuple) -> tuple:
  scale, d_queries, d_candidates, d_scale = saved
  by_logit = cotangent[0]
  by_vector = by_logit * scale
  return (
      by_vector * d_queries, by_vector * d_candidates, by_logit * d_scale,
      None, None,
  )


cross_entropy.defvjp(_forward, _backward)


def _of_queries(
    queries: Array, candidates: Array, scale: Array, positive: Array,
    identity: Array, gradient: bool,
) -> tuple[Array, ...]:
  """All that blocks of queries give.

  Returns:
    Loss [Q]; correct [Q]; and with `gradient`: log of the softmax's
    denominator [Q]; the share of it that is not the positive's [Q]; gradient
    by (scale · queries) [Q, D].
  """
  rows = queries, positive, identity[positive]
  candidates, identity = _whole((candidates, identity))
  places = jnp.arange(candidates.shape[0])

  def score(rows: tuple) -> tuple:
    q, positive, own_identity = rows
    logits, own = _logits(
        q, candidates, scale, positive, own_identity, places, identity
    )
    true = jnp.where(own, logits, 0).sum(1)
    total = jax.nn.logsumexp(logits, axis=1)
    correct = (true >= logits.max(1)).astype(jnp.float32)
    if not gradient:
      return total - true, correct
    excess, others = _excess(logits, own, total)
    d_q = jnp.matmul(excess, candidates, precision=_EXACT)
    return total - true, correct, total, others, d_q

  return map_blocks(score, _rows(queries), rows)


def _of_candidates(
    queries: Array, candidates: Array, scale: Array, positive: Array,
    identity: Array, total: Array, others: Array,
) -> Array:
  """Gradient by (scale · candidates), [C, D], from blocks of candidates."""
  rows = candidates, jnp.arange(candidates.shape[0]), identity
  queries, positive, everyones, total, others = _whole(
      (queries, positive, identity, total, others)
  )
  own_identity = everyones[positive]  # of a whole set: nothing is exchanged

  def score(rows: tuple) -> Array:
    c, place, identity = rows
    logits, own = _logits(
        queries, c, scale, positive, own_identity, place, identity
    )
    # Said again inside the loop: of few queries, which are one block, the
    # partitioner would else gather these in each of its turns.
    excess, _ = _excess(logits, own, *_whole((total, others)))
    return jnp.matmul(excess.T, queries, precision=_EXACT)

  return map_blocks(score, _rows(queries), rows)


def _logits(
    queries: Array, candidates: Array, scale: Array, positive: Array,
    own_identity: Array, places: Array, identity: Array,
) -> tuple[Array, Array]:
  """Logits, −inf where there is no negative; and where the positives are.

  Args:
    queries, candidates: [q, D] and [c, D], of which one is a block.
    scale: inverse temperature.
    positive, own_identity: [q], place and identity of each query's positive.
    places, identity: [c], of each candidate.
  """
  logits = scale * jnp.einsum(
      "qd,cd->qc", queries, candidates, precision=_EXACT,
      preferred_element_type=jnp.float32,
  )
  own = positive[:, None] == places
  copy = own_identity[:, None] == identity
  return jnp.where(own | ~(copy | (identity == 0)), logits, -jnp.inf), own


def _excess(
    logits: Array, own: Array, total: Array, others: Array | None = None
) -> tuple[Array, Array]:
  """Softmax less one at the positive; and the softmax's sum elsewhere [q].

  At the positive it is minus that sum: the difference to one would lose all
  digits of a query that is answered well.
  """
  share = jnp.where(own, 0, jnp.exp(logits - total[:, None]))
  if others is None:
    others = share.sum(1)
  return jnp.where(own, -others[:, None], share), others


def _rows(vectors: Array) -> int:
  """Rows of a block, so that its logits take no more than the other set."""
  return max(vectors.shape[1], 8)


def _whole(arrays: Any) -> Any:
  """The arrays, all of them on every device of the mesh that is set, if any.

  Left to itself the partitioner gathers a piece in each turn of the loop.
  """
  if jax.sharding.get_abstract_mesh().empty:
    return arrays
  return jax.lax.with_sharding_constraint(arrays, PartitionSpec())
