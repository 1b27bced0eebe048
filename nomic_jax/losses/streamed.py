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
from jax.sharding import PartitionSpec
from jaxtyping import Bool
from jaxtyping import Float
from jaxtyping import Float32
from jaxtyping import Int
from jaxtyping import PyTree
from jaxtyping import UInt32

# True float32: by default accelerators multiply in bfloat16 or TF32, and a
# temperature of 0.02 multiplies their errors by fifty.
_EXACT = jax.lax.Precision.HIGHEST


def map_blocks(
  f: Callable[[PyTree], PyTree], most: int, rows: PyTree
) -> PyTree:
  """Applies f to blocks of at most `most` rows of the leading axis in sequence.

  Blocks are interleaved, so that each has an equal part of every device's rows,
  and their number is a power of two. If the number of blocks does not divide
  the number of rows, rows of zeros are appended and their results are dropped.

  Args:
    f: from a tree of [R, ...] arrays to another such tree.
    most: the largest number of rows in a block.
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


# Sets of queries are stored in this many 32-bit words: see `_answers`.
_WORDS = 8


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
    group: uint32 [q, _WORDS], at most one bit, see `_answers`.
  """

  vectors: PyTree
  positive: Int[Array, " q"]
  identity: Int[Array, " q"]
  group: UInt32[Array, "q words"]


class _Candidates(NamedTuple):
  """Candidates to score.

  Attributes:
    vectors: [c, ...], a tree.
    place: int32 [c], index among all candidates.
    identity: int32 [c], equal for equal texts; 0 if absent.
    groups: uint32 [c, _WORDS], groups of the queries it answers.
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
  return _cross_entropy(
    score,
    queries,
    candidates,
    scale,
    positive,
    identity,
    *whole(_answers(*everywhere)),
  )


def negatives(
  positive: Int[Array, " Q"],
  identity: Int[Array, " C"],
  group: Int[Array, " Q"],
) -> Bool[Array, "Q C"]:
  """Returns which candidates are negatives of which queries, bool [Q, C].

  For losses that hold all pairs; arguments are those of `cross_entropy`.
  """
  group, groups = _answers(positive, identity, group)
  no_vectors = jnp.zeros(())
  return ~_left_out(
    _Queries(no_vectors, positive, identity[positive], group),
    _Candidates(no_vectors, jnp.arange(len(identity)), identity, groups),
  )


def _answers(
  positive: Array, identity: Array, group: Array
) -> tuple[Array, Array]:
  """Encodes as bits which candidates answer which groups of equal queries.

  A group of equal queries has a bit if it has several distinct positives; one
  with a single positive is matched by the identity. There are bits for 256
  groups. If there are more groups, some share a bit; documents that answer one
  of them are then not used as negatives of the others either.

  Returns:
    The bit of each query, uint32 [Q, _WORDS], zero if its group has none; and
    those of the groups that each candidate answers, [C, _WORDS].
  """
  changed = lambda x: jnp.concatenate([jnp.ones(1, bool), x[1:] != x[:-1]])
  before = lambda x: jnp.concatenate(
    [jnp.zeros_like(x[:1]), jnp.cumsum(x, axis=0, dtype=x.dtype)]
  )
  find = lambda ordered, x: tuple(
    jnp.searchsorted(ordered, x, side=side) for side in ("left", "right")
  )
  # Distinct pairs of a group and the identity of a positive, sorted by group.
  own = jnp.where(positive >= 0, identity[positive], 0)
  of_pair, own = jax.lax.sort((group, own), num_keys=2)
  starts = changed(of_pair)
  distinct = (starts | changed(own)) & (own != 0)
  first, after = find(of_pair, of_pair)
  counts = before(distinct.astype(jnp.int32))
  several = counts[after] - counts[first] > 1
  number = (jnp.cumsum(several & starts) - 1) % (32 * _WORDS)

  def bits(number: Array, there: Array) -> Array:
    word, bit = jnp.divmod(number, 32)
    bit = jnp.where(there, jnp.left_shift(1, bit).astype(jnp.uint32), 0)
    return jnp.where(word[:, None] == jnp.arange(_WORDS), bit[:, None], 0)

  at, _ = find(of_pair, group)
  of_query = bits(number[at], several[at])
  # The same by identity, each bit once, so that sums (mod 2^32) are unions.
  own, number, there = jax.lax.sort(
    (own, number, (distinct & several).astype(jnp.int32)), num_keys=3
  )
  last = jnp.concatenate(
    [(own[1:] != own[:-1]) | (number[1:] != number[:-1]), jnp.ones(1, bool)]
  )
  sums = before(bits(number, last & (there == 1)))
  first, after = find(own, identity)
  return of_query, sums[after] - sums[first]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _cross_entropy(
  score: Score,
  queries: PyTree,
  candidates: PyTree,
  scale: Array,
  positive: Array,
  identity: Array,
  group: Array,
  groups: Array,
) -> tuple[Array, Array]:
  loss, correct, *_ = _of_queries(
    score,
    queries,
    candidates,
    scale,
    positive,
    identity,
    group,
    groups,
    gradient=False,
  )
  return loss.sum(), correct


def _forward(
  score: Score,
  queries: PyTree,
  candidates: PyTree,
  scale: Array,
  positive: Array,
  identity: Array,
  group: Array,
  groups: Array,
) -> tuple[tuple[Array, Array], tuple[PyTree, ...]]:
  about = score, queries, candidates, scale, positive, identity, group, groups
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
  return (
    by_score(d_queries),
    by_score(d_candidates),
    by_logit * d_scale,
    None,
    None,
    None,
    None,
  )


_cross_entropy.defvjp(_forward, _backward)


def _of_queries(
  score: Score,
  queries: PyTree,
  candidates: PyTree,
  scale: Array,
  positive: Array,
  identity: Array,
  group: Array,
  groups: Array,
  gradient: bool,
) -> tuple[Any, ...]:
  """Computes the loss and the queries' gradient by blocks of queries.

  Returns:
    Loss [Q]; correct [Q]; and with `gradient`: the log of the softmax
    denominator [Q]; the softmax probability of all candidates other than the
    positive [Q]; gradient with respect to the scale [Q], and to (scale ·
    queries) [Q, ...].
  """
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
  positive: Array,
  identity: Array,
  group: Array,
  groups: Array,
  total: Array,
  others: Array,
) -> PyTree:
  """Computes the gradient with respect to (scale · candidates), [C, ...]."""
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
  seen = own | ~_left_out(queries, candidates)
  return jnp.where(seen, logits, -jnp.inf), own


def _left_out(queries: _Queries, candidates: _Candidates) -> Array:
  """Returns which candidates are not negatives, bool [q, c]."""
  masked = (queries.identity[:, None] == candidates.identity) | (
    candidates.identity == 0
  )
  for group, groups in zip(queries.group.T, candidates.groups.T):
    masked |= (group[:, None] & groups) != 0
  return masked


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


def whole(arrays: PyTree) -> PyTree:
  """Replicates arrays over the devices of the current mesh, if any.

  Otherwise the partitioner would gather a part in each iteration of the loop.
  """
  if jax.sharding.get_abstract_mesh().empty:
    return arrays
  return jax.lax.with_sharding_constraint(arrays, PartitionSpec())
