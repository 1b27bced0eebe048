# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Pairs from .jsonl or .jsonl.gz files: someone's own text.

A row that cannot be used stops the job and is named: a data set that silently
lost part of itself is worse than one that has to be mended.
"""

import json
import pathlib

from nomic_jax import files
from nomic_jax.data import dataset
from nomic_jax.data.dataset import Row
from nomic_jax.errors import UserError
from nomic_jax.progress import Progress


# Rows between two signs of life.
_SHOWN = 10_000


def read(
    path: pathlib.Path, limit: int | None, columns: tuple[str, str, str]
) -> tuple[list[Row], int]:
  """Returns distinct rows and how many repeated one.

  Args:
    path: a file, or a folder of .jsonl and .jsonl.gz files.
    limit: the most rows to return, the first ones; None is all.
    columns: the names of query, document and negatives.

  Raises:
    UserError: naming the file and row that cannot be used.
  """
  rows, seen, duplicates = [], set(), 0
  found = _list_files(path)
  with Progress(len(found), "files", "jsonl") as progress:
    for file in found:
      for number, value in files.read_jsonl(file):
        if limit is not None and len(rows) >= limit:
          return rows, duplicates
        row = _row(file, number, value, columns)
        key = (row["query"], row["document"])
        if key in seen:
          duplicates += 1
          continue
        seen.add(key)
        rows.append(row)
        if not len(rows) % _SHOWN:
          progress.update(0, rows=f"{len(rows):,}")
      progress.update(1, rows=f"{len(rows):,}")
  return rows, duplicates


def _list_files(path: pathlib.Path) -> list[pathlib.Path]:
  if path.is_file():
    return [path]
  if not path.is_dir():
    raise UserError(
        f"--source={path}: no such file or folder; expected 'docstrings', "
        "'docstrings:FOLDER', or a .jsonl or .jsonl.gz file or a folder of them"
    )
  found = sorted(
      p for p in path.iterdir() if p.name.endswith((".jsonl", ".jsonl.gz")))
  if not found:
    raise UserError(f"{path}: holds no .jsonl or .jsonl.gz files")
  return found


def _row(
    file: pathlib.Path, number: int, value: dict, columns: tuple[str, str, str]
) -> Row:
  """Returns the row in one line, or says what is wrong with it."""
  query, document, negatives = columns
  for flag, column in (("query_column", query), ("document_column", document)):
    problem = _problem(value, column)
    if problem:
      raise UserError(
          f"{file}, row {number}: '{column}' {problem}; expected a string; the "
          f"row has {', '.join(map(repr, value)) or 'no columns'}; correct it, "
          f"or choose another column with --{flag}"
      )
  wrong = value.get(negatives) or []
  if not isinstance(wrong, list) or any(
      _problem({"": text}, "") for text in wrong):
    raise UserError(
        f"{file}, row {number}: '{negatives}' is not a list of strings that "
        "are not empty; correct it, or choose another column with "
        "--negatives_column"
    )
  return dataset.row(
      value[query], value[document], negatives=wrong,
      source=file.name.split(".")[0], location=f"{file.absolute()}:{number}",
  )


def _problem(value: dict, column: str) -> str:
  """Returns what keeps a column from being used as text, or ""."""
  if column not in value:
    return "is missing"
  text = value[column]
  if not isinstance(text, str):
    return f"is {json.dumps(text)[:40]}"
  if not text.strip():
    return "is empty"
  try:
    text.encode("utf-8")
  except UnicodeEncodeError:
    return "holds half of a surrogate pair"
  return ""


def connected(rows: list[Row]) -> list[str]:
  """Returns a group per row, one for all that share a query or a document."""
  parent = {}

  def root(text: str) -> str:
    parent.setdefault(text, text)
    while parent[text] != text:
      parent[text] = parent[parent[text]]
      text = parent[text]
    return text

  for row in rows:
    parent[root(row["document"])] = root(row["query"])
  return [root(row["query"]) for row in rows]
