# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Rows of small tables: .jsonl, .csv, .tsv or parquet, with type checks."""

from collections.abc import Mapping
import math
import pathlib

from nomic_jax.errors import one_of
from nomic_jax.errors import UserError
from nomic_jax.storage import formats
from nomic_jax.storage.values import Json
from nomic_jax.storage.values import JsonObject

SUFFIXES = (".jsonl", ".jsonl.gz", ".csv", ".tsv", ".parquet")
# Kinds of column, as error messages name them.
TEXT, NUMBER, LABEL = "a text", "a finite number", "a label"
TEXTS, LABELS = "a list of texts", "a list of labels"


def file(folder: pathlib.Path, split: str) -> pathlib.Path | None:
  """Returns the file of a split, or None.

  Raises:
    UserError: if there are several.
  """
  paths = [folder / f"{split}{suffix}" for suffix in SUFFIXES]
  existing = [path for path in paths if path.is_file()]
  if len(existing) > 1:
    raise UserError(
      f"{folder}: holds {' and '.join(p.name for p in existing)}; expected one "
      "of them"
    )
  return existing[0] if existing else None


def columns(path: pathlib.Path | None) -> list[str]:
  """Returns the column names of the first row; [] without file or rows."""
  for _, row in formats.each(path) if path else ():
    return list(row)
  return []


def read(
  folder: pathlib.Path, split: str, kinds: Mapping[str, str]
) -> tuple[pathlib.Path, list[JsonObject]]:
  """Returns the file of a split and its rows, with the columns of `kinds`.

  Args:
    folder: holds SPLIT with one of SUFFIXES; the first line of .csv and .tsv
      names the columns.
    split: such as "test".
    kinds: the kind of each column: TEXT, NUMBER and so on.

  Raises:
    UserError: naming the file and row, for a missing file or column, a value
      of another kind, or a file without rows.
  """
  path = file(folder, split)
  if path is None:
    raise UserError(
      f"{folder}: no {split} file; expected {split} with one of "
      f"{', '.join(SUFFIXES)} and the columns {', '.join(kinds)}"
    )
  rows, wrong = [], []
  for number, row in formats.each(path):
    try:
      rows.append(_row(row, kinds, f"{path}, row {number}"))
    except UserError as e:
      wrong.append(e)
  if wrong:
    more = len(wrong) - 1
    raise UserError(
      f"{wrong[0]}" + (f"; {more:,} more rows cannot be used" if more else "")
    ) from wrong[0]
  if not rows:
    raise UserError(f"{path}: no rows, so nothing to score")
  return path, rows


def _row(row: dict, kinds: Mapping[str, str], where: str) -> JsonObject:
  """Returns the columns of `kinds`, checked."""
  for column in kinds:
    one_of(column, row, f"{where}: no column '{column}'", "it has")
  return {
    column: _checked(row[column], kind, where, column)
    for column, kind in kinds.items()
  }


def _checked(value: Json, kind: str, where: str, column: str) -> Json:
  if kind == NUMBER:
    try:
      value = float(value)
    except (TypeError, ValueError):
      value = math.nan
  good = {
    TEXT: lambda: isinstance(value, str),
    NUMBER: lambda: math.isfinite(value),
    LABEL: lambda: _is_label(value),
    TEXTS: lambda: (
      isinstance(value, list) and all(isinstance(v, str) for v in value)
    ),
    LABELS: lambda: isinstance(value, list) and all(map(_is_label, value)),
  }[kind]()
  if not good:
    raise UserError(
      f"{where}: '{column}' is not {kind}; correct or remove this row"
    )
  if kind == LABEL:
    return spelled(value)
  return [spelled(each) for each in value] if kind == LABELS else value


def spelled(value: Json) -> str:
  """Returns the name of a label; whole numbers are written without a point.

  So a label is the same in .csv, which has only strings, and in .jsonl.
  """
  if isinstance(value, float) and value.is_integer():
    value = int(value)
  return str(int(value) if isinstance(value, bool) else value).strip()


def _is_label(value: object) -> bool:
  if isinstance(value, float):
    return math.isfinite(value)
  return isinstance(value, (str, int)) and value != ""
