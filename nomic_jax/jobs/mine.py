# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""`nomic-jax mine`."""

from typing import Annotated
from typing import Literal

from nomic_jax.cli.flags import Flag
from nomic_jax.cli.flags import Names
from nomic_jax.cli.flags import Path
from nomic_jax.cli.flags import Paths


def _share_or_none(text: str) -> float | None:
  return None if text == "none" else float(text)


def mine(
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
  negatives: int = 20,
  minimum: int | None = None,
  short: Literal["random", "drop", "keep"] = "random",
  depth: int = 100,
  margin: Annotated[float | None, Flag(parse=_share_or_none)] = 0.95,
  skip: int = 0,
  corpus: Paths = (),
  random_sources: Annotated[Names | None, Flag("SOURCE,...")] = None,
  seed: int = 0,
  chunk_size: int = 65_536,
) -> None:
  """Adds hard negatives to every pair.

  Args:
    model: model or work directory, or Hub name
    input: data directory; its train split gets negatives, others are copied
    output: data directory to write; its `score` is the cosine of each pair, and
      `negative_scores` are those of its negatives, NaN for random ones
    within_source: compare only rows of the same source
    query_prompt: text to put before each query; default: the source's own
      prompt if the model knows it, else the model's prompt
    document_prompt: the same for each document
    dtype: compute dtype of the model
    store: dtype of the searched vectors; smaller types use less memory and miss
      some neighbours; the job reports how many
    distributed: run as one of several processes that share a disk and the work
    negatives: number of negatives per pair
    minimum: a pair with fewer negatives is short; default: --negatives
    short: what to do with a short pair: add random negatives up to the minimum,
      drop the pair, or keep it unchanged
    depth: number of nearest documents examined per query; 0: only random
      negatives
    margin: largest score of a negative, as a fraction of the score of the
      positive (the least similar one if there are several); none: no limit
    skip: number of nearest documents to skip, not counting positives
    corpus: also mine from a BEIR folder, data directory, .jsonl or .txt;
      repeatable
    random_sources: sources whose rows keep their negatives and get random ones;
      default: those with prompts for classification or clustering
    seed: seed of the random negatives
    chunk_size: number of queries between saves
  """
  from nomic_jax.curate import mine as mining
  from nomic_jax.mesh import processes

  with processes.joined(distributed):
    mining.mine_negatives(
      model,
      input,
      output,
      negatives=negatives,
      minimum=minimum,
      depth=depth,
      skip=skip,
      margin=margin,
      short=short,
      seed=seed,
      corpus=corpus,
      random_sources=random_sources,
      within_source=within_source,
      query_prompt=query_prompt,
      document_prompt=document_prompt,
      dtype=dtype,
      store=store,
      chunk_size=chunk_size,
    )
