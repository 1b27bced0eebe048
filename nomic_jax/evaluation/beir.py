# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""BEIR folders as retrieval tasks: corpus, queries and qrels/test.tsv.

All of the corpus is searched, and the queries are those that the judgements
name (Thakur et al. 2021).
"""

import pathlib
from typing import Iterator

from nomic_jax.errors import UserError
from nomic_jax.evaluation import judged as judged_lib
from nomic_jax.evaluation.retrieval import RetrievalTask
from nomic_jax.storage import decoding
from nomic_jax.storage import unicode_text
from nomic_jax.storage.files import read_jsonl


def known(path: pathlib.Path) -> bool:
  """Whether it is a BEIR folder, or one of its files of judgements."""
  if path.suffix == ".tsv":
    return path.is_file() and path.parent.name == "qrels"
  return (path / "qrels").is_dir()


def read(path: pathlib.Path, name: str) -> RetrievalTask:
  """Makes a task of a folder's qrels/test.tsv, or of the .tsv given.

  A document with the id and the text of a query is that query, as in ArguAna
  and Quora, and no answer to it.

  Raises:
    UserError: naming file and row, for a missing file, an empty corpus, an id
      of two texts, or judgements of none of the texts.
  """
  judged = path if path.suffix == ".tsv" else path / "qrels" / "test.tsv"
  folder = judged.parent.parent
  if path.suffix == ".tsv":
    name = name if name != path.name else f"{folder.resolve().name}-{path.stem}"
  return judged_lib.task(
      name, _texts(folder, "corpus"), _texts(folder, "queries"),
      judged_lib.unique(_judgements(judged), str(judged), "pair"),
      str(judged), path=str(path))


def _texts(folder: pathlib.Path, kind: str) -> dict[str, tuple[str, str]]:
  """Returns by id each text with its title in front, and without."""
  files = [folder / f"{kind}.jsonl", folder / f"{kind}.jsonl.gz"]
  found = [file for file in files if file.is_file()]
  if len(found) > 1:
    raise UserError(
        f"{folder}: holds {' and '.join(p.name for p in found)}; expected one "
        "of them")
  file = (found or files)[0]
  texts = judged_lib.unique(_records(file), str(file), "_id")
  if not texts:
    raise UserError(f"{file}: no texts in it, nothing to search")
  return texts


def _records(
    file: pathlib.Path
) -> Iterator[tuple[int, str, tuple[str, str]]]:
  """Yields (row, id, what `_texts` says of it)."""
  for row, value in read_jsonl(file):
    key, text, title = (value.get(k) for k in ("_id", "text", "title"))
    title = title or ""
    if not isinstance(key, (str, int)) or not isinstance(text, str) or (
        not isinstance(title, str)):
      raise UserError(
          f"{file}, row {row}: expected an '_id', a 'text' and perhaps a "
          "'title'; correct or remove this row")
    yield row, str(key), (f"{title} {text}".strip(), text)


def _judgements(
    path: pathlib.Path
) -> Iterator[tuple[int, tuple[str, str], int]]:
  """Yields (row, (query, document), grade)."""
  if not path.is_file():
    there = sorted(p.name for p in path.parent.glob("*.tsv"))
    raise UserError(
        f"{path}: no such file; there are {', '.join(there) or 'none'}, give "
        f"one of them as --tasks={path.parent}/NAME.tsv")
  with path.open("rb") as stream:
    for row, data in decoding.lines(stream):
      line = decoding.decode(data, f"{path}, row {row}")
      if unicode_text.blank(line):
        continue
      try:
        query, document, grade = line.split("\t")
        if row == 1 and query == "query-id":
          continue
        number = float(grade)
        if number % 1:  # also of nan and inf
          raise ValueError
        yield row, (query, document), int(number)
      except ValueError as e:
        raise UserError(
            f"{path}, row {row}: expected query-id, corpus-id and a whole "
            "number, separated by tabs; correct or remove this row") from e
