# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""`nomic-jax search`."""

from collections.abc import Sequence
from typing import Annotated

from nomic_jax.cli.flags import Flag
from nomic_jax.cli.flags import Path


def search(
  questions: Annotated[Sequence[str], Flag("QUESTION")] = (),
  *,
  model: Path,
  corpus: Path,
  top: int = 5,
  index: Path | None = None,
) -> None:
  """Answers questions from a corpus.

  Args:
    questions: what to ask; without any, reads them from the terminal or from
      standard input
    model: model or work directory
    corpus: data directory, BEIR folder, .jsonl with `document` or `text` and
      perhaps `location`, or .txt with a text on each line, both also with .gz
      or .zst; here or in a bucket
    top: hits for a question
    index: where the corpus's vectors are kept; without it, in MODEL.index/, or
      where that cannot be written in ~/.cache/nomic_jax
  """
  from nomic_jax.search import answer

  answer.search(model, corpus, questions, top, index)
