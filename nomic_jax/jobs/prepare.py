# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""`nomic-jax prepare`."""

from collections.abc import Sequence
from typing import Annotated
from typing import Literal

from nomic_jax.cli.flags import Flag
from nomic_jax.cli.flags import Names
from nomic_jax.cli.flags import Path
from nomic_jax.cli.flags import rows_or_share


def _classes(text: str) -> list[str]:
  return text.split(",") if text else []


def prepare(
  *,
  source: Path,
  output: Path,
  vocab_size: int = 8192,
  tokenizer: Path | None = None,
  tokenizer_kind: Literal["wordpiece", "bpe", "unigram"] = "wordpiece",
  strip_accents: bool = False,
  allow_unk: bool = False,
  held_out: float = 0.07,
  limit: int | None = None,
  query_column: str = "query",
  document_column: str = "document",
  negatives_column: str = "negatives",
  columns: Annotated[Names, Flag("ROLE=COLUMN,...")] = (),
  kind: str | None = None,
  documents: Path | None = None,
  document_id: str | None = None,
  document_text: str | None = None,
  queries: Annotated[Names, Flag("KIND,...")] = (),
  include: Annotated[Sequence[str], Flag("PATTERN")] = (),
  label_column: Annotated[str | None, Flag("NAME")] = None,
  score_column: Annotated[str | None, Flag("NAME")] = None,
  negatives_scores_column: Annotated[str | None, Flag("NAME")] = None,
  classes: Annotated[Sequence[str], Flag("NAME,...", _classes)] = (),
  skip_bad: Annotated[int | str, Flag("N", rows_or_share)] = 0,
  whole_batches: Annotated[int, Flag("ROWS")] = 1,
  keep_copies: bool = False,
  overwrite: bool = False,
  beam: Annotated[str | None, Flag("FLAGS")] = None,
) -> None:
  """Converts text to a data directory with a tokenizer.

  Args:
    source: 'docstrings' (of the installed Python packages),
      'docstrings:FOLDER'; a .csv, .tsv, .jsonl or .txt file, all also with .gz
      or .zst, a .parquet file, or a folder of them; a folder of Markdown; a
      folder written by save_to_disk; a BEIR folder; a .yaml specification of
      data sets; glue:FILE.tsv; hf:OWNER/NAME; in a bucket: gs://... or s3://...
    output: data directory to write; it appears when complete
    vocab_size: size of the tokenizer to train on the text
    tokenizer: folder or tokenizer.json to use instead of training one
    tokenizer_kind: kind of tokenizer to train: wordpiece (lower case, like
      BERT's), bpe (of bytes, like RoBERTa's) or unigram (like XLM-R's)
    strip_accents: train the tokenizer without nonspacing marks (cafe for café);
      not suited to languages in which marks matter, such as Japanese, Hindi and
      Thai
    allow_unk: accept data with more than 5 % unknown tokens
    held_out: fraction of the rows held out for evaluation (split test); 0: none
    limit: maximum number of rows to read: the first ones, or for docstrings
      evenly spaced ones
    query_column: column with the query; pass an empty value (--query_column=)
      if the rows are plain text
    document_column: column with the document
    negatives_column: column with a list of negatives; may be absent
    columns: column of each role, if it does not have a recognised name: a
      comma-separated list of ROLE=COLUMN, such as
      query=subject,document=resolution.text, negatives=wrong_1+wrong_2; roles
      are query, document, negatives, score, label and title; #1 is the first
      column of a table without a header
    kind: kind of the rows if their columns do not determine it: pairs,
      triplets, scores, labels or text
    documents: table of the documents, if rows only have document ids
    document_id: column of --documents with the ids; rows refer to them in the
      column of the same name, unless --columns document=COLUMN names another
    document_text: column of --documents with the text; several joined by +
    queries: how to make pairs from documents that have no queries: title and
      body (title), headings and their sections (heading), two crops of the text
      (crop); several separated by commas
    include: read only files of a folder that match, such as '*.jsonl';
      repeatable; default: all except those whose names mark them as held
      out, such as test, dev or validation
    label_column: column with a label or a list of labels; default: a column
      called labels, label, category, intent or class; with pairs only if it
      holds numbers or --classes is set
    score_column: column with a teacher's score of the document
    negatives_scores_column: column with a list of scores of the negatives
    classes: the class labels in order, class 0 first; they may be names or
      numbers
    skip_bad: drop and count up to N rows, or N% of the rows, that cannot be
      used; if there are more, the job stops and reports the first ones
    whole_batches: drop the rows at the end of each file that do not fill a
      batch of this size, as contrastors does for each shard
    keep_copies: keep rows that equal an earlier one in all columns
    overwrite: replace an output made with other flags
    beam: run on Apache Beam with these flags, such as
      --beam='--runner=DirectRunner --direct_num_workers=8
      --direct_running_mode=multi_processing'; workers must have access to the
      input and the output
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
    tokenizer_kind,
  )
