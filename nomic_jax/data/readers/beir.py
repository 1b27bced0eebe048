# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""BEIR folders: corpus.jsonl, queries.jsonl and qrels/*.tsv.

Each judgement above 0 is a pair. Only texts that some judgement names are
kept in memory. An id stands for one text, and a pair has one grade: equal rows
count once and are counted as repeated, different ones are bad rows. The judgements are those to train on, qrels/train.tsv, unless
another file is named: testing on what was trained on tells nothing.
"""

from typing import Iterator

from nomic_jax.data.readers import jsonl
from nomic_jax.data.readers import storage
from nomic_jax.data.readers.bad import BadRow
from nomic_jax.data.readers.bad import BadRows
from nomic_jax.errors import UserError


def is_beir(folder: str) -> bool:
  found = {storage.name(p) for p in storage.list_folder(folder) or ()}
  return "qrels" in found and _texts_file(folder, "corpus", found) != ""


def judgements(path: str) -> str:
  """Returns the .tsv file to read, of a BEIR folder or one named in it.

  Raises:
    UserError: if it is missing.
  """
  if path.endswith(".tsv"):
    return path
  found = storage.join(path, "qrels", "train.tsv")
  if storage.is_file(found):
    return found
  others = storage.list_folder(storage.join(path, "qrels")) or ()
  raise UserError(
      f"{path}: no qrels/train.tsv; expected a BEIR folder, or one of its "
      f"other judgements as --source=beir:{path}/qrels/NAME.tsv; there are "
      f"{', '.join(map(storage.name, others)) or 'none'}"
  )


def records(path: str, bad: BadRows) -> Iterator[tuple[int, dict]]:
  """Yields (line number, {"query", "document"}) of a file of judgements.

  A judgement of a text that is not there makes no pair; it is counted.
  """
  pairs, texts = _read(path, bad)
  for number, query, document in pairs:
    if query in texts["queries"] and document in texts["corpus"]:
      yield number, {
          "query": texts["queries"][query],
          "document": texts["corpus"][document],
      }
    else:
      bad.left["text missing"] += 1


def judged(path: str) -> Iterator[str]:
  """Yields every query and document that judgements above 0 name.

  Prints how many of the texts are not there, and how many rows repeat.

  Raises:
    UserError: at the first row that cannot be used.
  """
  bad = BadRows(skippable=False)
  pairs, texts = _read(path, bad)
  for what, rows in bad.left.items():
    print(f"{path}: {rows:,} times {what}; such rows count once")
  missing = 0
  for at, kind in ((1, "queries"), (2, "corpus")):
    yield from texts[kind].values()
    missing += len({pair[at] for pair in pairs} - texts[kind].keys())
  if missing:
    print(f"{path}: {missing:,} of the texts judged are not there, and are "
          "left out")


def _read(
    path: str, bad: BadRows
) -> tuple[list[tuple[int, str, str]], dict[str, dict[str, str]]]:
  """Returns the pairs of `_pairs`, and their texts by kind and id."""
  folder = path.rsplit("/", 2)[0]
  pairs = list(_pairs(path, bad))
  there = {storage.name(p) for p in storage.list_folder(folder) or ()}
  return pairs, {
      kind: _texts(folder, kind, there, {pair[at] for pair in pairs}, bad)
      for at, kind in ((1, "queries"), (2, "corpus"))}


def corpus(folder: str) -> Iterator[str]:
  """Yields every document of a BEIR folder, with its title in front.

  Raises:
    UserError: at the first that has no text.
  """
  there = {storage.name(p) for p in storage.list_folder(folder) or ()}
  file = _texts_file(folder, "corpus", there)
  for number, value in jsonl.records(file, BadRows(skippable=False)):
    text = _titled(value)
    if text is None:
      raise _no_string(file, number)
    yield text


def _pairs(path: str, bad: BadRows) -> Iterator[tuple[int, str, str]]:
  """Yields (line number, query, document) of each judgement above 0."""
  before: dict[tuple[str, str], tuple[int, float]] = {}
  for number, line in jsonl.lines(path, bad):
    try:
      query, document, score = line.split("\t")
      if number == 1 and query == "query-id":
        continue
      grade = float(score)
    except ValueError:  # a wrong number of columns, no number
      bad.add(BadRow(
          "judgement malformed",
          f"{path}, row {number}: expected query-id, corpus-id and a number, "
          "separated by tabs"))
      continue
    first, other = before.setdefault((query, document), (number, grade))
    if other != grade:
      bad.add(BadRow(
          "judgement contradicted",
          f"{path}, rows {first} and {number}: two grades of query '{query}' "
          f"and document '{document}'; remove one of them"))
    elif first != number:
      bad.left["judgement repeated"] += 1
    elif grade > 0:
      yield number, query, document


def files(path: str) -> list[str]:
  """Returns the files that hold the texts of a file of judgements."""
  folder = path.rsplit("/", 2)[0]
  there = {storage.name(p) for p in storage.list_folder(folder) or ()}
  found = (_texts_file(folder, kind, there) for kind in ("corpus", "queries"))
  return [file for file in found if file]


def _texts_file(folder: str, kind: str, there: set[str]) -> str:
  found = [kind + suffix for suffix in jsonl.SUFFIXES if kind + suffix in there]
  if len(found) > 1:
    raise UserError(
        f"{folder}: holds {' and '.join(found)}; expected one of them")
  return storage.join(folder, found[0]) if found else ""


def _texts(
    folder: str, kind: str, there: set[str], wanted: set[str], bad: BadRows
) -> dict[str, str]:
  """Returns the texts of the `wanted` ids, with their titles in front."""
  file = _texts_file(folder, kind, there)
  if not file:
    raise UserError(
        f"{folder}: no {kind}.jsonl; expected a BEIR folder with corpus.jsonl, "
        "queries.jsonl and qrels")
  texts: dict[str, str] = {}
  rows: dict[str, int] = {}
  for number, value in jsonl.records(file, bad):
    name = value.get("_id")
    if isinstance(name, int):
      name = str(name)
    if name not in wanted:
      continue
    text = _titled(value)
    if text is None:
      bad.add(_no_string(file, number))
    elif name not in texts:
      texts[name], rows[name] = text, number
    elif texts[name] == text:
      bad.left[f"{kind} row repeated"] += 1
    else:
      bad.add(BadRow(
          "id repeated",
          f"{file}, rows {rows[name]} and {number}: both have the _id "
          f"'{name}' and differ; remove one of them"))
  return texts


def _titled(value: dict) -> str | None:
  """Title and text of a line as one; None if they are no strings."""
  text, title = value.get("text"), value.get("title") or ""
  if not isinstance(text, str) or not isinstance(title, str):
    return None
  return f"{title} {text}".strip()


def _no_string(file: str, number: int) -> BadRow:
  return BadRow(
      "not a string",
      f"{file}, row {number}: 'text' or 'title' is no string; correct it")
