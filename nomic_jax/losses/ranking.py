# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A margin loss over all pairs of M scores, without the M² pairs."""

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Bool
from jaxtyping import Float


def margin_loss(
  scores: Float[Array, " M"],
  target: Float[Array, " M"],
  margin: float,
  counted: Bool[Array, " M"] | None = None,
) -> Float[Array, ""]:
  """Returns the mean over pairs of relu(margin − (higher − lower)).

  Higher and lower are the two scores in the order of `target`; in a tie the
  later one is higher. The result is exact, in O(M log² M) time and O(M) memory:
  given the number of active pairs in which each score is the higher and the
  lower, the sum is linear in the scores, and so is its gradient.

  Args:
    scores: float32 [M], M >= 2, differentiated.
    target: float32 [M], the desired order of the scores.
    margin: above 0.
    counted: bool [M], which scores count; None: all.

  Returns:
    float32 [].
  """
  if counted is None:
    counted = jnp.ones(len(scores), bool)
  order = jnp.argsort(jnp.where(counted, target, jnp.inf), stable=True)
  scores, counted = scores[order], counted[order]
  # Infinite scores at the end violate no margin.
  lower, higher = _active(
    jnp.where(counted, jax.lax.stop_gradient(scores), jnp.inf), margin
  )
  total = jnp.where(counted, (lower - higher) * scores, 0).sum()
  size = counted.sum().astype(jnp.float32)
  pairs = jnp.maximum(size * (size - 1) / 2, 1)
  return (total + margin * lower.sum()) / pairs


def _active(scores: Array, margin: float) -> tuple[Array, Array]:
  """Counts, for each score, the margin violations with it first and second.

  A pair i < j violates the margin if scores[i] + margin > scores[j]. Every pair
  is counted once, in the round where i is in the left and j in the right half
  of the same block of 2, 4, 8 ... scores. In each round, the margin is added to
  the scores of the left halves and each block is sorted; running counts then
  give, for each score, how many scores of the other half precede it.
  """
  size = len(scores)
  rounds = max(size - 1, 1).bit_length()
  total = 2**rounds
  # Padding is +inf and sorts last, so it violates no margin.
  scores = jnp.pad(scores, (0, total - size), constant_values=jnp.inf)
  position = jnp.arange(total, dtype=jnp.int32)

  def count(level: Array, counts: tuple[Array, Array]) -> tuple[Array, Array]:
    half = jnp.left_shift(1, level)
    block = jnp.right_shift(position, level + 1)
    right = jnp.right_shift(position, level) & 1
    key = jnp.where(right == 1, scores, scores + margin)
    # Among equal keys the left one comes first: it does not violate the margin.
    block, _, right, at = jax.lax.sort(
      (block, key, right, position), num_keys=3
    )
    rights_before = jnp.cumsum(right) - right - block * half
    lefts_before = jnp.cumsum(1 - right) - (1 - right) - block * half
    lower = jnp.where(right == 1, 0, rights_before)
    higher = jnp.where(right == 1, half - lefts_before, 0)
    return (
      counts[0].at[at].add(lower.astype(jnp.float32)),
      counts[1].at[at].add(higher.astype(jnp.float32)),
    )

  zeros = jnp.zeros(total, jnp.float32)
  lower, higher = jax.lax.fori_loop(0, rounds, count, (zeros, zeros))
  return lower[:size], higher[:size]
