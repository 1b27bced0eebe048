# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Transforms that compose with every loss: chunks and Matryoshka.

GradCache (Gao et al. 2021) is what reverse-mode differentiation does to
`lax.map` over a rematerialised encoder: the forward keeps one embedding per
text, the backward recomputes one chunk at a time.
"""

from typing import Any, Callable, Sequence

import jax
from jax import Array
import jax.numpy as jnp

from nomic_jax import partition
from nomic_jax.errors import UserError
from nomic_jax.model.pooling import normalize


def map_chunks(f: Callable[[Any], Any], n: int, rows: Any) -> Any:
  """f over n interleaved chunks of the leading axis, rematerialised.

  Chunk i holds rows i, i + n, i + 2n ...: with rows sharded in blocks over
  devices each device's rows are spread over all chunks, so nothing moves.

  Args:
    f: from a tree of [B/n, ...] arrays to another such tree.
    n: chunks; must divide B. 1 calls f directly and keeps its residuals. Of
      the rows of one device (`partition.by_rows`) as many as n or the next
      more that divide them.
    rows: a tree of [B, ...] arrays.

  Returns:
    f's results for all rows, in order.

  Raises:
    UserError: if n does not divide B.
  """
  if n == 1:
    return f(rows)
  size = jax.tree.leaves(rows)[0].shape[0]
  if partition.on_own_rows():
    n = next(d for d in range(min(n, size), size + 1) if size % d == 0)
  _check_chunks(n, size)
  split = lambda x: x.reshape(size // n, n, *x.shape[1:]).swapaxes(0, 1)
  join = lambda x: x.swapaxes(0, 1).reshape(size, *x.shape[2:])
  # lax.map is a scan, which cannot move work across iterations: the guard
  # against common-subexpression elimination would only cost time.
  mapped = jax.lax.map(
      jax.checkpoint(f, prevent_cse=False), jax.tree.map(split, rows)
  )
  return jax.tree.map(join, mapped)


def _check_chunks(n: int, size: int) -> None:
  if size % n:
    raise UserError(
        f"config.loss.chunks: {n} does not divide {size} rows; "
        "choose a divisor, or a multiple of it for config.data.batch_size and "
        "config.data.rows_multiple"
    )


def chunked(embed: Callable[..., Array], n: int) -> Callable[..., Array]:
  """The same `Encoder.embed`, n chunks of rows at a time (GradCache).

  Given a key, each row draws its dropout from a key of its own: the masks are
  the same for every n, and again when a chunk is recomputed.
  """

  def embed_chunks(params, tokens, slots, rng=None):
    size = tokens["ids"].shape[0]
    _check_chunks(n, size)
    if rng is None:
      own = lambda params, tokens: map_chunks(
          lambda t: embed(params, t, slots), n, tokens)
      return partition.by_rows(own)(params, tokens)

    def embed_row(params, row, key):
      return embed(params, jax.tree.map(lambda x: x[None], row), slots, key)[0]

    def own(params, rows):
      each = jax.vmap(embed_row, in_axes=(None, 0, 0))
      return map_chunks(lambda x: each(params, *x), n, rows)

    keys = jax.random.split(rng, size)
    return partition.by_rows(own)(params, (tokens, keys))

  return embed_chunks


def matryoshka(
    dims: Sequence[int], weights: Sequence[float]
) -> Callable[[Callable[[Array, Array], Any], Array, Array], Any]:
  """A loss of two sets of embeddings, summed over truncated widths.

  Matryoshka Representation Learning (Kusupati et al. 2022): each width is cut
  and normalised again. Without dims, the full width alone.

  Args:
    dims: widths to cut to.
    weights: one for each width; empty means 1 each.

  Returns:
    apply(loss, queries [Q, D], candidates [C, D]), where loss returns its sum
    and what is to be logged: (weighted sum, mean over the widths).
  """
  weights = tuple(weights) or (1.0,) * len(dims)
  if len(weights) != len(dims):
    raise UserError(
        f"config.loss.matryoshka_weights has {len(weights)} values for "
        f"{len(dims)} config.loss.matryoshka_dims; give one for each"
    )

  def apply(loss, queries, candidates):
    width = queries.shape[-1]
    wrong = [d for d in dims if type(d) is not int or not 0 < d <= width]
    if wrong:
      raise UserError(
          f"config.loss.matryoshka_dims: {wrong[0]} is no whole number from 1 "
          f"to the encoder's width {width}"
      )
    total, logged = jnp.float32(0), []
    for dim, weight in zip(dims or (width,), weights or (1.0,)):
      part, sums = loss(
          normalize(queries[:, :dim]), normalize(candidates[:, :dim])
      )
      total += weight * part
      logged.append(sums)
    return total, jax.tree.map(lambda *x: sum(x) / len(x), *logged)

  return apply
