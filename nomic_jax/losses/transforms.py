# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Transforms that losses are composed with: chunks and Matryoshka.

GradCache (Gao et al. 2021) is reverse-mode differentiation of `lax.map` over a
rematerialised encoder: the forward pass keeps one embedding per text, and the
backward pass recomputes one chunk at a time.
"""

from collections.abc import Callable
from collections.abc import Sequence
from typing import TypeVar

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float
from jaxtyping import PyTree

from nomic_jax.cli import ranges
from nomic_jax.errors import OptionError
from nomic_jax.mesh import own_rows
from nomic_jax.model.pooling import normalize

# A sum, and what is to be logged.
Summed = tuple[Float[Array, ""], PyTree]

T = TypeVar("T")  # a tree of arrays


def map_chunks(f: Callable[[PyTree], PyTree], n: int, rows: PyTree) -> PyTree:
  """Applies f to n interleaved chunks of the leading axis, rematerialised.

  Chunk i holds rows i, i + n, i + 2n ...: if rows are sharded in blocks over
  devices, each device's rows are spread over all chunks, so no row changes
  device.

  Args:
    f: from a tree of [B/n, ...] arrays to another such tree.
    n: number of chunks; 1 calls f directly and keeps its residuals. If n does
      not divide B, more are used.
    rows: a tree of [B, ...] arrays.

  Returns:
    The results of f for all rows, in order.
  """
  if n == 1:
    return f(rows)
  size = jax.tree.leaves(rows)[0].shape[0]
  n = _divisor(size, n)
  split = lambda x: x.reshape(size // n, n, *x.shape[1:]).swapaxes(0, 1)
  join = lambda x: x.swapaxes(0, 1).reshape(size, *x.shape[2:])
  # lax.map is a scan, which cannot move work across iterations, so preventing
  # common-subexpression elimination would only cost time.
  mapped = jax.lax.map(
    jax.checkpoint(f, prevent_cse=False), jax.tree.map(split, rows)
  )
  return jax.tree.map(join, mapped)


def _divisor(size: int, least: int) -> int:
  """Returns the smallest divisor of `size` from `least` on, or `size`."""
  return next(d for d in range(min(least, size), size + 1) if size % d == 0)


def chunks_of(rows: int, length: int, tokens: int) -> int:
  """Returns the number of equal chunks needed for at most `tokens` per chunk.

  If `tokens` is 0, there is no limit and the result is 1.

  Rows are not split, so a chunk has more tokens if a single row does.
  """
  return _divisor(rows, -(-rows * length // tokens)) if tokens else 1


def chunked(embed: Callable[..., T], tokens: int) -> Callable[..., T]:
  """Returns `Encoder.embed` computed one chunk of rows at a time (GradCache).

  Every array that `embed` returns has the rows of the batch as its first axis.

  If everything fits into one chunk, nothing is computed twice. Given a key,
  each row draws its dropout from its own key, so masks do not depend on chunks
  and are the same when a chunk is recomputed.

  Args:
    embed: see `Encoder.embed`.
    tokens: the largest number of token slots per chunk and device; 0: no limit.
  """
  ranges.at_least("", {"chunk_tokens": tokens}, chunk_tokens=0)
  most = tokens

  def embed_chunks(params, inputs, slots, rng=None):
    # For a device's own rows.
    n_of = lambda inputs: chunks_of(*_rows(inputs), most)
    if rng is None:
      without_keys = lambda params, inputs: map_chunks(
        lambda x: embed(params, x, slots), n_of(inputs), inputs
      )
      return own_rows.by_rows(without_keys)(params, inputs)

    def own(params, rows):
      return map_chunks(
        lambda x: embed(params, x[0], slots, x[1]), n_of(rows[0]), rows
      )

    keys = jax.random.split(rng, _rows(inputs)[0])
    return own_rows.by_rows(own)(params, (inputs, keys))

  return embed_chunks


def _rows(inputs: PyTree) -> tuple[int, int]:
  """Returns the number and length of an encoder's input rows."""
  rows, length = jax.tree.leaves(inputs)[0].shape[:2]
  return rows, length


def matryoshka(
  dims: Sequence[int], weights: Sequence[float]
) -> Callable[[Callable[[Array, Array], Summed], Array, Array], Summed]:
  """Returns a loss of two sets of embeddings summed over truncated widths.

  Matryoshka Representation Learning (Kusupati et al. 2022): vectors are
  truncated to each width and normalized again. Without dims, only the full
  width is used.

  Args:
    dims: widths to truncate to.
    weights: one for each width; empty means 1 each.

  Returns:
    A function apply(loss, queries [Q, D], candidates [C, D]). `loss` returns a
    sum and values to log; `apply` returns the weighted sum of the losses over
    the widths, and the mean of the values to log.
  """
  weights = tuple(weights) or (1.0,) * len(dims)
  if len(weights) != len(dims):
    raise OptionError(
      f"matryoshka_weights: {len(weights)} values for {len(dims)} widths of "
      "matryoshka_dims; specify one for each"
    )
  if any(weight < 0 for weight in weights):
    raise OptionError(
      f"matryoshka_weights: {weights} include a negative weight; expected 0 "
      "or more"
    )

  def apply(loss, queries, candidates):
    width = queries.shape[-1]
    wrong = [d for d in dims if type(d) is not int or not 0 < d <= width]
    if wrong:
      raise OptionError(
        f"matryoshka_dims: {wrong[0]} is not a whole number from 1 to the "
        f"encoder's width {width}"
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
