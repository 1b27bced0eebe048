# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Embeddings of many texts in a file that is filled from front to back.

The file is a plain .npy, memory-mapped; beside it stands how many rows are
done, so that a job killed half way goes on where it was.
"""

import os
import pathlib
from typing import Any, Callable, Sequence
import warnings

import numpy as np

from nomic_jax import files
from nomic_jax.errors import UserError
from nomic_jax.progress import Progress

_PIECE = 4096  # Texts between two marks; what a kill can cost.


def load(model: Any) -> Any:
  """Returns `model`, loaded if it is a path."""
  if isinstance(model, (str, os.PathLike)):
    import nomic_jax  # Late, since it brings the encoder with it.
    return nomic_jax.load(os.fspath(model))
  return model


def embed(
    model: Any,
    texts: Sequence[str],
    prompt: str,
    path: pathlib.Path,
    *,
    label: str,
    where: Callable[[int], str],
    piece: int = _PIECE,
) -> np.ndarray:
  """Embeds `texts` into the .npy file `path`, or goes on with one begun.

  Args:
    model: has `encode(texts, prompt=...) -> [N, D]`, or a function that
      returns such a model, called only if there is something left to embed.
    texts: a sequence that gives lists of texts for slices.
    prompt: name of the prompt put before each text.
    path: the file; `path`.done beside it holds the count of finished rows.
    label: what the progress is called.
    where: tells of text i where it came from, for errors.
    piece: texts embedded at a time.

  Returns:
    A read-only memory-mapped array [N, D] float32.

  Raises:
    UserError: if a vector is not finite, or the file is of another width.
  """
  mark = path.with_name(path.name + ".done")
  done = int(mark.read_text()) if mark.exists() else 0
  if done < len(texts):
    model = model() if not hasattr(model, "encode") else model
    with Progress(len(texts), "texts", label, start=done) as progress:
      for start in range(done, len(texts), piece):
        part = texts[start:start + piece]
        with warnings.catch_warnings():
          # Of texts that are cut, every piece would tell anew.
          warnings.filterwarnings("ignore", ".* texts had more than")
          vectors = np.asarray(model.encode(part, prompt=prompt), np.float32)
        _check_finite(vectors, lambda i: where(start + i))
        _write(path, vectors, start, len(texts))
        with files.replacing(mark) as temporary:
          temporary.write_text(str(start + len(part)))
        progress.update(len(part))
  return np.load(path, mmap_mode="r")


def _write(path, vectors: np.ndarray, start: int, total: int) -> None:
  shape = (total, vectors.shape[1])
  if start == 0:
    store = np.lib.format.open_memmap(path, "w+", np.float32, shape)
  else:
    store = np.load(path, mmap_mode="r+")
    if store.shape != shape:
      raise UserError(
          f"{path}: holds vectors {store.shape[1]} wide, the model gives "
          f"{shape[1]}; remove the folder it is in and start again"
      )
  store[start:start + len(vectors)] = vectors
  store.flush()


def _check_finite(vectors: np.ndarray, where: Callable[[int], str]) -> None:
  bad = ~np.isfinite(vectors).all(axis=1)
  if bad.any():
    raise UserError(
        f"{where(int(bad.argmax()))}: its embedding is not finite (NaN or "
        "infinity); look at this text, and whether the model was trained well"
    )


def products(
    queries: np.ndarray,
    query_of: np.ndarray,
    documents: np.ndarray,
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
        "nd,nd->n", queries[query_of[at]], documents[document_of[at]])
  return own
