# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""`nomic-jax filter`."""

from typing import Annotated
from typing import Literal

from nomic_jax.cli.flags import Flag
from nomic_jax.cli.flags import Path


def filter(
  *,
  model: Path,
  input: Path,
  output: Path,
  within_source: bool = False,
  query_prompt: Annotated[str | None, Flag("TEXT")] = None,
  document_prompt: Annotated[str | None, Flag("TEXT")] = None,
  dtype: Literal["float32", "bfloat16"] = "float32",
  store: Literal["float32", "bfloat16", "int8"] = "float32",
  distributed: bool = False,
  k: int = 2,
  chunk_size: int = 1_000_000,
  minimum_similarity: float | None = None,
  margin: float | None = None,
) -> None:
  """Keeps pairs whose document the model finds for their query.

  Args:
    model: model or work directory, or Hub name
    input: data directory; its train split is filtered, others are copied
    output: data directory to write; its `score` is the cosine of each pair
    within_source: compare only rows of the same source
    query_prompt: text to put before each query; default: the source's own
      prompt if the model knows it, else the model's prompt
    document_prompt: the same for each document
    dtype: compute dtype of the model
    store: dtype of the searched vectors; smaller types use less memory and miss
      some neighbours; the job reports how many
    distributed: run as one of several processes that share a disk and the work
    k: keep a pair if the document is among the k nearest to its query; 0: use
      only --minimum_similarity
    chunk_size: maximum number of rows compared with each other; chunks have
      equal size
    minimum_similarity: also drop pairs with a cosine below this
    margin: also keep a pair whose cosine is within this of the k-th
  """
  from nomic_jax.curate import filter as filtering
  from nomic_jax.mesh import processes

  with processes.joined(distributed):
    filtering.filter_pairs(
      model,
      input,
      output,
      k=k,
      chunk_size=chunk_size,
      minimum_similarity=minimum_similarity,
      margin=margin,
      within_source=within_source,
      query_prompt=query_prompt,
      document_prompt=document_prompt,
      dtype=dtype,
      store=store,
    )
