# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Writes held-out queries and all documents as a BEIR folder.

Searching only the held-out documents would be too easy, since there would be
few wrong answers. So the corpus contains the documents of all splits. Texts
that differ only in case, accents or spaces count as one, and a query that
occurs in several rows is answered by the documents of all of them.
"""

from collections.abc import Callable
import json
import os
import pathlib

from nomic_jax.data import dataset
from nomic_jax.storage import unicode_text
from nomic_jax.storage.files import replacing


def write(
  data: str | os.PathLike,
  output: str | os.PathLike,
  split: str = "test",
  most: int | None = None,
  turn: Callable[[dataset.Row], dataset.Row] | None = None,
) -> tuple[int, int]:
  """Writes the folder atomically, unless it exists.

  Args:
    data: a data directory.
    output: the folder to make.
    split: the split of the queries.
    turn: converts a row to a pair; None: rows are pairs already.
    most: maximum number of documents; those of `split` are always included.
      None: all.

  Returns:
    The numbers of queries and of documents.
  """
  output = pathlib.Path(output)
  if not output.exists():
    turn = turn or (lambda row: row)
    documents: dict[str, str] = {}  # `unicode_text.same` -> text
    answers: dict[str, tuple[str, dict[str, None]]] = {}
    for row in map(turn, dataset.open_split(data, split)):
      same = unicode_text.same(row["document"])
      documents.setdefault(same, row["document"])
      query = unicode_text.same(row["query"])
      answers.setdefault(query, (row["query"], {}))[1][same] = None
    more = [
      row
      for name in dataset.splits(data)
      if name != split
      for row in map(turn, dataset.open_split(data, name))
    ]
    for row in more:  # further answers to held-out queries
      query = unicode_text.same(row["query"])
      if query in answers:
        same = unicode_text.same(row["document"])
        documents.setdefault(same, row["document"])
        answers[query][1][same] = None
    for row in _spaced(more, None if most is None else most - len(documents)):
      same = unicode_text.same(row["document"])
      documents.setdefault(same, row["document"])
    with replacing(output) as folder:
      _write(folder, documents, list(answers.values()))
  return _count(output / "queries.jsonl"), _count(output / "corpus.jsonl")


def _spaced(rows: list, most: int | None) -> list:
  if most is None or most >= len(rows):
    return rows
  most = max(most, 0)
  return [rows[i * len(rows) // most] for i in range(most)]


def _write(
  folder: pathlib.Path,
  documents: dict[str, str],
  answers: list[tuple[str, dict[str, None]]],
) -> None:
  (folder / "qrels").mkdir(parents=True)
  names = {same: f"d{n}" for n, same in enumerate(documents)}
  corpus = ({"_id": names[s], "text": t} for s, t in documents.items())
  queries = ({"_id": f"q{n}", "text": t} for n, (t, _) in enumerate(answers))
  for name, rows in (("corpus", corpus), ("queries", queries)):
    with open(folder / f"{name}.jsonl", "w", encoding="utf-8") as file:
      file.writelines(json.dumps(row) + "\n" for row in rows)
  lines = ["query-id\tcorpus-id\tscore\n"] + [
    f"q{n}\t{names[same]}\t1\n"
    for n, (_, found) in enumerate(answers)
    for same in found
  ]
  (folder / "qrels" / "test.tsv").write_text("".join(lines))


def _count(path: pathlib.Path) -> int:
  with open(path, "rb") as file:
    return sum(1 for _ in file)
