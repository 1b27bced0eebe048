# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""`nomic-jax embed`."""

from typing import Literal

from nomic_jax.cli.flags import Path


def embed(
  *,
  model: Path,
  input: Path,
  output: Path,
  column: str = "text",
  prompt: str | None = None,
  dim: int | None = None,
  normalize: bool | None = None,
  precision: Literal["float32", "int8", "binary"] = "float32",
  dtype: Literal["float32", "bfloat16"] = "float32",
  pooled_norm: bool = False,
) -> None:
  """Embeds a file's texts; resumes.

  Args:
    model: model or work directory
    input: .txt or .jsonl, both also with .gz or .zst, or .parquet
    output: .npy to make, row i for text i; or .parquet, with the vectors as
      `embedding` beside the texts
    column: of jsonl or parquet rows
    prompt: name of the prompt before each text, such as search_query
    dim: keep this many dimensions
    normalize: scale vectors to length 1, or do not; without either, as the
      model's files say
    precision: of the vectors written
    dtype: to compute in; bfloat16 is faster
    pooled_norm: apply a LayerNorm to the pooled vector although the model's
      files name none, as nomic-embed-text-v1.5's as published
  """
  from nomic_jax.embed import file

  file.embed_file(
    model,
    input,
    output,
    column=column,
    prompt=prompt,
    dim=dim,
    normalize=normalize,
    precision=precision,
    dtype=dtype,
    pooled_norm=pooled_norm,
  )
