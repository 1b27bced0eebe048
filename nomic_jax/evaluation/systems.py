# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Systems to score: models that embed, and BM25 that compares words."""

from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import copy

import numpy as np

from nomic_jax.embed import quantize
from nomic_jax.embed import vectors
from nomic_jax.embed.model import Model
from nomic_jax.search import bm25
from nomic_jax.storage import fingerprints

# Names of the prompts of queries and of documents.
SEARCH = ("search_query", "search_document")
_REMEMBERED = 100_000  # texts whose vectors are kept while a task runs


class Dense:
  """A model: texts are as near as their vectors' inner product says.

  The vectors have length 1, so that it is a cosine, unless the model compares
  by inner products itself.
  """

  def __init__(self, model: Model):
    self.model = model
    self.dim, self.precision = None, "float32"
    self._remembered = None

  def fingerprint(self) -> str:
    return fingerprints.of_values(
      vectors.model_fingerprint(self.model), self.dim, self.precision
    )

  def at(self, dim: int | None, precision: str = "float32") -> "Dense":
    """Returns the system with its vectors cut and quantised.

    Args:
      dim: keep this many dimensions; None keeps all.
      precision: of `quantize.PRECISIONS`. Vectors are compared by the cosine
        of what is stored, which for binary orders as the Hamming distance.
    """
    other = copy.copy(self)  # remembers what this one does
    other.dim, other.precision = dim, precision
    return other

  def reading(self, tokens: int) -> "Dense":
    """Returns the system with its model reading so much of a text."""
    other = copy.copy(self)
    other.model = self.model.reading(tokens)
    return other

  @contextlib.contextmanager
  def remembering(self) -> Iterator[None]:
    """Keeps the vectors of texts, so that none is embedded twice."""
    self._remembered = {}
    try:
      yield
    finally:
      self._remembered = None

  @contextlib.contextmanager
  def limited(self, tokens: int) -> Iterator[None]:
    """Cuts texts to `tokens`, if the model would read more."""
    usual = self.model.max_tokens
    self.model.max_tokens = min(usual, tokens)
    try:
      yield
    finally:
      self.model.max_tokens = usual

  def encode(
    self, texts: Sequence[str], prompt: str, normalize: bool = True
  ) -> np.ndarray:
    """Returns [N, D] float32; each different text is embedded once.

    Raises:
      UserError: if a vector is not finite.
    """
    found = self._whole(texts, prompt)[:, : self.dim]
    if self.precision == "int8":
      found = quantize.quantize(found, "int8").astype(np.float32)
    elif self.precision == "binary":
      stored = quantize.quantize(found, "binary").view(np.uint8) ^ 128
      found = 2 * np.unpackbits(stored, axis=1).astype(np.float32) - 1
    if normalize:
      length = np.linalg.norm(found, axis=1, keepdims=True)
      found = found / np.maximum(length, 1e-12)
    return found

  def _whole(self, texts: Sequence[str], prompt: str) -> np.ndarray:
    """Vectors of full width and precision, of any length."""
    known = {}
    if self._remembered is not None:
      known = self._remembered.setdefault((prompt, self.model.max_tokens), {})
    fresh = [text for text in dict.fromkeys(texts) if text not in known]
    made = np.zeros((0, 0), np.float32)
    if fresh:
      made = vectors.encode(
        self.model, fresh, prompt, normalize=False, show_progress=True
      )
      if len(fresh) == len(texts) and len(texts) > _REMEMBERED:
        return made
    found = {**known, **dict(zip(fresh, made))}
    if len(found) <= _REMEMBERED:
      known.update(found)
    return np.stack([found[text] for text in texts])

  def search(
    self,
    queries: Sequence[str],
    documents: Sequence[str],
    k: int,
    prompts: tuple[str, str] = SEARCH,
  ) -> tuple[np.ndarray, np.ndarray]:
    """Returns (scores, indices) [Q, min(k, documents)], best first."""
    from nomic_jax.search import neighbours

    found, asked = self._both(documents, queries, prompts)
    return neighbours.top_k(asked, found, min(k, len(found)))

  def _both(
    self,
    documents: Sequence[str],
    queries: Sequence[str],
    prompts: tuple[str, str],
  ) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of documents and queries, whose products are the scores."""
    # Of quantised vectors the lengths are lost.
    unit = self.model.by_cosine or self.precision != "float32"
    return (
      self.encode(documents, prompts[1], normalize=unit),
      self.encode(queries, prompts[0], normalize=unit),
    )

  def compare(
    self,
    queries: Sequence[str],
    documents: Sequence[str],
    candidates: Sequence[Sequence[int]],
    prompts: tuple[str, str] = SEARCH,
  ) -> list[np.ndarray]:
    """Returns for each query the scores of its own candidates, in order."""
    found, asked = self._both(documents, queries, prompts)
    return [found[some] @ one for some, one in zip(candidates, asked)]


class Lexical:
  """One of `bm25.BASELINES`."""

  def __init__(self, name: str):
    self.name = name

  def fingerprint(self) -> str:
    return self.name

  def search(
    self,
    queries: Sequence[str],
    documents: Sequence[str],
    k: int,
    prompts: tuple[str, str] = SEARCH,
  ) -> tuple[np.ndarray, np.ndarray]:
    """As `Dense.search`; a document that shares no word has the index -1."""
    del prompts  # words are compared as they are
    return bm25.Bm25(documents, self.name).search(queries, k)

  def compare(
    self,
    queries: Sequence[str],
    documents: Sequence[str],
    candidates: Sequence[Sequence[int]],
    prompts: tuple[str, str] = SEARCH,
  ) -> list[np.ndarray]:
    """As `Dense.compare`; how rare a word is, all documents say."""
    del prompts
    index = bm25.Bm25(documents, self.name)
    return [
      index.scores(query)[some] for query, some in zip(queries, candidates)
    ]


System = Dense | Lexical
