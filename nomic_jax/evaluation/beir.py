# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""BEIR folders as retrieval tasks: corpus, queries and qrels/test.tsv.

All of the corpus is searched, and the queries are those that the judgements
name (Thakur et al. 2021).
"""

import pathlib

from nomic_jax import decoding
from nomic_jax import unicode_text
from nomic_jax.errors import UserError
from nomic_jax.evaluation.retrieval import RetrievalTask
from nomic_jax.files import read_jsonl


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
    UserError: naming file and row, for a missing file, an empty corpus, or
      judgements of texts that are not there.
  """
  judged = path if path.suffix == ".tsv" else path / "qrels" / "test.tsv"
  folder = judged.parent.parent
  if path.suffix == ".tsv":
    name = name if name != path.name else f"{folder.resolve().name}-{path.stem}"
  documents = _texts(folder, "corpus")
  queries = _texts(folder, "queries")
  number = {key: i for i, key in enumerate(documents)}
  grades: dict[str, dict[int, int]] = {}
  for row, query, document, grade in _judgements(judged):
    for key, texts, kind in (
        (query, queries, "queries"), (document, documents, "corpus")):
      if key not in texts:
        raise UserError(
            f"{judged}, row {row}: no text '{key}' in {kind}.jsonl; copy the "
            "folder again, or remove this judgement")
    grades.setdefault(query, {})[number[document]] = grade
  if not grades:
    raise UserError(f"{judged}: no judgements in it, nothing to score")
  itself = [
      number[q] if q in number and queries[q][1] == documents[q][1] else -1
      for q in grades]
  return RetrievalTask(
      name=name,
      queries=[queries[q][0] for q in grades],
      documents=[text for text, _ in documents.values()],
      locations=list(documents),
      relevant=list(grades.values()),
      itself=itself if max(itself) >= 0 else (),
      path=str(path),
  )


def _texts(folder: pathlib.Path, kind: str) -> dict[str, tuple[str, str]]:
  """Returns by id each text with its title in front, and without."""
  file = folder / f"{kind}.jsonl"
  if not file.is_file() and (folder / f"{kind}.jsonl.gz").is_file():
    file = folder / f"{kind}.jsonl.gz"
  texts = {}
  for row, value in read_jsonl(file):
    key, text, title = (value.get(k) for k in ("_id", "text", "title"))
    title = title or ""
    if not isinstance(key, (str, int)) or not isinstance(text, str) or (
        not isinstance(title, str)):
      raise UserError(
          f"{file}, row {row}: expected an '_id', a 'text' and perhaps a "
          "'title'; correct or remove this row")
    texts[str(key)] = f"{title} {text}".strip(), text
  if not texts:
    raise UserError(f"{file}: no texts in it, nothing to search")
  return texts


def _judgements(path: pathlib.Path):
  """Yields (row, query, document, grade)."""
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
        yield row, query, document, int(grade)
      except ValueError as e:
        raise UserError(
            f"{path}, row {row}: expected query-id, corpus-id and a whole "
            "number, separated by tabs; correct or remove this row") from e
