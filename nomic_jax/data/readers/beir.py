# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""BEIR folders: corpus.jsonl, queries.jsonl and qrels/*.tsv.

An id has one text and a pair has one grade: equal rows count once, and rows
that differ are bad rows. `evaluation.beir` reads the same folders with `texts`
and `judgements`. As a source of pairs, each judgement above 0 is a pair, and
only the texts of judgements are kept in memory. By default the judgements are
those for training, qrels/train.tsv, so that test judgements stay unseen.
"""

from collections.abc import Collection
from collections.abc import Iterator
from typing import NamedTuple

from nomic_jax.data.readers.columns import Columns
from nomic_jax.data.readers.reader import Asked
from nomic_jax.data.readers.reader import Part
from nomic_jax.errors import UserError
from nomic_jax.storage import formats
from nomic_jax.storage import streams
from nomic_jax.storage import text_lines
from nomic_jax.storage.bad import BadRow
from nomic_jax.storage.bad import BadRows
from nomic_jax.storage.bad import both_have
from nomic_jax.storage.bad import unique

SUFFIXES = ()  # reads a folder, or the .tsv of its judgements


class Text(NamedTuple):
  """A text with and without its title in front."""

  titled: str
  text: str


def known(path: str) -> bool:
  """Returns whether a folder has a corpus and judgements."""
  found = {streams.name(p) for p in streams.list_folder(path) or ()}
  return "qrels" in found and any(f"corpus{s}" in found for s in formats.JSONL)


def parts(paths: tuple[str, ...], asked: Asked) -> list[Part]:
  """Returns the pairs of one file of judgements as a part."""
  del asked  # its columns are those of rows
  (path,) = paths
  judged = streams.absolute(path)
  if not path.endswith(".tsv"):
    judged = streams.join(judged, "qrels", "train.tsv")
  if not path.endswith(".tsv") and not streams.is_file(judged):
    others = streams.list_folder(streams.join(path, "qrels")) or ()
    raise UserError(
      f"{path}: no qrels/train.tsv; expected a BEIR folder with one, or other "
      f"judgements as --source=beir:{path}/qrels/NAME.tsv; it has "
      f"{', '.join(map(streams.name, others)) or 'none'}"
    )
  folder = judged.rsplit("/", 2)[0]
  return [
    Part(
      "beir",
      (judged,),
      streams.name(folder),
      Columns(),
      beside=(file_of(folder, "corpus"), file_of(folder, "queries")),
      row_kind="pairs",
    )
  ]


def records(path: str, bad: BadRows) -> Iterator[tuple[int, dict]]:
  """Yields (line number, {"query", "document"}) of a file of judgements.

  Judgements of missing texts are not pairs; they are counted.
  """
  pairs, (queries, documents) = _read(path, bad)
  for number, query, document in pairs:
    if query in queries and document in documents:
      yield number, {"query": queries[query], "document": documents[document]}
    else:
      bad.left["text missing"] += 1


def judged(path: str) -> Iterator[str]:
  """Yields every query and document of the judgements above 0.

  Prints how many of the texts are missing, and how many rows are repeated.

  Raises:
    UserError: at the first row that cannot be used.
  """
  bad = BadRows(skippable=False)
  pairs, found = _read(path, bad)
  for what, rows in bad.left.items():
    print(f"{path}: {what}: {rows:,}; equal rows count once")
  missing = 0
  for at, there in enumerate(found, 1):
    yield from there.values()
    missing += len({pair[at] for pair in pairs} - there.keys())
  if missing:
    print(f"{path}: {missing:,} texts of judgements are missing and left out")


def corpus(folder: str) -> Iterator[tuple[str, str]]:
  """Yields (text, id) of every document of a BEIR folder.

  Titles stand in front of texts. Without an id, it is the file and line.

  Raises:
    UserError: at the first document without text.
  """
  bad, file = BadRows(skippable=False), file_of(folder, "corpus")
  for number, value in formats.jsonl(file, bad):
    text = _text(value)
    if text is None:
      raise _no_text(file, number)
    name = value.get("_id")
    yield text.titled, f"{file}:{number}" if name is None else str(name)


def _read(
  path: str, bad: BadRows
) -> tuple[list[tuple[int, str, str]], list[dict[str, str]]]:
  """Reads judgements above 0 and their texts.

  Returns:
    (line number, query, document) of each judgement, and the titled texts of
    these queries and documents by id.
  """
  folder = path.rsplit("/", 2)[0]
  rows = unique(
    judgements(path, bad),
    path,
    "judgement",
    lambda pair: "two grades of query '{}' and document '{}'".format(*pair),
    bad,
  )
  pairs = [(number, *pair) for number, pair, grade in rows if grade > 0]
  found = []
  for at, kind in enumerate(("queries", "corpus"), 1):
    file = file_of(folder, kind)
    some = texts(file, bad, {str(pair[at]) for pair in pairs})
    found.append(
      {
        name: text.titled
        for _, name, text in unique(
          some, file, f"{kind} row", both_have("_id"), bad
        )
      }
    )
  return pairs, found


def judgements(
  path: str, bad: BadRows
) -> Iterator[tuple[int, tuple[str, str], float]]:
  """Yields (line number, (query, document), grade)."""
  for number, line in text_lines.written(path, bad):
    try:
      query, document, grade = line.split("\t")
      if number == 1 and query == "query-id":
        continue
      yield number, (query, document), float(grade)
    except ValueError:  # a wrong number of columns, or not a number
      bad.add(
        BadRow(
          "judgement malformed",
          f"{path}, row {number}: expected query-id, corpus-id and a number, "
          "separated by tabs; correct or remove this row",
        )
      )


def file_of(folder: str, kind: str) -> str:
  """Returns the file of a folder's texts; `kind` is corpus or queries.

  Raises:
    UserError: if there is none, or there are two.
  """
  there = {streams.name(p) for p in streams.list_folder(folder) or ()}
  found = [kind + suffix for suffix in formats.JSONL if kind + suffix in there]
  if len(found) > 1:
    raise UserError(
      f"{folder}: holds {' and '.join(found)}; expected one of them"
    )
  if not found:
    raise UserError(
      f"{folder}: no {kind}.jsonl; expected a BEIR folder with corpus.jsonl, "
      "queries.jsonl and qrels"
    )
  return streams.join(folder, found[0])


def texts(
  file: str, bad: BadRows, wanted: Collection[str] | None = None
) -> Iterator[tuple[int, str, Text]]:
  """Yields (line number, id, text), only for the ids `wanted` if given."""
  for number, value in formats.jsonl(file, bad):
    name, text = value.get("_id"), _text(value)
    name = str(name) if isinstance(name, int) else name
    if wanted is not None and name not in wanted:
      continue
    if not isinstance(name, str):
      bad.add(
        BadRow(
          "no id",
          f"{file}, row {number}: expected an '_id', a 'text' and perhaps a "
          "'title'; correct or remove this row",
        )
      )
    elif text is None:
      bad.add(_no_text(file, number))
    else:
      yield number, name, text


def _text(value: dict) -> Text | None:
  text, title = value.get("text"), value.get("title") or ""
  if not isinstance(text, str) or not isinstance(title, str):
    return None
  return Text(f"{title} {text}".strip(), text)


def _no_text(file: str, number: int) -> BadRow:
  return BadRow(
    "not a string",
    f"{file}, row {number}: 'text' or 'title' is not a string; correct it",
  )
