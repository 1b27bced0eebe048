# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Transforms that compose with every loss: chunks and Matryoshka.

GradCache (Gao et al. 2021) is what reverse-mode differentiation does to
`lax.map` over a rematerialised encoder: the forward keeps one embedding per
text, the backward recomputes one chunk at a time.
"""

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import jax
from jax import Array
import jax.numpy as jnp

from nomic_jax.cli import ranges
from nomic_jax.errors import OptionError
from nomic_jax.mesh import partition
from nomic_jax.model.pooling import normalize


def map_chunks(f: Callable[[Any], Any], n: int, rows: Any) -> Any:
  """F over n interleaved chunks of the leading axis, rematerialised.

  Chunk i holds rows i, i + n, i + 2n ...: with rows sharded in blocks over
  devices each device's rows are spread over all chunks, so nothing moves.

  Args:
    f: from a tree of [B/n, ...] arrays to another such tree.
    n: chunks; 1 calls f directly and keeps its residuals. If n does not
      divide B there are more.
    rows: a tree of [B, ...] arrays.

  Returns:
    f's results for all rows, in order.
  """
  if n == 1:
    return f(rows)
  size = jax.tree.leaves(rows)[0].shape[0]
  n = _divisor(size, n)
  split = lambda x: x.reshape(size // n, n, *x.shape[1:]).swapaxes(0, 1)
  join = lambda x: x.swapaxes(0, 1).reshape(size, *x.shape[2:])
  # lax.map is a scan, which cannot move work across iterations: the guard
  # against common-subexpression elimination would only cost time.
  mapped = jax.lax.map(
    jax.checkpoint(f, prevent_cse=False), jax.tree.map(split, rows)
  )
  return jax.tree.map(join, mapped)


def _divisor(size: int, least: int) -> int:
  """The least number from `least` on that divides `size`; size if none."""
  return next(d for d in range(min(least, size), size + 1) if size % d == 0)


def chunks_of(rows: int, length: int, tokens: int) -> int:
  """In how many equal chunks rows have at most `tokens` each; 0: all at once.

  Rows stay whole, so a chunk may have more where one row has.
  """
  return _divisor(rows, -(-rows * length // tokens)) if tokens else 1


def chunked(embed: Callable[..., Array], tokens: int) -> Callable[..., Array]:
  """The same `Encoder.embed`, a chunk of rows after the other (GradCache).

  What fits into one chunk is not computed twice. Given a key, each row draws
  its dropout from a key of its own: the masks are the same for all chunks, and
  again when a chunk is recomputed.

  Args:
    embed: see `Encoder.embed`.
    tokens: the most token slots of a chunk, of one device; 0: all of them.
  """
  ranges.at_least("", {"chunk_tokens": tokens}, chunk_tokens=0)
  most = tokens

  def embed_chunks(params, inputs, slots, rng=None):
    # Of a device's own rows.
    n_of = lambda inputs: chunks_of(*_rows(inputs), most)
    if rng is None:
      own = lambda params, inputs: map_chunks(
        lambda x: embed(params, x, slots), n_of(inputs), inputs
      )
      return partition.by_rows(own)(params, inputs)

    def own(params, rows):
      return map_chunks(
        lambda x: embed(params, x[0], slots, x[1]), n_of(rows[0]), rows
      )

    keys = jax.random.split(rng, _rows(inputs)[0])
    return partition.by_rows(own)(params, (inputs, keys))

  return embed_chunks


def _rows(inputs: Any) -> tuple[int, int]:
  """How many rows an encoder's inputs have, and how long they are."""
  rows, length = jax.tree.leaves(inputs)[0].shape[:2]
  return rows, length


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
    raise OptionError(
      f"matryoshka_weights: {len(weights)} values for {len(dims)} widths of "
      "matryoshka_dims; give one for each"
    )

  def apply(loss, queries, candidates):
    width = queries.shape[-1]
    wrong = [d for d in dims if type(d) is not int or not 0 < d <= width]
    if wrong:
      raise OptionError(
        f"matryoshka_dims: {wrong[0]} is no whole number from 1 "
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
