# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""`nomic-jax filter`."""

from typing import Any

from nomic_jax.cli import comparing
from nomic_jax.cli.flags import Path
from nomic_jax.cli.flags import shares


@shares(comparing.flags)
def filter(
  *,
  model: Path,
  input: Path,
  output: Path,
  distributed: bool = False,
  k: int = 2,
  chunk_size: int = 1_000_000,
  minimum_similarity: float | None = None,
  margin: float | None = None,
  **compared: Any,
) -> None:
  """Keeps pairs whose document the model ranks among the nearest to the query.

  Args:
    model: model or work directory, or Hub name
    input: data directory; its train split is filtered, others are copied
    output: data directory to write; its `score` is the cosine of each pair
    distributed: run as one of several processes, which share a disk and divide
      the work
    k: keep a pair if the document is among the k nearest to its query; 0: use
      only --minimum_similarity
    chunk_size: maximum number of rows compared with each other; chunks have
      equal size
    minimum_similarity: drop every pair with a cosine below this
    margin: also keep a pair whose cosine is at most this much below that of the
      k-th nearest document
    **compared: see cli/comparing.py
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
      **compared,
    )
