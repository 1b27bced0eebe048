# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""What curation, evaluation and search ask of a model: texts to vectors."""

import abc
from collections.abc import Hashable
from collections.abc import Mapping
from collections.abc import Sequence
import copy
from typing import Any
from typing import Self

import numpy as np

from nomic_jax.model.usage import check_ranked


class EmbeddingModel(abc.ABC):
  """A model as the jobs use it; `embed.model.Model` is ours.

  To use another, write a subclass with `encode`. The defaults are those of a
  model without prompts, whose vectors have length 1 and compare by cosine.

  Attributes:
    prompts: text put in front, by name.
    default_prompt: name of the prompt of texts for which none is named.
    max_tokens: longer texts are truncated to this; None: not known.
    similarity: how its vectors are compared, see `usage.SIMILARITIES`.
    normalize: whether its vectors have length 1 unless asked otherwise.
    width: dimensions of a vector; None: not known.
    params: its parameters, nested dicts of arrays; None: not known.
  """

  prompts: Mapping[str, str] = {}
  default_prompt: str | None = None
  max_tokens: int | None = None
  similarity: str = "cosine"
  normalize: bool = True
  width: int | None = None
  params: Mapping[str, Any] | None = None

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

  def identities(self, texts: Sequence[str]) -> Sequence[Hashable]:
    """Of each text, equal where the encoder is given equal tokens.

    No default prompt is put in front: `texts` have theirs already.
    """
    return texts

  def without_default_prompt(self) -> Self:
    """The same model, putting nothing before texts unless a prompt is named."""
    other = copy.copy(self)
    other.default_prompt = None
    return other

  @property
  def by_cosine(self) -> bool:
    """Whether its vectors are ranked by cosine; else by inner product.

    Raises:
      UserError: if they are not ranked by a product of vectors.
    """
    return check_ranked(self.similarity) == "cosine"


class _Adapted(EmbeddingModel):
  """An object of another library: the only place that asks what it has."""

  def __init__(self, model: Any):
    self._model = model
    for name in ("prompts", "params", "identities"):
      if hasattr(model, name):
        setattr(self, name, getattr(model, name))

  def encode(self, texts, prompt=None, *, normalize=None, show_progress=False):
    front = self.prompts[prompt] if prompt else ""
    return self._model.encode([front + text for text in texts])


def adapted(model: Any) -> EmbeddingModel:
  """Returns an object with `encode(texts)`, giving unit vectors, as a model.

  Its `prompts`, `params` and `identities` are used if it has them.
  """
  return model if isinstance(model, EmbeddingModel) else _Adapted(model)
