# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Rows that cannot be used: all of them are counted, and some may be skipped.

A data set that silently lost part of itself is worse than one that has to be
mended, so by default a job stops if there is one. It stops when everything has
been read: one run tells how many rows are bad and shows the first of them.
"""

import collections
from collections.abc import Callable
from collections.abc import Hashable
from collections.abc import Iterable
from collections.abc import Iterator
import re
from typing import Any

from nomic_jax.errors import UserError

_SHOWN = 3  # bad rows in a message
# More than are allowed, after which the rest is not read, unless it is a share.
_ENOUGH = 1000


class BadRow(UserError):
  """One row, or a file from some row on, that cannot be used."""

  def __init__(self, reason: str, message: str):
    """Takes a `reason` to count it by and a `message` that says where."""
    super().__init__(message)
    self.reason = reason


class BadRows:
  """Counts bad rows by reason, up to as many as may be skipped.

  Attributes:
    skippable: whether rows can be skipped; if not, the first stops the job.
    counts: how many there were, by reason.
    left: how many good rows were left out by a rule, by reason.
  """

  def __init__(self, allowed: int | str = 0, skippable: bool = True):
    """Allows some rows to be skipped.

    Args:
      allowed: how many, or the share of all rows in per cent, such as "2%".
      skippable: whether the job has --skip_bad; if not, the first stops it.
    """
    self._allowed, self._share = parse(allowed)
    self.skippable = skippable
    self.counts: collections.Counter[str] = collections.Counter()
    self.left: collections.Counter[str] = collections.Counter()
    self._first: list[BadRow] = []

  @property
  def skipped(self) -> int:
    """How many bad rows there were so far."""
    return self.counts.total()

  def add(self, row: BadRow) -> None:
    """Counts `row`.

    Raises:
      BadRow: `row` itself if the job skips none; all so far if there are so
        many that reading on would tell no more.
    """
    if not self.skippable:
      raise row
    self.counts[row.reason] += 1
    if len(self._first) < _SHOWN:
      self._first.append(row)
    if self._share is None and self.skipped >= self._allowed + _ENOUGH:
      raise self._error("at least ")

  def check(self, rows: int) -> None:
    """Raises a BadRow if more were bad than may be skipped.

    Args:
      rows: how many there were that are good.
    """
    allowed = self._allowed
    if self._share is not None:
      allowed = self._share * (rows + self.skipped)
    if self.skipped > allowed:
      raise self._error()

  def _error(self, least: str = "") -> BadRow:
    first = self._first[0]
    hint = "or skip such rows with --skip_bad=N or, say, --skip_bad=2%"
    if self.skipped == 1:
      return BadRow(first.reason, f"{first}; {hint}")
    others = "; ".join(map(str, self._first[1:]))
    reasons = ", ".join(f"{r} {n:,}" for r, n in self.counts.most_common())
    return BadRow(
      first.reason,
      f"{least}{self.skipped:,} rows cannot be used "
      f"({reasons}); the first: {first}; {others}; correct them, {hint}",
    )


def parse(allowed: int | str) -> tuple[int, float | None]:
  """Reads what --skip_bad says: a number of rows, or a share such as "2%".

  Returns:
    (rows, None) or (0, the share, from 0 to 1).

  Raises:
    UserError: if it is neither.
  """
  found = re.fullmatch(r"(\d+)|(\d+(?:\.\d*)?|\.\d+)%", str(allowed).strip())
  if not found or (found[2] and float(found[2]) > 100):
    raise UserError(
      f"--skip_bad={allowed}: expected the most rows to skip, or a share of "
      "all rows such as 2%"
    )
  return (int(found[1]), None) if found[1] else (0, float(found[2]) / 100)


def both_have(kind: str) -> Callable[[Any], str]:
  """Returns what says of a key that two rows of it differ, for `unique`."""
  return lambda key: "both have the {} '{}' and differ".format(
    kind, " and ".join(key) if isinstance(key, tuple) else key
  )


def unique(
  rows: Iterable[tuple[int, Hashable, Any]],
  where: str,
  what: str,
  told: Callable[[Any], str],
  bad: BadRows,
) -> Iterator[tuple[int, Any, Any]]:
  """Yields the first (row number, key, value) of each key.

  An equal row counts as repeated in `bad.left`; one with another value is bad.

  Args:
    rows: in order.
    where: the file, for messages.
    what: a row is, to count it by.
    told: says of a key what is wrong with two values of it.
    bad: counts the others.
  """
  found: dict[Hashable, tuple[int, Any]] = {}
  for number, key, value in rows:
    first, other = found.setdefault(key, (number, value))
    if other != value:
      bad.add(
        BadRow(
          f"{what} contradicted",
          f"{where}, rows {first} and {number}: {told(key)}; remove one of "
          "them",
        )
      )
    elif first != number:
      bad.left[f"{what} repeated"] += 1
    else:
      yield number, key, value
