# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Which candidates are negatives of which queries.

A candidate is a negative of a query unless it equals the query's positive or is
the positive of an equal query. Pairs are never listed: sets of queries are
bits, so that a block of any size is compared without its pairs with others.
"""

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Bool
from jaxtyping import Int
from jaxtyping import UInt32

# Sets of queries are stored in this many 32-bit words: see `answers`.
WORDS = 8


def of(
  positive: Int[Array, " Q"],
  identity: Int[Array, " C"],
  group: Int[Array, " Q"],
) -> Bool[Array, "Q C"]:
  """Returns which candidates are negatives of which queries, bool [Q, C].

  For losses that hold all pairs; arguments are those of `cross_entropy`.
  """
  bits, groups = answers(positive, identity, group)
  return ~left_out(identity[positive], bits, identity, groups)


def left_out(
  own: Int[Array, " q"],
  group: UInt32[Array, "q words"],
  identity: Int[Array, " c"],
  groups: UInt32[Array, "c words"],
) -> Bool[Array, "q c"]:
  """Returns which candidates are no negatives of which queries.

  Args:
    own: the identity of each query's positive.
    group: of each query, as `answers` returns it.
    identity: of each candidate; 0 if absent.
    groups: of each candidate, as `answers` returns them.
  """
  masked = (own[:, None] == identity) | (identity == 0)
  for one, several in zip(group.T, groups.T):
    masked |= (one[:, None] & several) != 0
  return masked


def answers(
  positive: Int[Array, " Q"],
  identity: Int[Array, " C"],
  group: Int[Array, " Q"],
) -> tuple[UInt32[Array, "Q words"], UInt32[Array, "C words"]]:
  """Encodes as bits which candidates answer which groups of equal queries.

  A group of equal queries has a bit if it has several distinct positives; one
  with a single positive is matched by the identity. There are bits for 256
  groups. If there are more groups, some share a bit; documents that answer one
  of them are then not used as negatives of the others either.

  Returns:
    The bit of each query, uint32 [Q, WORDS], zero if its group has none; and
    those of the groups that each candidate answers, [C, WORDS].
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
  number = (jnp.cumsum(several & starts) - 1) % (32 * WORDS)

  def bits(number: Array, there: Array) -> Array:
    word, bit = jnp.divmod(number, 32)
    bit = jnp.where(there, jnp.left_shift(1, bit).astype(jnp.uint32), 0)
    return jnp.where(word[:, None] == jnp.arange(WORDS), bit[:, None], 0)

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
