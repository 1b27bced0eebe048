# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""BEIR folders as retrieval tasks: corpus, queries and qrels/test.tsv.

The whole corpus is searched; the queries are those that have judgements (Thakur
et al. 2021).
"""

from collections.abc import Iterator
import pathlib

from nomic_jax.data.readers import beir
from nomic_jax.errors import UserError
from nomic_jax.evaluation import judged as judged_lib
from nomic_jax.evaluation.retrieval import RetrievalTask
from nomic_jax.storage import decoding
from nomic_jax.storage.bad import BadRows


def known(path: pathlib.Path) -> bool:
  """Returns whether it is a BEIR folder, or one of its judgement files."""
  if path.suffix == ".tsv":
    return path.is_file() and path.parent.name == "qrels"
  return (path / "qrels").is_dir()


def read(path: pathlib.Path, name: str) -> RetrievalTask:
  """Makes a task of a folder's qrels/test.tsv, or of the given .tsv file.

  In ArguAna and Quora, queries are also documents. A document with the id and
  the text of a query does not count as an answer to that query.

  Raises:
    UserError: naming the file and row, for a missing file, an empty corpus, an
      id with two texts, or judgements that match no texts.
  """
  judged = path if path.suffix == ".tsv" else path / "qrels" / "test.tsv"
  folder = judged.parent.parent
  if path.suffix == ".tsv":
    name = name if name != path.name else f"{folder.resolve().name}-{path.stem}"
  return judged_lib.task(
    name,
    _texts(folder, "corpus"),
    _texts(folder, "queries"),
    judged_lib.unique(_judgements(judged), str(judged), "pair"),
    str(judged),
    path=str(path),
  )


def _texts(folder: pathlib.Path, kind: str) -> dict[str, beir.Text]:
  file = beir.file_of(str(folder), kind)
  rows = (
    (row, decoding.safe(key), beir.Text(*map(decoding.safe, text)))
    for row, key, text in beir.texts(file, BadRows(skippable=False))
  )
  texts = judged_lib.unique(rows, file, "_id")
  if not texts:
    raise UserError(f"{file}: no texts, so nothing to search")
  return texts


def _judgements(
  path: pathlib.Path,
) -> Iterator[tuple[int, tuple[str, str], int]]:
  """Yields (row, (query, document), grade)."""
  if not path.is_file():
    there = sorted(p.name for p in path.parent.glob("*.tsv"))
    raise UserError(
      f"{path}: no such file; existing files are {', '.join(there) or 'none'}; "
      f"specify one of them as --tasks={path.parent}/NAME.tsv"
    )
  for row, pair, grade in beir.judgements(str(path), BadRows(skippable=False)):
    if grade % 1:  # also true for nan and inf
      raise UserError(
        f"{path}, row {row}: the grade is {grade:g}; expected a whole number; "
        "correct or remove this row"
      )
    yield row, pair, int(grade)
