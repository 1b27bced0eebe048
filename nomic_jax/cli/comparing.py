# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Flags of the jobs that compare the texts of a data directory by a model."""

from typing import Annotated
from typing import Literal

from nomic_jax.cli.flags import Flag


def flags(
  *,
  within_source: bool = False,
  query_prompt: Annotated[str | None, Flag("TEXT")] = None,
  document_prompt: Annotated[str | None, Flag("TEXT")] = None,
  dtype: Literal["float32", "bfloat16"] = "float32",
  store: Literal["float32", "bfloat16", "int8"] = "float32",
) -> None:
  """Describes the flags.

  Args:
    within_source: compare only rows of the same source
    query_prompt: text to put before each query; default: the source's own
      prompt if the model knows it, else the model's prompt
    document_prompt: the same for each document
    dtype: compute dtype of the model
    store: dtype of the searched vectors; smaller types use less memory and miss
      some neighbours; the job reports how many
  """
