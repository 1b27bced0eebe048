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
    model: model or work directory
    input: data directory; its split train gets negatives, others are copied
    output: data directory to make; `score` is the cosine of each pair and
      `negative_scores` those of its negatives, NaN for random ones
    within_source: compare only rows of the same source
    query_prompt: put before each query; without it the source's own if the
      model knows it, else the model's
    document_prompt: put before each document, likewise
    dtype: that the model computes in
    store: of the vectors searched; others take less memory and miss some; the
      job reports how many
    distributed: one of several processes that share a disk and the work
    negatives: for each pair
    minimum: with fewer than this a pair is short of them; without it, all of
      --negatives
    short: fill a pair that is short up to the minimum, drop it, or keep it as
      it is
    depth: nearest documents looked at for each query; 0: random negatives only
    margin: no negative scores above this share of the positive, of several the
      least similar; none: whatever it scores
    skip: leave out this many of the nearest that are not positives
    corpus: also mine from these: a BEIR folder, a data directory, .jsonl or
      .txt; repeatable
    random_sources: their rows keep the negatives they have and get random ones;
      without it, those with prompts for classification or clustering
    seed: of random negatives
    chunk_size: queries between two marks to resume from
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
