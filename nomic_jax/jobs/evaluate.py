# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""`nomic-jax evaluate`."""

from collections.abc import Sequence
from typing import Annotated

from nomic_jax.cli.flags import Flag
from nomic_jax.cli.flags import Numbers
from nomic_jax.cli.flags import Path
from nomic_jax.cli.flags import Paths


def evaluate(
  *,
  model: Sequence[Path] = (),
  tasks: Annotated[Paths, Flag("TASK,...")],
  data: Path | None = None,
  baseline: Sequence[str] = (),
  dim: Numbers = (),
  max_tokens: int | None = None,
  pooled_norm: bool = False,
  curves: bool = False,
  output: Path | None = None,
) -> dict:
  """Scores models on tasks, as a table.

  Args:
    model: [NAME=]DIR of a model or a training; repeatable
    tasks: names or [NAME=]FOLDER; repeatable
    data: folder with the data of tasks given by name, here or in a bucket
    baseline: what the others are to beat: bm25, bm25-tuned or the NAME of a
      --model; repeatable, the strongest counts
    dim: score each model with its vectors cut to each of these dimensions, such
      as 768,512,256,128,64, as NAME@DIM
    max_tokens: truncate texts to so many tokens, such as 512 as MTEB's tasks
      always do; tasks whose name says a length keep theirs
    pooled_norm: apply a LayerNorm to the pooled vector although the model's
      files name none, as nomic-embed-text-v1.5's as published
    curves: also score with fewer dimensions, and as int8 and binary; makes a
      .png
    output: .json to make; beside it the tables as .md and a page as .html;
      without it, the tables are only printed
  """
  from nomic_jax.report import evaluate as scores

  return scores.evaluate(
    model,
    tasks,
    output,
    baselines=baseline,
    data=data,
    with_curves=curves,
    dims=dim,
    max_tokens=max_tokens,
    pooled_norm=pooled_norm,
  )
