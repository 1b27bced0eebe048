# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Systems to score: embedding models, BM25, and both fused."""

from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import copy

import numpy as np

from nomic_jax.embed import quantize
from nomic_jax.embed import vectors
from nomic_jax.embed.classifier import Classifier
from nomic_jax.embed.embedding_model import unit
from nomic_jax.embed.model import Model
from nomic_jax.errors import UserError
from nomic_jax.search import bm25
from nomic_jax.search import fusion
from nomic_jax.storage import fingerprints

# Names of the prompts of queries and of documents.
SEARCH = ("search_query", "search_document")
_CACHED = 100_000  # texts whose vectors are cached while a task runs


class _OfModel:
  """A system of one model, whose texts can be truncated."""

  model: Model | Classifier

  @contextlib.contextmanager
  def limited(self, tokens: int) -> Iterator[None]:
    """Truncates texts to `tokens`, if the model would read more."""
    usual = self.model.max_tokens
    self.model.max_tokens = min(usual, tokens)
    try:
      yield
    finally:
      self.model.max_tokens = usual


class Dense(_OfModel):
  """A model whose similarity is the inner product of vectors.

  Vectors are normalized, so this is the cosine, unless the model itself
  compares by inner products.
  """

  def __init__(self, model: Model):
    self.model: Model = model
    self.dim, self.precision = None, "float32"
    self._cache = None

  def fingerprint(self) -> str:
    """Returns a hash of the model, dimension and precision."""
    return fingerprints.of_values(
      vectors.model_fingerprint(self.model), self.dim, self.precision
    )

  def at(self, dim: int | None, precision: str = "float32") -> "Dense":
    """Returns a system with truncated and quantized vectors.

    Args:
      dim: the number of dimensions to keep; None for all.
      precision: one of `quantize.PRECISIONS`. Vectors are compared by the
        cosine of what is stored, which for binary ranks as the Hamming
        distance.
    """
    other = copy.copy(self)  # shares the cache
    other.dim, other.precision = dim, precision
    return other

  def reading(self, tokens: int) -> "Dense":
    """Returns a system whose model reads `tokens` tokens of a text."""
    other = copy.copy(self)
    other.model = self.model.reading(tokens)
    return other

  @contextlib.contextmanager
  def caching(self) -> Iterator[None]:
    """Caches the vectors of texts, so that none is embedded twice."""
    self._cache = {}
    try:
      yield
    finally:
      self._cache = None

  def encode(
    self, texts: Sequence[str], prompt: str, normalize: bool = True
  ) -> np.ndarray:
    """Returns [N, D] float32; each distinct text is embedded once.

    Raises:
      UserError: if a vector is not finite.
    """
    embedded = self._whole(texts, prompt)[:, : self.dim]
    if self.precision == "int8":
      embedded = quantize.quantize(embedded, "int8").astype(np.float32)
    elif self.precision == "binary":
      stored = quantize.quantize(embedded, "binary").view(np.uint8) ^ np.uint8(
        128
      )
      embedded = 2 * np.unpackbits(stored, axis=1).astype(np.float32) - 1
    return unit(embedded) if normalize else embedded

  def _whole(self, texts: Sequence[str], prompt: str) -> np.ndarray:
    """Returns vectors of full width and precision, not normalized."""
    known = {}
    if self._cache is not None:
      known = self._cache.setdefault((prompt, self.model.max_tokens), {})
    fresh = [text for text in dict.fromkeys(texts) if text not in known]
    made = np.zeros((0, 0), np.float32)
    if fresh:
      made = vectors.encode(
        self.model, fresh, prompt, normalize=False, show_progress=True
      )
      if len(fresh) == len(texts) and len(texts) > _CACHED:
        return made
    by_text = {**known, **dict(zip(fresh, made))}
    if len(by_text) <= _CACHED:
      known.update(by_text)
    return np.stack([by_text[text] for text in texts])

  def search(
    self,
    queries: Sequence[str],
    documents: Sequence[str],
    k: int,
    prompts: tuple[str, str] = SEARCH,
  ) -> tuple[np.ndarray, np.ndarray]:
    """Returns (scores, indices) [Q, min(k, documents)], best first."""
    from nomic_jax.search import neighbours

    searched, query_vectors = self._both(documents, queries, prompts)
    return neighbours.top_k(query_vectors, searched, min(k, len(searched)))

  def _both(
    self,
    documents: Sequence[str],
    queries: Sequence[str],
    prompts: tuple[str, str],
  ) -> tuple[np.ndarray, np.ndarray]:
    """Returns document and query vectors whose products are the scores."""
    # Quantization loses the lengths of vectors.
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
    document_vectors, query_vectors = self._both(documents, queries, prompts)
    return [
      document_vectors[some] @ one
      for some, one in zip(candidates, query_vectors)
    ]


