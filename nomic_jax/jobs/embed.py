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
  """Embeds the texts of a file; resumes after an interruption.

  Args:
    model: model or work directory, or Hub name
    input: .txt, .csv, .tsv or .jsonl, all also with .gz or .zst, or .parquet;
      local or in a bucket
    output: .npy file to write, row i for text i; or .parquet, with the vectors
      in the column `embedding` beside the texts; local or in a bucket
    column: column to embed, except for .txt
    prompt: name of the prompt to put before each text, such as search_query
    dim: number of dimensions to keep
    normalize: whether to scale vectors to length 1; by default, as the model's
      files specify
    precision: precision of the written vectors
    dtype: compute dtype; bfloat16 is faster
    pooled_norm: apply a LayerNorm to the pooled vector even if the model's
      files do not specify it, as in nomic-embed-text-v1.5
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
