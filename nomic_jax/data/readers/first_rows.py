# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The first rows of a file, and what later rows may not add to them.

The first rows determine the kind of all rows and the columns that are read. If
a later row has a column that would have determined another kind, such as
negatives, ignoring it would lose part of the data.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
import itertools
from typing import NamedTuple

from nomic_jax.data.readers import roles
from nomic_jax.data.readers.columns import Columns
from nomic_jax.data.readers.columns import number_of
from nomic_jax.storage.bad import BadRow

_FIRST = 100  # rows that are inspected
# Rows to search for a column that the first rows lack.
_SOUGHT = 100_000
_NEEDS = {"triplets": "negatives", "scores": "score", "labels": "label"}
# By kind: the roles that would have determined another kind, and that kind.
_OTHERS = {
  "pairs": {"negatives": "triplets", "score": "scores", "label": "labels"},
  "scores": {"negatives": "triplets"},
  "text": {"label": "labels"},
}


class First(NamedTuple):
  """What the first rows determine.

  Attributes:
    kind: the kind of rows, a name of `kinds.KINDS`.
    columns: the columns that have a value there.
  """

  kind: str
  columns: frozenset[str]


def read(rows: Iterable[dict], asked: Columns, kind: str | None) -> list[dict]:
  """Returns the first rows of a file.

  Also returns the first row with each column that the user names, or that the
  kind needs, if the first rows lack it.
  """
  rows = iter(rows)
  first = list(itertools.islice(rows, _FIRST))
  sought: list[Callable[[dict], bool]] = []
  for role in roles.ROLES:
    column = getattr(asked, role)
    if column and column != getattr(Columns(), role):
      sought.append(lambda row, column=column: roles.has([row], column))
    elif role == _NEEDS.get(kind or ""):
      sought.append(lambda row, role=role: roles.has_role(row, role))
  missing = [has for has in sought if not any(map(has, first))]
  for row in itertools.islice(rows, _SOUGHT if missing else 0):
    if any(has(row) for has in missing):
      first.append(row)
      missing = [has for has in missing if not has(row)]
    if not missing:
      break
  return first


def determined(kind: str, first: Sequence[dict]) -> First:
  """Returns what `check` compares later rows with."""
  values = (item for row in first for item in row.items())
  return First(kind, frozenset(n for n, v in values if not roles.empty(v)))


def check(file: str, number: int, value: dict, first: First) -> None:
  """Raises BadRow if a row has a column that the kind leaves out."""
  others = _OTHERS.get(first.kind, {})
  for name in value.keys() - first.columns:
    if roles.empty(value[name]):
      continue
    role = roles.by_name(name)
    # Among pairs, words in a column of scores or labels are neither.
    counts = isinstance(number_of(value[name]), int | float)
    if role in others and (
      counts or role == "negatives" or first.kind == "text"
    ):
      raise BadRow(
        "column not in the first rows",
        f"{file}, row {number}: the column '{name}' has a value here but not "
        f"in the first rows, so rows were read as {first.kind}; specify --kind="
        f"{others[role]} to read it, or --kind={first.kind} to leave it out",
      )
