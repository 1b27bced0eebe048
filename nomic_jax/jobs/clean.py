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
  """Drops copies, unusable rows and texts of evaluation sets.

  Args:
    input: data directory; its train split is cleaned, others are copied
    output: data directory to write; its removed.jsonl lists each dropped row
      with the reason
    min_words: minimum number of words in a document (of characters, for scripts
      without spaces)
    max_words: maximum number of words in a document
    languages: keep only texts in these languages, such as en
    near: also drop pairs with at least this Jaccard similarity (of word
      trigrams) to an earlier pair, such as 0.8
    against: drop rows that contain a text of these evaluation sets: data
      directories (all splits but train), BEIR folders (test), .txt, or .jsonl,
      .csv, .tsv or .parquet (queries and documents), local or in a bucket;
      repeatable
    ngram: length of the word n-grams used for that comparison
    overlap: fraction of an evaluation text's n-grams that must be found
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
