# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""`nomic-jax classify`."""

from nomic_jax.cli.flags import Path


def classify(
  *,
  model: Path,
  input: Path,
  output: Path,
  column: str = "text",
  second_column: str | None = None,
  all: bool = False,
) -> None:
  """Predicts the class of every text of a file.

  Args:
    model: classifier: a work directory of configs/classify.py, or its export
    input: .txt with one text per line; .csv, .tsv or .jsonl, all also with .gz
      or .zst; or .parquet
    output: .csv, .tsv or .jsonl file to write; each row has a text, its class
      (label) and the probability of the class
    column: column of the input with the texts
    second_column: column of the input with the second text of each pair
    all: also write the probability of each class, as p_CLASS
  """
  from nomic_jax.embed import classify_file

  classify_file.classify_file(
    model, input, output, column=column, second_column=second_column, all=all
  )
