# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""`nomic-jax evaluate`."""

from collections.abc import Sequence
from typing import Annotated
from typing import Literal

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
  hybrid: Annotated[
    Literal["bm25", "bm25-tuned"] | None, Flag(bare="bm25")
  ] = None,
  dim: Numbers = (),
  max_tokens: int | None = None,
  pooled_norm: bool = False,
  curves: bool = False,
  output: Path | None = None,
) -> dict:
  """Scores models on tasks and prints a table.

  Args:
    model: model or work directory, as [NAME=]DIR; repeatable
    tasks: names of tasks, or [NAME=]PATH of a folder or table; repeatable
    data: folder with the data of tasks given by name, local or in a bucket
    baseline: system to compare with: bm25, bm25-tuned or the NAME of a --model;
      repeatable: models are then compared with the strongest baseline
    hybrid: also score each model fused with BM25 by reciprocal rank, as
      NAME+bm25, and report whether that beats both; --hybrid=bm25-tuned uses
      bm25-tuned
    dim: also score each model with vectors truncated to these dimensions, such
      as 768,512,256,128,64, as NAME@DIM
    max_tokens: truncate texts to this many tokens; has no effect on MTEB tasks,
      which always use 512, or on tasks whose name contains a length (such as
      needle@2048)
    pooled_norm: apply a LayerNorm to the pooled vector even if the model's
      files do not specify it, as in nomic-embed-text-v1.5
    curves: also score with fewer dimensions, and as int8 and binary; --output
      also gets a plot of these scores (.png)
    output: .json file to write; tables (.md) and a page (.html) are written
      beside it; without it, tables are only printed
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
    hybrid=hybrid,
  )
