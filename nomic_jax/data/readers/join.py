# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Rows that name their documents by id, joined to a table of documents."""

from collections.abc import Mapping
import functools
from typing import NamedTuple

from nomic_jax.data.readers import columns as columns_lib
from nomic_jax.data.readers.columns import Columns
from nomic_jax.errors import one_of
from nomic_jax.errors import UserError
from nomic_jax.storage import formats
from nomic_jax.storage import streams
from nomic_jax.storage.bad import BadRow
from nomic_jax.storage.values import Json
from nomic_jax.storage.values import JsonObject

# Default columns of the texts; the first that exists is used.
_TEXTS = ("document", "text", "body", "content", "passage", "answer")


class Table(NamedTuple):
  """A table of documents, read into memory when rows refer to them.

  Attributes:
    path: a file of rows of any format, see `formats.each`.
    id: the column of the documents' ids.
    text: the column of their texts; "a+b" joins two columns.
    version: the version of the file, so that a changed one is read again.
  """

  path: str
  id: str
  text: str
  version: tuple = ()


def table(path: str, id: str | None, text: str | None) -> Table:
  """Returns the table, after checking its columns in the first row.

  Raises:
    UserError: if it has no rows, or lacks these columns.
  """
  if not id:
    raise UserError(
      f"--documents={path}: specify its column of ids as --document_id"
    )
  for _, row in formats.each(path):
    one_of(id, row, f"--document_id={id}: no such column in {path}", "it has")
    if text is None:
      text = next((name for name in _TEXTS if name in row), None)
      others = [n for n, v in row.items() if isinstance(v, str) and n != id]
      if text is None and len(others) == 1:
        text = others[0]
      if text is None:
        raise UserError(
          f"--documents={path}: its columns are {', '.join(row)}; specify the "
          "one of the texts, such as "
          f"--document_text={others[0] if others else 'text'}"
        )
    elif columns_lib.pick(row, text) is columns_lib.MISSING:
      raise UserError(
        f"--document_text={text}: no such column in {path}; it has "
        f"{', '.join(row)}"
      )
    return Table(path, id, text, tuple(streams.stamp(path)))
  raise UserError(f"--documents={path}: has no rows")


@functools.lru_cache(2)
def texts(table: Table) -> Mapping[str, str]:
  """Returns the texts of a table by id; documents without text are left out.

  Raises:
    UserError: if an id is missing, or has two texts.
  """
  found: dict[str, str] = {}
  for number, row in formats.each(table.path):
    where = f"{table.path}, row {number}"
    if row.get(table.id) in (None, ""):
      raise UserError(f"{where}: no id in '{table.id}'; correct the row")
    if columns_lib.problem(row, table.text):
      continue
    key, text = _key(row[table.id]), columns_lib.pick(row, table.text)
    if found.setdefault(key, text) != text:
      raise UserError(
        f"{where}: a second document with {table.id} '{key}' and a different "
        "text; remove one of the two"
      )
  return found


def joined(
  file: str, number: int, value: dict, columns: Columns, table: Table
) -> dict:
  """Returns a row with its document ids replaced by texts.

  Raises:
    BadRow: if a document is not in the table.
  """
  known = texts(table)

  def text(of: Json) -> str:
    if of in (None, "", columns_lib.MISSING):
      raise BadRow(
        "document id missing",
        f"{file}, row {number}: no document id in '{columns.document}'",
      )
    if _key(of) not in known:
      raise BadRow(
        "document not in the table",
        f"{file}, row {number}: {table.path} has no document with {table.id} "
        f"'{_key(of)}', or one without text",
      )
    return known[_key(of)]

  changed: JsonObject = {
    columns.document: text(columns_lib.pick(value, columns.document))
  }
  negatives = columns_lib.negatives_in(value, columns.negatives)
  if negatives not in (None, columns_lib.MISSING, ""):
    listed = negatives if isinstance(negatives, list) else [negatives]
    changed[columns.negatives] = [text(each) for each in listed]
  return value | changed


def _key(of: Json) -> str:
  """Returns an id as text; whole numbers are written without a point."""
  if isinstance(of, float) and of.is_integer():
    of = int(of)
  return str(of).strip()
