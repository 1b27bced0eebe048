# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Systems to score: models that embed, and BM25 that compares words."""

import contextlib
from typing import Iterator, Sequence

import numpy as np

from nomic_jax.evaluation import bm25
from nomic_jax.evaluation import vectors

# Names of the prompts of queries and of documents.
SEARCH = ("search_query", "search_document")


class Dense:
  """A model: texts are as near as their vectors' inner product says."""

  def __init__(self, model):
    """`model` is a `nomic_jax.embed.Model`."""
    self.model = model

  def fingerprint(self) -> str:
    return vectors.model_fingerprint(self.model)

  def encode(
      self, texts: Sequence[str], prompt: str, normalize: bool = True
  ) -> np.ndarray:
    """Returns [N, D] float32; each different text is embedded once.

    Raises:
      UserError: if a vector is not finite.
    """
    different = dict.fromkeys(texts)
    found = vectors.encode(
        self.model, list(different), prompt, normalize=normalize,
        show_progress=True)
    if len(different) == len(texts):
      return found
    place = {text: i for i, text in enumerate(different)}
    return found[[place[text] for text in texts]]

  @contextlib.contextmanager
  def limited(self, tokens: int) -> Iterator[None]:
    """Cuts texts to `tokens`, if the model would read more."""
    usual = self.model.max_tokens
    self.model.max_tokens = min(usual, tokens)
    try:
      yield
    finally:
      self.model.max_tokens = usual

  def search(
      self, queries: Sequence[str], documents: Sequence[str], k: int,
      prompts: tuple[str, str] = SEARCH,
  ) -> tuple[np.ndarray, np.ndarray]:
    """Returns (scores, indices) [Q, min(k, documents)], best first."""
    from nomic_jax.curate import neighbours

    found = self.encode(documents, prompts[1])
    asked = self.encode(queries, prompts[0])
    return neighbours.top_k(asked, found, min(k, len(found)))

  def compare(
      self, queries: Sequence[str], documents: Sequence[str],
      candidates: Sequence[Sequence[int]], prompts: tuple[str, str] = SEARCH,
  ) -> list[np.ndarray]:
    """Returns for each query the scores of its own candidates, in order."""
    found = self.encode(documents, prompts[1])
    asked = self.encode(queries, prompts[0])
    return [found[some] @ one for some, one in zip(candidates, asked)]


class Lexical:
  """One of `bm25.BASELINES`."""

  def __init__(self, name: str):
    self.name = name

  def fingerprint(self) -> str:
    return self.name

  def search(
      self, queries: Sequence[str], documents: Sequence[str], k: int,
      prompts: tuple[str, str] = SEARCH,
  ) -> tuple[np.ndarray, np.ndarray]:
    """As `Dense.search`; a document that shares no word has the index -1."""
    del prompts  # words are compared as they are
    return bm25.Bm25(documents, self.name).search(queries, k)

  def compare(
      self, queries: Sequence[str], documents: Sequence[str],
      candidates: Sequence[Sequence[int]], prompts: tuple[str, str] = SEARCH,
  ) -> list[np.ndarray]:
    """As `Dense.compare`; how rare a word is, all documents say."""
    del prompts
    index = bm25.Bm25(documents, self.name)
    return [index.scores(query)[some]
            for query, some in zip(queries, candidates)]
