# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The rows of .csv and .tsv files."""

from collections.abc import Iterator
from collections.abc import Sequence
import csv
import itertools
import re

from nomic_jax.errors import UserError
from nomic_jax.storage import text_lines
from nomic_jax.storage.bad import BadRow
from nomic_jax.storage.bad import BadRows

_LONGEST_CELL = 2**31 - 1  # characters; the largest that every platform allows


def separated(
  path: str, bad: BadRows, names: bool = True
) -> Iterator[tuple[int, dict[str, str]]]:
  """Yields (row number, cells by column) of a table with a header line.

  The cells of a .csv are separated by the most frequent of comma, semicolon,
  tab and bar in its first line (or the one in Excel's line `sep=;` before it),
  and may be quoted. Those of a .tsv are separated by tabs, and quotes are part
  of the text, unless the file is quoted as Excel does. Empty rows, which
  spreadsheets append, are skipped, and so are empty columns without a name.

  Args:
    path: the file.
    bad: counts the rows that cannot be used.
    names: whether the first line is a header; if not, columns are named #1, #2
      and so on.
  """
  limit = csv.field_size_limit(_LONGEST_CELL)  # a setting of the process
  number = 0
  try:
    # The header cannot be skipped: the first row would be read in its place.
    next(text_lines.read(path, BadRows(skippable=False), "line"), None)
    rest = (line + "\n" for _, line in text_lines.read(path, bad, "line"))
    first = next(rest, "")
    separator = re.fullmatch(r"sep=(.)\n", first)
    if separator:
      first = next(rest, "")
    options = {"delimiter": "\t", "quoting": csv.QUOTE_NONE}
    if _is_csv(path) or _is_quoted(path, first):
      # Without strict, an unmatched quote swallows the rest of the file.
      options = {"delimiter": "\t", "strict": True}
    if separator:
      options["delimiter"] = separator[1]
    elif _is_csv(path):
      bare = re.sub('"[^"]*"', "", first)
      options["delimiter"] = max(",;\t|", key=bare.count)
    rows = csv.reader(itertools.chain([first], rest), **options)
    columns = None
    for row in rows:
      if columns is None:
        if names:
          columns = _names(path, row, options["delimiter"])
          continue
        columns = [f"#{i}" for i in range(1, len(row) + 1)]
      if not any(row):
        number += bool(row)  # a line without cells does not count
        continue
      number += 1
      if len(row) < len(columns) or any(row[len(columns) :]):
        bad.add(
          BadRow(
            "number of cells",
            f"{path}, row {number}: expected {len(columns)} cells, as in the "
            f"header, found {len(row)}; correct or remove this row, or quote "
            f"cells that contain {options['delimiter']!r}",
          )
        )
      else:
        yield number, dict(zip(columns, row))
  except csv.Error as e:
    # Not a bad row: where the next one starts is unknown.
    raise UserError(
      f"{path}, row {number + 1}: not a table ({e}); a quoted cell ends with a "
      "quote, and quotes in it are written twice; correct the file"
    ) from e
  finally:
    csv.field_size_limit(limit)


def unnamed(path: str, bad: BadRows) -> Iterator[tuple[int, dict[str, str]]]:
  """Yields as `separated`, for a table without a header: #1, #2 and so on."""
  return separated(path, bad, names=False)


def _is_csv(path: str) -> bool:
  return path.removesuffix(".gz").removesuffix(".zst").endswith(".csv")


def _names(path: str, row: Sequence[str], delimiter: str) -> list[str]:
  """Returns the column names in a header, without empty ones at its end."""
  if len(row) == 1 and delimiter == "\t" and re.search("[,;|]", row[0]):
    raise UserError(
      f"{path}: its first line, {row[0]:.60}, has no tabs, which separate the "
      "cells of a .tsv; rename the file to end in .csv"
    )
  names = [name.strip() for name in row]
  while names and not names[-1]:
    names.pop()
  check_columns(path, names)
  return names


def _is_quoted(path: str, first: str) -> bool:
  """Returns whether cells of a .tsv are quoted where necessary, as Excel does.

  They are if all names are, or if each row has as many cells as the header only
  when read as quoted: in raw text, quotes seldom pair up by chance.
  """
  cells = first.rstrip("\n").split("\t")
  if all(len(c) > 1 and c[0] == c[-1] == '"' for c in cells):
    return True
  count, torn = len(cells), False
  skip = BadRows(1 << 62)
  for _, line in text_lines.read(path, skip, "line"):
    if line and line.count("\t") + 1 != count:
      torn = True
      break
  if not torn:
    return False
  texts = (line + "\n" for _, line in text_lines.read(path, skip, "line"))
  try:
    reader = csv.reader(texts, delimiter="\t", strict=True)
    return all(len(row) in (0, count) for row in reader)
  except csv.Error:
    return False


def check_columns(path: str, names: Sequence[str]) -> None:
  """Raises UserError if two columns of a table have the same name."""
  twice = [n for i, n in enumerate(names) if n in names[:i]]
  if twice:
    raise UserError(
      f"{path}: two columns are called '{twice[0]}'; rename or remove one"
    )
