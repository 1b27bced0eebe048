# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The job behind `nomic-jax embed`: a file of texts to a file of vectors."""

import pathlib

import numpy as np

import nomic_jax
from nomic_jax.errors import UserError
from nomic_jax.files import read_jsonl
from nomic_jax.files import replacing


def embed_file(
    model: str, input: str, output: str, *, prompt: str | None = None,  # pylint: disable=redefined-builtin
    dim: int | None = None, column: str = "text",
) -> None:
  """Embeds every line of a .txt, or `column` of every row of a .jsonl(.gz).

  Args:
    model: model or work directory.
    input: the texts.
    output: .npy to make: float32 [N, dim], normalised, row i for text i.
    prompt: name of the prompt to put in front of each.
    dim: dimensions to keep.
    column: of jsonl rows.

  Raises:
    UserError: for an empty or malformed input, naming file and row.
  """
  if not output.endswith(".npy"):
    raise UserError(f"--output={output}: expected a name that ends in .npy")
  texts = _read(pathlib.Path(input), column)
  vectors = nomic_jax.load(model).encode(
      texts, prompt=prompt, dim=dim, show_progress=True
  )
  with replacing(output) as temporary, open(temporary, "wb") as file:
    np.save(file, vectors)
  print(f"{output}: {vectors.shape[0]:,} vectors of {vectors.shape[1]}")


def _read(path: pathlib.Path, column: str) -> list[str]:
  texts = []
  if ".jsonl" in path.suffixes:
    for number, row in read_jsonl(path):
      if not isinstance(row.get(column), str):
        raise UserError(
            f"{path}, row {number}: no text in column '{column}'; its columns "
            f"are {', '.join(row)}. Name another with --column"
        )
      texts.append(row[column])
  else:
    if not path.is_file():
      raise UserError(f"{path}: no such file; expected .txt or .jsonl(.gz)")
    try:
      texts = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as e:
      raise UserError(
          f"{path}: not UTF-8 at byte {e.start}; convert the file to UTF-8"
      ) from e
  if not texts:
    raise UserError(f"{path}: there are no texts in it")
  return texts
