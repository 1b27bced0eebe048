# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Texts to vectors, a window of consecutive texts at a time."""

import collections
from collections.abc import Iterable
from collections.abc import Iterator
from concurrent import futures
from typing import NamedTuple

import numpy as np
import tokenizers

from nomic_jax.data.pack import Ids
from nomic_jax.embed import quantize
from nomic_jax.embed.embedding_model import unit
from nomic_jax.embed.inference import Block
from nomic_jax.embed.inference import Embedder
from nomic_jax.storage import decoding
from nomic_jax.text.shorten import shorten
from nomic_jax.text.special_tokens import SpecialTokens

# Texts that are tokenised, packed and embedded together: this many, or fewer
# if they are long.
_WINDOW = 4096
_WINDOW_CHARACTERS = 1_000_000


class Vectors(NamedTuple):
  """Vectors of consecutive texts.

  Attributes:
    vectors: [N, columns], as returned by `encode`.
    cut: how many of the N texts were longer than `max_tokens`.
    broken: indices of vectors that are not finite.
  """

  vectors: np.ndarray
  cut: int
  broken: np.ndarray


class Pipeline(NamedTuple):
  """Tokenises, packs and embeds any number of texts.

  Attributes:
    tokenizer: the tokenizer.
    special: its special tokens.
    embedder: embeds token ids.
    max_tokens: longer texts are truncated to this.
  """

  tokenizer: tokenizers.Tokenizer
  special: SpecialTokens
  embedder: Embedder
  max_tokens: int

  def vectors(
    self,
    texts: Iterable[str],
    front: str,
    dim: int | None,
    normalize: bool,
    precision: str,
  ) -> Iterator[Vectors]:
    """Yields the vectors of each window.

    Args:
      texts: the texts.
      front: put before each text.
      dim: how many dimensions to keep; None keeps all.
      normalize: whether to scale vectors to length 1.
      precision: one of `quantize.PRECISIONS`.
    """
    with futures.ThreadPoolExecutor(1) as worker:
      # One window is tokenised and packed while the previous one is embedded.
      pending = collections.deque()
      for window in _windows(texts, front):
        pending.append(worker.submit(self._prepare, window))
        if len(pending) > 1:
          yield self._finish(pending.popleft(), dim, normalize, precision)
      while pending:
        yield self._finish(pending.popleft(), dim, normalize, precision)

  def identities(self, texts: Iterable[str]) -> list[bytes]:
    """Returns the token ids of each text as bytes."""
    return [
      np.asarray(ids, np.int32).tobytes()
      for window in _windows(texts, "")
      for ids in self._tokenize(window)[0]
    ]

  def _tokenize(self, texts: list[str]) -> tuple[list[Ids], int]:
    """Returns the token ids of texts, and how many texts were cut."""
    texts = list(map(decoding.safe, texts))  # required by the tokenizer
    limit, cut = self.max_tokens, 0
    texts = shorten(self.tokenizer, texts, limit)
    encoded = self.tokenizer.encode_batch_fast(texts)
    ids: list[Ids] = [e.ids for e in encoded]
    for n, tokens in enumerate(ids):
      if len(tokens) > limit:
        ids[n] = self.special.cut(tokens, limit)
        cut += 1
    return ids, cut

  def _prepare(self, texts: list[str]) -> tuple[list[Block], list[Ids], int]:
    """Returns the blocks of a window, its token ids and how many were cut."""
    ids, cut = self._tokenize(texts)
    return self.embedder.plan(ids), ids, cut

  def _finish(
    self,
    prepared: futures.Future,
    dim: int | None,
    normalize: bool,
    precision: str,
  ) -> Vectors:
    blocks, ids, cut = prepared.result()
    vectors = self.embedder.run(blocks, len(ids))
    # Attention may spread a NaN to the other texts of a row. Embed each of them
    # alone to find the text that causes it.
    for i in _broken(vectors):
      vectors[i] = self.embedder.run(self.embedder.plan([ids[i]]), 1)[0]
    vectors = vectors[:, :dim]
    broken = _broken(vectors)
    if normalize:
      vectors = unit(vectors)
    if precision != "float32":  # where a NaN would become a number
      vectors[broken] = 0
    return Vectors(quantize.quantize(vectors, precision), cut, broken)


def _broken(vectors: np.ndarray) -> np.ndarray:
  """Returns the indices of vectors that are not finite."""
  return np.flatnonzero(~np.isfinite(vectors).all(axis=1))


def _windows(texts: Iterable[str], front: str) -> Iterator[list[str]]:
  """Yields lists of consecutive texts with the prompt in front."""
  window, characters = [], 0
  for text in texts:
    window.append(front + text)
    characters += len(text)
    if len(window) == _WINDOW or characters >= _WINDOW_CHARACTERS:
      yield window
      window, characters = [], 0
  if window:
    yield window
