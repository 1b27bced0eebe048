# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""`nomic-jax clean`."""

from typing import Annotated

from nomic_jax.cli.flags import Flag
from nomic_jax.cli.flags import Names
from nomic_jax.cli.flags import Path
from nomic_jax.cli.flags import Paths


def clean(
  *,
  input: Path,
  output: Path,
  min_words: int | None = None,
  max_words: int | None = None,
  languages: Annotated[Names, Flag("CODE,...")] = (),
  near: float | None = None,
  against: Paths = (),
  ngram: int = 8,
  overlap: float = 0.5,
) -> None:
  """Drops copies, junk, and texts of evaluation sets.

  Args:
    input: data directory; its split train is cleaned, others are copied
    output: data directory to make; its removed.jsonl says of each row dropped
      why, and what shows it
    min_words: fewest words of a document; in scripts without spaces,
      characters
    max_words: most words of a document
    languages: keep only texts in these, such as en
    near: also drop pairs of this Jaccard similarity (of words and runs of
      words) to an earlier one, such as 0.8
    against: drop rows that hold a text of these evaluation sets: data
      directories (splits but train), BEIR folders (test), .jsonl or .txt, here
      or in a bucket; repeatable
    ngram: words in a run by which texts are compared to those
    overlap: share of an evaluation text's runs that must be found
  """
  from nomic_jax.curate import clean as cleaning

  cleaning.clean(
    input,
    output,
    min_words=min_words,
    max_words=max_words,
    languages=languages,
    near=near,
    against=against,
    ngram=ngram,
    overlap=overlap,
  )
