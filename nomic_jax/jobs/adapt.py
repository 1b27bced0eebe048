# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""`nomic-jax adapt`."""

from collections.abc import Sequence
from typing import Annotated

from nomic_jax.cli.flags import ConfigFlags
from nomic_jax.cli.flags import Flag
from nomic_jax.cli.flags import Names
from nomic_jax.cli.flags import Path


def _rows_or_share(text: str) -> int | str:
  return int(text) if text.isdigit() else text


def adapt(
  *,
  model: Path,
  source: Path,
  output: Path,
  columns: Names = (),
  kind: str | None = None,
  documents: Path | None = None,
  document_id: str | None = None,
  document_text: str | None = None,
  queries: Names = (),
  include: Annotated[Sequence[str], Flag("PATTERN")] = (),
  limit: int | None = None,
  skip_bad: Annotated[int | str, Flag("N", _rows_or_share)] = 0,
  held_out: float | None = None,
  negatives: int | None = None,
  epochs: float | None = None,
  batch_size: int | None = None,
  learning_rate: float | None = None,
  export_start: bool = False,
  config: ConfigFlags = (),
) -> dict:
  """Adapts a model to text of yours: prepares, trains, compares, exports.

  Args:
    model: model directory or Hub name to start from
    source: pairs, texts with classes or pairs with scores: whatever nomic-jax
      prepare reads as --source, or a data directory
    output: folder of all results; the same command resumes there
    columns: what the columns have, where their names do not say so: ROLE=COLUMN
      with commas between, such as query=subject,document=resolution.text; see
      nomic-jax prepare
    kind: of the rows, where their columns do not say so: pairs, triplets,
      scores or labels
    documents: a table of the documents, of which the rows have ids
    document_id: column of --documents with the ids
    document_text: column of --documents with the texts
    queries: make pairs of documents that have no queries, by title, heading or
      crop; several with commas between
    include: read only these files of a folder, such as '*.jsonl'; repeatable
    limit: read no more rows than this
    skip_bad: drop and count up to N rows, or N% of the rows, that cannot be
      used
    held_out: share of the rows kept for the comparison; without it, as much as
      makes 200 rows, but between 7 % and 30 %
    negatives: hard negatives for each query, mined with the model where rows
      have none, or 0; without it, a short trial on training rows decides
    epochs: passes over the training rows; it ends earlier when held-out
      training rows show no gain
    batch_size: pairs in a step
    learning_rate: at its highest
    export_start: write the model as it was given to OUTPUT/model if the
      training did not improve it; without it no model is written then
    config: any other field of configs/adapt.py, as --config.KEY=VALUE
  """
  from nomic_jax import adaptation

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
