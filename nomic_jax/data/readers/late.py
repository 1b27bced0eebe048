# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Columns that have their first value after the rows that were inspected.

The first rows determine the kind of all rows and the columns that are read. If
a later row has a column that would have made another kind, such as negatives,
ignoring it would lose part of the data.
"""

from typing import NamedTuple

from nomic_jax.data.readers import roles
from nomic_jax.data.readers.columns import number_of
from nomic_jax.storage.bad import BadRow

# By kind: the roles that would have made another one, and that kind.
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
        f"{file}, row {number}: the column '{name}' has a value, but not in "
        f"the first rows, so they were taken for {first.kind}; specify --kind="
        f"{others[role]} to read it, or --kind={first.kind} to leave it out",
      )
