# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""`nomic-jax mine`."""

from typing import Annotated
from typing import Any
from typing import Literal

from nomic_jax.cli import comparing
from nomic_jax.cli.flags import Flag
from nomic_jax.cli.flags import Names
from nomic_jax.cli.flags import Path
from nomic_jax.cli.flags import Paths
from nomic_jax.cli.flags import shares


def _share_or_none(text: str) -> float | None:
  return None if text == "none" else float(text)


@shares(comparing.flags)
def mine(
  *,
  model: Path,
  input: Path,
  output: Path,
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
  **compared: Any,
) -> None:
  """Adds hard negatives to every pair.

  Args:
    model: model or work directory, or Hub name
    input: data directory; its train split gets negatives, others are copied
    output: data directory to write; its `score` is the cosine of each pair, and
      `negative_scores` are those of its negatives, NaN for random ones
    distributed: run as one of several processes, which share a disk and divide
      the work
    negatives: number of negatives per pair
    minimum: smallest number of negatives of a pair, see --short; default:
      --negatives
    short: what to do with a pair that has fewer negatives than --minimum: add
      random ones, drop the pair, or keep it unchanged
    depth: number of nearest documents examined per query; 0: only random
      negatives
    margin: largest score of a negative, as a fraction of the score of the
      positive (the least similar one if there are several); none: no limit
    skip: number of nearest documents to skip, not counting positives
    corpus: also mine from a BEIR folder, data directory, .jsonl or .txt;
      repeatable
    random_sources: sources to add random negatives to instead of mining; their
      rows keep existing negatives; default: sources with prompts for
      classification or clustering
    seed: seed of the random negatives
    chunk_size: number of queries between saves
    **compared: see cli/comparing.py
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
      chunk_size=chunk_size,
      **compared,
    )
