# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""`nomic-jax adapt`."""

from collections.abc import Sequence
from typing import Annotated

from nomic_jax.cli.flags import ConfigKeys
from nomic_jax.cli.flags import Flag
from nomic_jax.cli.flags import Names
from nomic_jax.cli.flags import NO_KEYS
from nomic_jax.cli.flags import Path
from nomic_jax.cli.flags import rows_or_share


def adapt(
  *,
  model: Path,
  source: Path,
  output: Path,
  columns: Annotated[Names, Flag("ROLE=COLUMN,...")] = (),
  kind: str | None = None,
  documents: Path | None = None,
  document_id: str | None = None,
  document_text: str | None = None,
  queries: Annotated[Names, Flag("KIND,...")] = (),
  include: Annotated[Sequence[str], Flag("PATTERN")] = (),
  limit: int | None = None,
  skip_bad: Annotated[int | str, Flag("N", rows_or_share)] = 0,
  held_out: float | None = None,
  negatives: int | None = None,
  epochs: float | None = None,
  batch_size: int | None = None,
  learning_rate: float | None = None,
  export_start: bool = False,
  config: ConfigKeys = NO_KEYS,
) -> dict:
  """Adapts a model to your text, compares it with the original and exports it.

  Args:
    model: model directory or Hub name to start from
    source: pairs, texts with classes, or pairs with scores: anything that
      --source of nomic-jax prepare accepts, or a data directory
    output: folder for all results; the same command resumes there
    columns: column of each role, if it does not have a recognised name: a
      comma-separated list of ROLE=COLUMN, such as
      query=subject,document=resolution.text; see nomic-jax prepare
    kind: kind of the rows if their columns do not determine it: pairs,
      triplets, scores or labels
    documents: table of the documents, if rows only have document ids
    document_id: column of --documents with the ids
    document_text: column of --documents with the texts
    queries: how to make queries if there are none: title, heading or crop;
      several separated by commas; default: all three
    include: read only files of a folder that match, such as '*.jsonl';
      repeatable
    limit: largest number of rows to read
    skip_bad: drop and count up to N rows, or N% of the rows, that cannot be
      used
    held_out: fraction of the rows held out for the comparison; default: 200
      rows, but at least 7 % and at most 30 %
    negatives: hard negatives per query, mined with the model if rows have none,
      or 0; default: a short trial on training rows decides
    epochs: maximum number of passes over the training rows; training ends
      earlier if development rows show no further gain
    batch_size: pairs per step
    learning_rate: peak learning rate
    export_start: if training did not improve the model, write the original to
      OUTPUT/model; by default, nothing is written in that case
    config: sets a field of configs/adapt.py or, for rows with scores, of
      configs/scores.py, such as config.optimizer.b2
  """
  from nomic_jax.adapting import adaptation

  return adaptation.adapt(
    model,
    source,
    output,
    negatives=negatives,
    epochs=epochs,
    batch_size=batch_size,
    learning_rate=learning_rate,
    held_out=held_out,
    export_start=export_start,
    overrides=config,
    columns=tuple(columns),
    kind=kind,
    documents=documents,
    document_id=document_id,
    document_text=document_text,
    queries=tuple(queries),
    include=tuple(include),
    limit=limit,
    skip_bad=skip_bad,
  )
