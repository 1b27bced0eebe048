# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The interface through which jobs use a model: texts to vectors."""

import abc
from collections.abc import Callable
from collections.abc import Hashable
from collections.abc import Mapping
from collections.abc import Sequence
import copy
from typing import Any
from typing import Protocol
from typing import Self

import numpy as np
from scipy.spatial import distance

from nomic_jax.errors import one_of
from nomic_jax.errors import UserError
from nomic_jax.model.params import Params
from nomic_jax.model.usage import ALIASES
from nomic_jax.model.usage import check_ranked
from nomic_jax.model.usage import SIMILARITIES


def unit(x: np.ndarray) -> np.ndarray:
  """Scales vectors [N, D] to length 1."""
  return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


_SIMILARITIES = {
  "cosine": lambda a, b: unit(a) @ unit(b).T,
  "dot": lambda a, b: a @ b.T,
  "euclidean": lambda a, b: -distance.cdist(a, b).astype(np.float32),
  "manhattan": lambda a, b: (
    -distance.cdist(a, b, "cityblock").astype(np.float32)
  ),
}


class EmbeddingModel(abc.ABC):
  """A model as the jobs use it; `embed.model.Model` is ours.

  To use another one, write a subclass with `encode`. The defaults describe a
  model without prompts whose vectors have length 1 and compare by cosine.

  Attributes:
    prompts: prefixes of texts, by name.
    default_prompt: name of the prompt used if none is specified.
    max_tokens: longer texts are truncated to this; None if unknown.
    similarity_fn_name: how its vectors are compared, see
      `usage.SIMILARITIES`.
    normalize: whether its vectors have length 1 by default.
    width: number of dimensions of a vector; None if unknown.
    params: its parameters, nested dicts of arrays; None if unknown.
  """

  prompts: Mapping[str, str] = {}
  default_prompt: str | None = None
  max_tokens: int | None = None
  similarity_fn_name: str = "cosine"
  normalize: bool = True
  width: int | None = None
  params: Params | None = None

  @abc.abstractmethod
  def encode(
    self,
    texts: Sequence[str],
    prompt: str | None = None,
    *,
    normalize: bool | None = None,
    show_progress: bool = False,
  ) -> np.ndarray:
    """Returns float32 [N, D]; see `embed.model.Model.encode`."""

  def encode_query(
    self, texts: str | Sequence[str], **options: Any
  ) -> np.ndarray:
    """Embeds queries with the model's prompt of queries, if it has one.

    The default prompt is not added, as in sentence-transformers.

    Args:
      texts: as `encode` takes them.
      **options: of `encode`.
    """
    return self.without_default_prompt().encode(
      texts, **self._for("query", options)
    )

  def encode_document(
    self, texts: str | Sequence[str], **options: Any
  ) -> np.ndarray:
    """Embeds documents with the model's prompt of documents, if it has one.

    The default prompt is not added, as in sentence-transformers.

    Args:
      texts: as `encode` takes them.
      **options: of `encode`.
    """
    return self.without_default_prompt().encode(
      texts, **self._for("document", options)
    )

  def _for(self, side: str, options: dict[str, Any]) -> dict[str, Any]:
    """Adds the prompt of a side to `options`, unless they name one."""
    if any(options.get(name) is not None for name in ("prompt", "prompt_name")):
      return options
    name = f"search_{side}"
    names = [name, *(n for n, ours in ALIASES.items() if ours == name)]
    own = next((n for n in names if n in self.prompts), None)
    return options if own is None else {**options, "prompt": own}

  def similarity(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Compares vectors with the similarity that the model's files specify.

    Args:
      a: float [D] or [N, D].
      b: float [D] or [M, D].

    Returns:
      float32 [N, M]; larger is more similar, distances are negative.
    """
    a, b = (np.atleast_2d(np.asarray(x, np.float32)) for x in (a, b))
    return self._compare()(a, b)

  def similarity_pairwise(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Compares the first vector with the first, and so on.

    Args:
      a: float [D] or [N, D].
      b: float, of the same shape.

    Returns:
      float32 [N]; see `similarity`.
    """
    a, b = (np.atleast_2d(np.asarray(x, np.float32)) for x in (a, b))
    if a.shape != b.shape:
      raise UserError(
        f"similarity_pairwise: {len(a):,} and {len(b):,} vectors; expected as "
        "many of both, of one width"
      )
    compare = self._compare()
    pairs = [compare(x[None], y[None])[0, 0] for x, y in zip(a, b)]
    return np.array(pairs, np.float32)

  def _compare(self) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    name = self.similarity_fn_name
    one_of(name, SIMILARITIES, f"similarity_fn_name: '{name}' is unknown")
    return _SIMILARITIES[name]

  def identities(self, texts: Sequence[str]) -> Sequence[Hashable]:
    """Returns a key for each text; equal tokens give equal keys.

    No default prompt is added, since `texts` already have theirs.
    """
    return texts

  def without_default_prompt(self) -> Self:
    """Returns a copy that adds no prompt unless one is specified."""
    other = copy.copy(self)
    other.default_prompt = None
    return other

  @property
  def by_cosine(self) -> bool:
    """Whether vectors are ranked by cosine rather than inner product.

    Raises:
      UserError: if they are ranked by neither.
    """
    return check_ranked(self.similarity_fn_name) == "cosine"


class Encodes(Protocol):
  """An object that embeds texts, as unit vectors."""

  def encode(self, texts: list[str], /) -> np.ndarray:
    """Returns a vector for each text."""
    ...


class _Adapted(EmbeddingModel):
  """Wraps an object of another library; only this class inspects it."""

  def __init__(self, model: Encodes):
    self._model = model
    for name in ("prompts", "params", "identities"):
      if hasattr(model, name):
        setattr(self, name, getattr(model, name))

  def encode(self, texts, prompt=None, *, normalize=None, show_progress=False):
    """Adds the prompt and calls the object's encode."""
    front = self.prompts[prompt] if prompt else ""
    return self._model.encode([front + text for text in texts])


def adapted(model: Encodes) -> EmbeddingModel:
  """Wraps an object whose `encode(texts)` returns unit vectors as a model.

  Its `prompts`, `params` and `identities` are used if it has them.
  """
  return model if isinstance(model, EmbeddingModel) else _Adapted(model)