class Lexical:
  """BM25, as one of `bm25.BASELINES`."""

  def __init__(self, name: str):
    self.name = name

  def fingerprint(self) -> str:
    """Returns the name of the baseline."""
    return self.name

  def search(
    self,
    queries: Sequence[str],
    documents: Sequence[str],
    k: int,
    prompts: tuple[str, str] = SEARCH,
  ) -> tuple[np.ndarray, np.ndarray]:
    """Searches as `Dense.search`; a document sharing no word has index -1."""
    del prompts  # BM25 compares the texts themselves
    return bm25.Bm25(documents, self.name).search(queries, k)

  def compare(
    self,
    queries: Sequence[str],
    documents: Sequence[str],
    candidates: Sequence[Sequence[int]],
    prompts: tuple[str, str] = SEARCH,
  ) -> list[np.ndarray]:
    """Compares as `Dense.compare`, with word frequencies from all documents."""
    del prompts
    index = bm25.Bm25(documents, self.name)
    return [
      index.scores(query)[some] for query, some in zip(queries, candidates)
    ]


class Head(_OfModel):
  """A classifier with its trained head.

  Classes without known names, LABEL_0 and so on, are named 0 and so on, like
  labels that are numbers.
  """

  def __init__(self, model: Classifier):
    """Takes the model, which predicts one class for each text."""
    self.model: Classifier = model
    self.classes = model.classes
    if model.classes == tuple(f"LABEL_{i}" for i in range(len(model.classes))):
      self.classes = tuple(map(str, range(len(model.classes))))

  def fingerprint(self) -> str:
    """Returns a hash of everything that determines the predictions."""
    model = self.model
    return fingerprints.of_values(
      vectors.params_fingerprint(model.params),
      str(model.architecture),
      list(model.classes),
      model.max_tokens,
      model.tokenizer.to_str(),
    )

  def predict(self, texts: Sequence[str]) -> list[str]:
    """Returns the class of each text."""
    names = dict(zip(self.model.classes, self.classes))
    return [names[name] for name in self.model.predict(texts)]

  def at(self, dim: int | None) -> "Head":
    """Raises UserError, since the head needs all dimensions."""
    raise UserError(
      f"--dim={dim}: {self.model.path} is a classifier, whose head reads all "
      "dimensions; leave it out"
    )

  @contextlib.contextmanager
  def caching(self) -> Iterator[None]:
    """Does nothing, since no text is classified twice."""
    yield


class Hybrid:
  """A model and BM25 with fused rankings: see `fusion.reciprocal_rank`.

  Each ranks at least `fusion.DEPTH` documents, even if fewer are requested.
  BM25 ranks only documents that share a word with the query.
  """

  def __init__(self, dense: Dense, lexical: Lexical):
    self.dense, self.lexical = dense, lexical

  def fingerprint(self) -> str:
    """Returns a hash of everything that determines the scores."""
    return fingerprints.of_values(
      "reciprocal rank fusion of what is found",
      self.dense.fingerprint(),
      self.lexical.fingerprint(),
      fusion.CONSTANT,
      fusion.DEPTH,
    )

  def at(self, dim: int | None, precision: str = "float32") -> "Hybrid":
    """Returns the system as `Dense.at` does."""
    return Hybrid(self.dense.at(dim, precision), self.lexical)

  def reading(self, tokens: int) -> "Hybrid":
    """Returns the system as `Dense.reading` does; BM25 reads whole texts."""
    return Hybrid(self.dense.reading(tokens), self.lexical)

  def search(
    self,
    queries: Sequence[str],
    documents: Sequence[str],
    k: int,
    prompts: tuple[str, str] = SEARCH,
  ) -> tuple[np.ndarray, np.ndarray]:
    """Searches as `Dense.search`; the index is -1 if neither found more."""
    depth = min(max(k, fusion.DEPTH), len(documents))
    rankings = [
      system.search(queries, documents, depth, prompts)[1]
      for system in (self.dense, self.lexical)
    ]
    return fusion.reciprocal_rank(rankings, min(k, len(documents)))

  def compare(
    self,
    queries: Sequence[str],
    documents: Sequence[str],
    candidates: Sequence[Sequence[int]],
    prompts: tuple[str, str] = SEARCH,
  ) -> list[np.ndarray]:
    """As `Dense.compare`: fuses the rankings of each query's candidates."""
    dense, lexical = (
      system.compare(queries, documents, candidates, prompts)
      for system in (self.dense, self.lexical)
    )
    return [
      _reciprocal_ranks(near) + (alike > 0) * _reciprocal_ranks(alike)
      for near, alike in zip(dense, lexical)
    ]


def _reciprocal_ranks(scores: np.ndarray) -> np.ndarray:
  """Returns 1 / (60 + rank) of each score; equal scores keep their order."""
  places = np.empty(len(scores))
  places[np.argsort(-scores, kind="stable")] = np.arange(len(scores))
  return 1 / (fusion.CONSTANT + 1 + places)


Ranker = Dense | Lexical | Hybrid
System = Ranker | Head
