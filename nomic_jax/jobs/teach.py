# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""`nomic-jax teach`."""

from typing import Literal

from nomic_jax.cli.flags import Path


def teach(
  *,
  model: Path,
  input: Path,
  output: Path,
  split: str = "train",
  dtype: Literal["float32", "bfloat16"] = "float32",
) -> None:
  """Embeds the texts of a data directory with a teacher, for distillation.

  Args:
    model: model or work directory, or Hub name
    input: data directory
    output: folder to write SPLIT-query.npy and SPLIT-document.npy to, float32
      [N, D]
    split: split of the data directory to embed
    dtype: compute dtype of the model
  """
  from nomic_jax.curate import teach as teaching

  teaching.teach(model, input, output, split, dtype)
