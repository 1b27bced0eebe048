# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Embeddings of many texts, in pieces that are each whole or not there.

A piece is one .npy file, so that a job killed half way goes on with the first
that is missing, and processes share the pieces out without asking each other.
"""

from collections.abc import Callable
from collections.abc import Sequence
import os
import pathlib
import warnings

import numpy as np

from nomic_jax.embed import finite
from nomic_jax.embed.embedding_model import adapted
from nomic_jax.embed.embedding_model import EmbeddingModel
from nomic_jax.errors import UserError
from nomic_jax.hub import fetch
from nomic_jax.storage import files
from nomic_jax.storage.progress import Progress

PIECE = 4096  # Texts in a piece; what a kill can cost.

# A model or work directory, or a model; see `embedding_model.adapted`.
Given = str | os.PathLike | EmbeddingModel


def load(model: Given, dtype: str = "float32") -> EmbeddingModel:
  """Returns a model, loaded to compute in `dtype` if it is a path."""
  if isinstance(model, (str, os.PathLike)):
    import nomic_jax  # Late, since it brings the encoder with it.

    model = nomic_jax.load(os.fspath(model), dtype)
  return adapted(model)


def place(model: Given) -> Given:
  """Returns a model that is a path or a hub name as where it lies here."""
  if not isinstance(model, (str, os.PathLike)):
    return model
  return os.fspath(fetch.find(model))


class Store:
  """The vectors of N texts, read from their pieces like an array [N, D]."""

  ndim = 2

  def __init__(self, folder: pathlib.Path, count: int):
    """Opens the pieces of `count` texts in `folder`, all of them there."""
    self._piece = PIECE
    self._pieces = [
      np.load(_path(folder, i), mmap_mode="r")
      for i in range(-(-count // PIECE))
    ]
    self.shape = (count, self._pieces[0].shape[1])

  def __len__(self) -> int:
    return self.shape[0]

  def __getitem__(self, at: slice | np.ndarray) -> np.ndarray:
    """Copies rows: a slice without a step, or numbers [n]."""
    if isinstance(at, slice):
      start, stop, _ = at.indices(len(self))
      rows = range(start // self._piece, -(-stop // self._piece))
      cut = (
        self._pieces[i][
          max(start - i * self._piece, 0) : stop - i * self._piece
        ]
        for i in rows
      )
      return np.concatenate([self._pieces[0][:0], *cut])
    out = np.empty((len(at), self.shape[1]), np.float32)
    piece = at // self._piece
    for i in np.unique(piece):
      here = piece == i
      out[here] = self._pieces[i][at[here] - i * self._piece]
    return out


def _path(folder: pathlib.Path, piece: int) -> pathlib.Path:
  return folder / f"{piece:06d}.npy"


def embed(
  model: EmbeddingModel,
  texts: Sequence[str],
  prompt: str,
  folder: pathlib.Path,
  *,
  label: str,
  where: Callable[[int], str],
  share: tuple[int, int] = (0, 1),
) -> None:
  """Embeds `texts` into pieces in `folder`, those that are not there yet.

  Args:
    model: which embeds them, so that inner products are its similarity.
    texts: a sequence that gives lists of texts for slices.
    prompt: what is put before each text.
    folder: of the pieces; made if it is not there.
    label: what the progress is called.
    where: tells of text i where it came from, for errors.
    share: (n, N): of the pieces only the n-th of every N.

  Raises:
    UserError: if a vector is not finite, or the pieces are of another width.
  """
  folder.mkdir(parents=True, exist_ok=True)
  unit = model.by_cosine
  model = model.without_default_prompt()  # `prompt` is put there
  starts = range(0, len(texts), PIECE)[share[0] :: share[1]]
  missing = [s for s in starts if not _path(folder, s // PIECE).is_file()]
  if not missing:
    return
  size = lambda start: min(PIECE, len(texts) - start)
  total, left = sum(map(size, starts)), sum(map(size, missing))
  with Progress(total, "texts", label, start=total - left) as progress:
    for start in missing:
      part = [prompt + text for text in texts[start : start + PIECE]]
      with warnings.catch_warnings():
        # Of texts that are cut, every piece would tell anew.
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
        f"{other}: holds vectors {width} wide, the model gives "
        f"{vectors.shape[1]}; remove the folder it is in and start again"
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
  """Inner product of each pair, [pairs] float32.

  Args:
    queries: [Q, D].
    query_of: [pairs], the row of each pair's query.
    documents: [C, D].
    document_of: [pairs], likewise.
    step: pairs read at a time, since the stores may be larger than memory.
  """
  own = np.empty(len(query_of), np.float32)
  for i in range(0, len(own), step):
    at = slice(i, i + step)
    own[at] = np.einsum(
      "nd,nd->n", queries[query_of[at]], documents[document_of[at]]
    )
  return own
