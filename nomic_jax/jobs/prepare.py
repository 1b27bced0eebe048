# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""`nomic-jax prepare`."""

from collections.abc import Sequence
from typing import Annotated

from nomic_jax.cli.flags import Flag
from nomic_jax.cli.flags import Names
from nomic_jax.cli.flags import Path


def _rows_or_share(text: str) -> int | str:
  return int(text) if text.isdigit() else text


def _classes(text: str) -> list[str]:
  return text.split(",") if text else []


def prepare(
  *,
  source: Path,
  output: Path,
  vocab_size: int = 8192,
  tokenizer: Path | None = None,
  strip_accents: bool = False,
  allow_unk: bool = False,
  held_out: float = 0.07,
  limit: int | None = None,
  query_column: str = "query",
  document_column: str = "document",
  negatives_column: str = "negatives",
  columns: Names = (),
  kind: str | None = None,
  documents: Path | None = None,
  document_id: str | None = None,
  document_text: str | None = None,
  queries: Names = (),
  include: Annotated[Sequence[str], Flag("PATTERN")] = (),
  label_column: Annotated[str | None, Flag("NAME")] = None,
  score_column: Annotated[str | None, Flag("NAME")] = None,
  negatives_scores_column: Annotated[str | None, Flag("NAME")] = None,
  classes: Annotated[Sequence[str], Flag("NAME,...", _classes)] = (),
  skip_bad: Annotated[int | str, Flag("N", _rows_or_share)] = 0,
  whole_batches: Annotated[int, Flag("ROWS")] = 1,
  keep_copies: bool = False,
  overwrite: bool = False,
  beam: Annotated[str | None, Flag("FLAGS")] = None,
) -> None:
  """Converts text to a data directory with a tokenizer.

  Args:
    source: 'docstrings' (of the Python installed here), 'docstrings:FOLDER'; a
      .csv, .tsv, .jsonl or .txt file, all also with .gz or .zst, a .parquet
      file, or a folder of them; a folder of Markdown; a folder of
      save_to_disk; a BEIR folder; a .yaml specification of data sets;
      glue:FILE.tsv; hf:OWNER/NAME; in a bucket: gs://... or s3://...
    output: data directory to make; appears when it is complete
    vocab_size: tokens of the WordPiece tokenizer trained on the text
    tokenizer: use this folder or tokenizer.json instead of training one
    strip_accents: train the tokenizer without nonspacing marks: cafe for café;
      not for languages whose marks are letters, such as Japanese, Hindi and
      Thai
    allow_unk: accept a tokenizer to which more than 5 % of the texts are
      unknown
    held_out: share of the rows kept for evaluation (split test); 0: no such
      split
    limit: read no more rows than this: the first ones, or evenly spaced ones
      of docstrings
    query_column: of each row; --query_column= if rows are text alone
    document_column: of each row
    negatives_column: of each row, a list of texts; may be absent
    columns: what the columns have, where their names do not say so: ROLE=COLUMN
      with commas between, such as query=subject,document=resolution.text,
      negatives=wrong_1+wrong_2; roles are query, document, negatives, score,
      label and title; #1 is the first of a table without a line of names
    kind: of the rows, where their columns do not say so: pairs, triplets,
      scores, labels or text
    documents: a table of the documents, of which the rows have ids
    document_id: column of --documents with the ids; and of the rows, unless
      --columns document=COLUMN names another
    document_text: column of --documents with the texts, several with + between
    queries: make pairs of documents that have no queries: of each its title and
      body (title), its headings and their sections (heading), two crops (crop);
      several with commas between
    include: read only these files of a folder, such as '*.jsonl'; repeatable;
      without it all but those called test, dev or validation
    label_column: of each row, a label or a list of them; without it, 'labels'
      or 'label' where they are numbers or --classes is given
    score_column: of each row, a teacher's score of the document
    negatives_scores_column: of each row, a list of the scores of its negatives
    classes: names of the labels, class 0 first; or numbers
    skip_bad: drop and count up to N rows, or N% of the rows, that cannot be
      used; if there are more, the job stops and reports the first
    whole_batches: leave out the last rows of each file that do not fill a
      batch of this size, as contrastors does of each shard
    keep_copies: keep rows that equal an earlier one in all columns
    overwrite: replace an output made with other flags
    beam: let the workers of Apache Beam do it, with these flags of Beam's own,
      such as --beam='--runner=DirectRunner --direct_num_workers=8
      --direct_running_mode=multi_processing'; they must see the files and the
      folder of the output
  """
  from nomic_jax.data import prepare as data

  data.prepare(
    source,
    output,
    vocab_size,
    tokenizer,
    limit,
    held_out,
    query_column,
    document_column,
    negatives_column,
    classes,
    skip_bad,
    overwrite,
    beam,
    whole_batches,
    keep_copies,
    include,
    label_column,
    score_column,
    negatives_scores_column,
    strip_accents,
    allow_unk,
    columns,
    kind,
    documents,
    document_id,
    document_text,
    queries,
  )
