# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Prepares text, local or in a bucket, as a data directory for training.

Rows that share a text, a document or a package form groups. Whole groups are
held out, so that a model is not tested on copies of its training data. Rows are
read three times and are never all in memory: once to assign each to a split
(its fate), and once to write each of the two splits. With Apache Beam, many
workers do this with the same result: see `beam`.
"""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import functools
import json
import os
import pathlib
import time
from typing import Any
from typing import cast

import numpy as np
import tokenizers

from nomic_jax.data import beam
from nomic_jax.data import builder
from nomic_jax.data import dataset
from nomic_jax.data import earlier
from nomic_jax.data import manifest
from nomic_jax.data import origins
from nomic_jax.data import prepare_checks as checks
from nomic_jax.data import readers
from nomic_jax.data import sources as sources_lib
from nomic_jax.data import splits as splits_lib
from nomic_jax.data import statistics
from nomic_jax.data.readers import join
from nomic_jax.data.readers import queries as making
from nomic_jax.data.readers import recognise
from nomic_jax.data.readers import roles
from nomic_jax.data.records import Row
from nomic_jax.data.records import spaced
from nomic_jax.errors import UserError
from nomic_jax.storage import decoding
from nomic_jax.storage import fingerprints
from nomic_jax.storage import places
from nomic_jax.storage import streams
from nomic_jax.text import tokenizer as tokenizer_lib

# Default of the share of rows that are held out.
HELD_OUT = 0.07

_KIND = checks.KIND

# Maximum numbers of rows to train a tokenizer on, and to tokenise for
# statistics of lengths; more rows hardly change either.
_TRAINED = 200_000
_MEASURED = 2_000
_FEW = 200  # held-out rows below which a message says that they are few


@places.expanding("source", "output", "tokenizer", "documents")
def prepare(
  source: str,
  output: str | os.PathLike,
  vocab_size: int = 8192,
  tokenizer: str | None = None,
  limit: int | None = None,
  held_out: float | None = HELD_OUT,
  query_column: str = "query",
  document_column: str = "document",
  negatives_column: str = "negatives",
  classes: Sequence[str] = (),
  skip_bad: int | str = 0,
  overwrite: bool = False,
  beam_options: str | None = None,
  whole_batches: int = 1,
  keep_copies: bool = False,
  include: Sequence[str] = (),
  label_column: str | None = None,
  score_column: str | None = None,
  negatives_scores_column: str | None = None,
  strip_accents: bool = False,
  allow_unk: bool = False,
  columns: Sequence[str] = (),
  kind: str | None = None,
  documents: str | None = None,
  document_id: str | None = None,
  document_text: str | None = None,
  queries: Sequence[str] = (),
  tokenizer_kind: str = _KIND,
  queries_if_none: Sequence[str] = (),
) -> dict:
  """Makes the data directory `output` and returns the contents of stats.json.

  Arguments are the flags of `nomic-jax prepare`, described in jobs/prepare.py.
  If `held_out` is None, it is `splits.share_of` the rows. `queries_if_none` is
  the value of `queries` if the rows have no queries (without title if they have
  no titles), and recorded as such.

  Raises:
    earlier.Changed: if `output` was made with other arguments or inputs.
    UserError: for a source, row or argument that cannot be used.
  """
  asked = roles.parse(
    columns,
    readers.Columns(
      query_column,
      document_column,
      negatives_column,
      classes=tuple(name.strip() for name in classes),
      label=label_column,
      score=score_column or "",
      negatives_scores=negatives_scores_column or "",
    ),
  )
  queries = making.check(queries)
  table = _table(documents, document_id, document_text)
  if table and asked.document == readers.Columns().document:
    asked = asked._replace(document=table.id)
  checks.kind(kind, queries)
  checks.numbers(vocab_size, limit, held_out)
  checks.tokenizer(tokenizer, tokenizer_kind, strip_accents)
  checks.reading(source, limit, whole_batches, beam_options)
  output = pathlib.Path(output)
  decoding.check_name(output, "a data directory")
  arguments = {
    "source": origins.absolute(source),
    "limit": limit,
    "held_out": held_out,
    "tokenizer": _absolute(tokenizer),
    "vocab_size": None if tokenizer else vocab_size,
    "columns": [query_column, document_column, negatives_column],
    "classes": list(classes),
    "skip_bad": skip_bad,
  }
  # Recorded only if set, since older data directories lack these arguments. An
  # empty name of a column is set: it says that there is no such column.
  later = {
    "whole_batches": whole_batches if whole_batches > 1 else None,
    "keep_copies": keep_copies,
    "include": list(include),
    "label_column": label_column,
    "score_column": score_column,
    "negatives_scores_column": negatives_scores_column,
    "strip_accents": strip_accents,
    "named": list(columns),
    "kind": kind,
    "documents": table and list(table[:3]),
    "queries": list(queries),
    "tokenizer_kind": tokenizer_kind if tokenizer_kind != _KIND else None,
  }
  arguments |= {
    name: value for name, value in later.items() if value or value == ""
  }
  made = earlier.already(output, arguments, overwrite)
  try:
    origin = origins.find(source, asked, include, table, whole_batches)
    reused = tokenizer_lib.load(tokenizer) if tokenizer else None
  except UserError as e:
    if made is None:
      raise
    print(
      f"{output}: already exists, made with the same arguments; not "
      f"compared with its source ({e})"
    )
    return made
  files = origin.stamps()
  inputs = {
    "source": None if files is None else fingerprints.of_stamps(files),
    "tokenizer": reused and fingerprints.of_text(reused.to_str()),
  }
  if made is not None:
    earlier.check_inputs(output, made.get("inputs", {}), inputs)
    print(f"{output}: already exists, made with the same arguments")
    return made

  clock = _Clock()
  known = origin.recognise(asked, kind, queries)
  if known.name == "text" and queries_if_none:
    origin = origins.find(source, asked, include, table, whole_batches)
    queries = making.check(queries_if_none)
    try:
      known = origin.recognise(asked, kind, queries)
    except recognise.NoTitles:
      queries = tuple(q for q in queries if q != "title")
      known = origin.recognise(asked, kind, queries)
    arguments["queries"] = list(queries)
  rows = origin.open(limit, skip_bad)
  with (
    contextlib.nullcontext()
    if beam_options is None
    else beam.workers(cast(readers.Rows, rows), beam_options, output)
  ) as workers:
    survey = workers.survey() if workers else splits_lib.survey(rows)
    counts = origin.counts()
    if not len(survey.queries):
      raise UserError(
        f"{source}: no usable rows; expected text. Counts of what was read and "
        "dropped: " + json.dumps(counts)
      )
    checks.ids(source, survey.largest_id, reused)
    if held_out is None:
      held_out = splits_lib.share_of(len(survey.queries))
    fates = origin.fates(survey, held_out, keep_copies)
    counts["dropped"]["duplicate row"] += int(np.sum(fates == splits_lib.COPY))
    fate_of = {"train": splits_lib.TRAIN, "test": splits_lib.TEST}
    if not (fates == splits_lib.TEST).any():
      del fate_of["test"]
    clock.lap("read")
    build = (
      workers.builder(fates, fate_of)
      if workers
      else functools.partial(
        builder.Pairs,
        splits={name: _Chosen(rows, fates, fate_of[name]) for name in fate_of},
        prompts=origin.prompts,
      )
    )
    with builder.building(output, build) as folder:
      clock.lap("write")
      words, lengths, sizes = _train_and_measure(
        folder,
        reused,
        vocab_size,
        kind=tokenizer_kind,
        strip_accents=strip_accents,
        cover=0.0 if allow_unk else 0.95,
      )
      if not allow_unk:
        statistics.check_known(lengths, source)
      clock.lap("tokenizer")
      tokenizer_lib.save(words, folder / "tokenizer")
      stats = {
        "arguments": arguments,
        "inputs": inputs,
        "kind": known.to_json(),
        "counts": counts,
        "rows": {
          name: int(np.sum(fates == fate)) for name, fate in fate_of.items()
        },
        "held_out": _packages_held_out(source, folder),
        "sources": dict(survey.sources.most_common()),
        "tokens": lengths,
        "vocab_size": words.get_vocab_size(),
      }
      made_of = {
        "source": {
          "path": arguments["source"],
          "fingerprint": origins.of_files(files),
        },
        "tokenizer": tokenizer
        and {
          "path": arguments["tokenizer"],
          "fingerprint": inputs["tokenizer"],
        },
      }
      builder.complete(
        folder,
        stats,
        {"lengths.svg": statistics.draw(sizes)},
        functools.partial(manifest.of_data, arguments, stats["rows"], made_of),
      )
  statistics.print_table(stats, clock.seconds)
  held = stats["rows"].get("test", 0)
  if 0 < held < _FEW and known.name != "text":
    print(
      f"{held} held-out rows are too few to compare models precisely; hold out "
      "more, for example with --held_out=0.2"
    )
  print(f"wrote {output}; its lengths.svg plots the lengths of texts")
  return stats


def _table(
  path: str | None, id: str | None, text: str | None
) -> join.Table | None:
  """Returns the table of documents that --documents names."""
  if path is None:
    for flag, value in (("id", id), ("text", text)):
      if value is not None:
        raise UserError(
          f"--document_{flag}={value} describes --documents; specify "
          "--documents=TABLE too"
        )
    return None
  return join.table(streams.absolute(path), id, text)


def _absolute(tokenizer: str | None) -> str | None:
  """Returns a local path in a form valid in any working directory."""
  if tokenizer and os.path.exists(tokenizer):
    return os.path.abspath(tokenizer)
  return tokenizer


def _packages_held_out(source: str, folder: pathlib.Path) -> list[str]:
  """Returns the packages of the held-out rows; [] for sources of files."""
  if not origins.is_docstrings(source):
    return []
  runs = sources_lib.read(folder).runs.get("test", ())
  return sorted({name for name, _ in runs})


def _train_and_measure(
  folder: pathlib.Path,
  reused: tokenizers.Tokenizer | None,
  vocab_size: int,
  **options: Any,
) -> tuple[tokenizers.Tokenizer, dict, dict]:
  """Returns the tokenizer, trained if none is given, and lengths of texts."""
  train = dataset.open_split(folder, "train", ids=True)
  words = reused or tokenizer_lib.train(
    _texts(spaced(train, _TRAINED)), vocab_size, **options
  )
  return words, *statistics.token_lengths(words, list(spaced(train, _MEASURED)))


class _Chosen:
  """The rows of one fate; each iteration reads the source again."""

  def __init__(self, rows: Iterable[Row], fates: np.ndarray, fate: int):
    self._rows, self._fates, self._fate = rows, fates, fate

  def __len__(self) -> int:
    return int(np.sum(self._fates == self._fate))

  def __iter__(self) -> Iterator[Row]:
    number = -1
    for number, row in enumerate(self._rows):
      if number < len(self._fates) and self._fates[number] == self._fate:
        yield row
    if number + 1 != len(self._fates):
      raise UserError(
        f"the source changed while it was read: it had {len(self._fates):,} "
        f"rows and now has {number + 1:,}; run the command again"
      )


class _Clock:
  """Measures the seconds of each part of a job."""

  def __init__(self):
    self.seconds: dict[str, float] = {}
    self._began = time.monotonic()

  def lap(self, name: str) -> None:
    now = time.monotonic()
    self.seconds[name], self._began = now - self._began, now


def _texts(rows: Iterable[Row]) -> Iterator[str]:
  for row in rows:
    yield row["query"]
    yield row["document"]
