# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Embeddings of many texts, in pieces that are either complete or absent.

A piece is one .npy file, so an interrupted job resumes with the first missing
one, and processes share the pieces without communicating.
"""

from collections.abc import Callable
from collections.abc import Sequence
import os
import pathlib
from typing import cast
from typing import Protocol
import warnings

import numpy as np

from nomic_jax.embed import finite
from nomic_jax.embed.embedding_model import adapted
from nomic_jax.embed.embedding_model import EmbeddingModel
from nomic_jax.embed.embedding_model import Encodes
from nomic_jax.errors import UserError
from nomic_jax.hub import fetch
from nomic_jax.storage import files
from nomic_jax.storage.progress import Progress

PIECE = 4096  # texts per piece: the work that a kill can lose


class Texts(Protocol):
  """Texts that are read on demand, such as a list of them."""

  def __len__(self) -> int:
    """Returns their number."""
    ...

  def __getitem__(self, at: slice, /) -> Sequence[str]:
    """Returns the texts at these numbers."""
    ...


# A model or work directory, or a model; see `embedding_model.adapted`.
Given = str | os.PathLike | EmbeddingModel | Encodes


def load(model: Given, dtype: str = "float32") -> EmbeddingModel:
  """Loads a model to compute in `dtype`; returns a loaded one unchanged."""
  if isinstance(model, (str, os.PathLike)):
    import nomic_jax  # Late, since it imports the encoder.

    # A classifier raises when asked for what only such a model has.
    model = cast(EmbeddingModel, nomic_jax.load(os.fspath(model), dtype))
  return adapted(model)


def locate(model: Given) -> Given:
  """Returns a model's local path if it is a path or a Hub name."""
  if not isinstance(model, (str, os.PathLike)):
    return model
  return os.fspath(fetch.find(model))


class Store:
  """The vectors of N texts in their pieces, read like an array [N, D]."""

  ndim = 2

  def __init__(self, folder: pathlib.Path, count: int):
    """Opens the pieces of `count` texts in `folder`, which must be complete."""
    self._piece = PIECE
    self._pieces = [
      np.load(_path(folder, i), mmap_mode="r")
      for i in range(-(-count // PIECE))
    ]
    self.shape = (count, self._pieces[0].shape[1])

  def __len__(self) -> int:
    return self.shape[0]

  def __getitem__(self, at: slice | np.ndarray) -> np.ndarray:
    """Copies rows: a slice without a step, or row numbers [n]."""
    if isinstance(at, slice):
      start, stop, _ = at.indices(len(self))
      rows = range(start // self._piece, -(-stop // self._piece))
      parts = (
        self._pieces[i][
          max(start - i * self._piece, 0) : stop - i * self._piece
        ]
        for i in rows
      )
      return np.concatenate([self._pieces[0][:0], *parts])
    out = np.empty((len(at), self.shape[1]), np.float32)
    piece = at // self._piece
    for i in np.unique(piece):
      in_piece = piece == i
      out[in_piece] = self._pieces[i][at[in_piece] - i * self._piece]
    return out


def _path(folder: pathlib.Path, piece: int) -> pathlib.Path:
  return folder / f"{piece:06d}.npy"


def embed(
  model: EmbeddingModel,
  texts: Texts,
  prompt: str,
  folder: pathlib.Path,
  *,
  label: str,
  where: Callable[[int], str],
  share: tuple[int, int] = (0, 1),
) -> None:
  """Embeds `texts` into pieces in `folder`, skipping existing ones.

  Args:
    model: embeds the texts, so that inner products are its similarity.
    texts: the texts.
    prompt: prefix of each text.
    folder: contains the pieces; created if necessary.
    label: the label of the progress bar.
    where: returns where text i came from, for error messages.
    share: (n, N): handle only the n-th of every N pieces.

  Raises:
    UserError: if a vector is not finite, or existing pieces have another width.
  """
  folder.mkdir(parents=True, exist_ok=True)
  unit = model.by_cosine
  model = model.without_default_prompt()  # `prompt` is added here
  starts = range(0, len(texts), PIECE)[share[0] :: share[1]]
  missing = [s for s in starts if not _path(folder, s // PIECE).is_file()]
  if not missing:
    return
  size = lambda start: min(PIECE, len(texts) - start)
  total, remaining = sum(map(size, starts)), sum(map(size, missing))
  with Progress(total, "texts", label, start=total - remaining) as progress:
    for start in missing:
      part = [prompt + text for text in texts[start : start + PIECE]]
      with warnings.catch_warnings():
        # Otherwise every piece would warn about truncated texts.
        warnings.filterwarnings("ignore", ".* texts had more than")
        vectors = np.asarray(model.encode(part, normalize=unit), np.float32)
      _check_finite(model, vectors, lambda i, start=start: where(start + i))
      _check_width(vectors, folder)
      with files.replacing(_path(folder, start // PIECE)) as temporary:
        with open(temporary, "wb") as f:
          np.save(f, vectors)
      progress.update(len(part))


def _check_width(vectors: np.ndarray, folder: pathlib.Path) -> None:
  for other in folder.glob("*.npy"):
    width = np.load(other, mmap_mode="r").shape[1]
    if width != vectors.shape[1]:
      raise UserError(
        f"{other}: holds vectors of width {width}, but the model's have width "
        f"{vectors.shape[1]}; remove this folder and start over"
      )
    return


def _check_finite(
  model: EmbeddingModel, vectors: np.ndarray, where: Callable[[int], str]
) -> None:
  bad = ~np.isfinite(vectors).all(axis=1)
  if bad.any():
    raise UserError(
      f"{where(int(bad.argmax()))}: its embedding is not finite (NaN or "
      f"infinity); {finite.about(model.params)}"
    )


def products(
  queries: np.ndarray | Store,
  query_of: np.ndarray,
  documents: np.ndarray | Store,
  document_of: np.ndarray,
  step: int = 65536,
) -> np.ndarray:
  """Returns the inner product of each pair, [pairs] float32.

  Args:
    queries: [Q, D].
    query_of: [pairs], the row of each pair's query.
    documents: [C, D].
    document_of: [pairs], the row of each pair's document.
    step: pairs read at a time, since stores may be larger than memory.
  """
  scores = np.empty(len(query_of), np.float32)
  for i in range(0, len(scores), step):
    at = slice(i, i + step)
    scores[at] = np.einsum(
      "nd,nd->n", queries[query_of[at]], documents[document_of[at]]
    )
  return scores
