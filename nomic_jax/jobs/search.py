# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""`nomic-jax search`."""

from collections.abc import Sequence
from typing import Annotated
from typing import Literal

from nomic_jax.cli.flags import Flag
from nomic_jax.cli.flags import Path


def search(
  questions: Annotated[Sequence[str], Flag("QUESTION")] = (),
  *,
  model: Path,
  corpus: Path,
  top: int = 5,
  index: Path | None = None,
  hybrid: Annotated[
    Literal["bm25", "bm25-tuned"] | None, Flag(bare="bm25")
  ] = None,
  json: bool = False,
  precision: Literal["float32", "int8"] = "float32",
) -> None:
  """Answers questions from a corpus.

  Args:
    questions: the questions; default: read from the terminal or standard input
    model: model or work directory, or Hub name
    corpus: data directory; BEIR folder; folder of Markdown; .txt with one text
      per line; or .jsonl, .csv or .tsv (all also with .gz or .zst) or .parquet
      with `document` or `text` and optionally `location` or `id`; local or in a
      bucket
    top: number of hits per question
    index: folder for the vectors of the corpus; default: in MODEL.index/ or, if
      that is not writable, in ~/.cache/nomic_jax
    hybrid: fuse the model's ranking with that of BM25 by reciprocal rank;
      scores are then sums of 1 / (60 + rank)
    json: print an object per question, with its hits, instead of a table
    precision: precision of the vectors in the index; int8 takes a quarter of
      the disk and memory and may miss a few neighbours
  """
  from nomic_jax.search import answer

  answer.search(model, corpus, questions, top, index, hybrid, json, precision)
