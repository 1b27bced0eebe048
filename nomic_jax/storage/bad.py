# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Unusable rows: all are counted, and a limited number may be skipped.

Losing part of a data set silently is worse than having to repair it, so by
default one bad row stops the job. The job stops only after reading everything:
a single run reports how many rows are bad and shows the first few.
"""

import collections
from collections.abc import Callable
from collections.abc import Hashable
from collections.abc import Iterable
from collections.abc import Iterator
import re
from typing import TypeVar

from nomic_jax.errors import UserError

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_SHOWN = 3  # bad rows quoted in a message
# Part of a reason: such a bad row may stand for many rows.
REST = " (the rest of a file)"
# Reading stops this many bad rows past the limit, unless it is a percentage.
_ENOUGH = 1000


class BadRow(UserError):
  """A row, or the rest of a file from some row on, that cannot be used."""

  def __init__(self, reason: str, message: str):
    """Takes a `reason` to count by and a `message` that says where."""
    super().__init__(message)
    self.reason = reason


class BadRows:
  """Counts bad rows by reason and enforces the limit.

  Attributes:
    skippable: whether rows can be skipped; if not, the first stops the job.
    counts: number of bad rows by reason.
    left: number of good rows excluded by a rule, by reason.
    made: number of rows made from other rows, by kind.
  """

  def __init__(self, allowed: int | str = 0, skippable: bool = True):
    """Sets the limit.

    Args:
      allowed: the number of bad rows to tolerate, or a percentage of all rows
        such as "2%".
      skippable: whether the job has --skip_bad; if not, the first bad row
        stops it.
    """
    self._allowed, self._share = parse(allowed)
    self.skippable = skippable
    self.counts: collections.Counter[str] = collections.Counter()
    self.left: collections.Counter[str] = collections.Counter()
    self.made: collections.Counter[str] = collections.Counter()
    self._first: list[BadRow] = []

  @property
  def skipped(self) -> int:
    """The number of bad rows so far."""
    return self.counts.total()

  def add(self, row: BadRow) -> None:
    """Counts `row`.

    Raises:
      BadRow: `row` itself if the job cannot skip rows, or a summary once so
        many are bad that reading on is pointless.
    """
    if not self.skippable:
      raise row
    self.counts[row.reason] += 1
    if len(self._first) < _SHOWN:
      self._first.append(row)
    if self._share is None and self.skipped >= self._allowed + _ENOUGH:
      raise self._error("at least ")

  def check(self, rows: int) -> None:
    """Checks the limit after the last row.

    Args:
      rows: the number of good rows.

    Raises:
      BadRow: if more rows are bad than may be skipped.
    """
    allowed = self._allowed
    if self._share is not None:
      allowed = self._share * (rows + self.skipped)
    if self.skipped > allowed:
      raise self._error()

  def _error(self, least: str = "") -> BadRow:
    first = self._first[0]
    hint = "or skip such rows with --skip_bad=N or --skip_bad=2%"
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
  """Parses --skip_bad: a number of rows, or a percentage such as "2%".

  Returns:
    (number of rows, None), or (0, fraction from 0 to 1).

  Raises:
    UserError: if it is neither.
  """
  match = re.fullmatch(r"(\d+)|(\d+(?:\.\d*)?|\.\d+)%", str(allowed).strip())
  if not match or (match[2] and float(match[2]) > 100):
    raise UserError(
      f"--skip_bad={allowed}: expected the largest number of rows to skip, or "
      "a percentage of all rows such as 2%"
    )
  return (int(match[1]), None) if match[1] else (0, float(match[2]) / 100)


def both_have(kind: str) -> Callable[[Hashable], str]:
  """Returns a `message` for `unique`: both rows have this key but differ."""
  return lambda key: "both have the {} '{}' and differ".format(
    kind, " and ".join(key) if isinstance(key, tuple) else key
  )


def unique(
  rows: Iterable[tuple[int, K, V]],
  where: str,
  what: str,
  message: Callable[[K], str],
  bad: BadRows,
) -> Iterator[tuple[int, K, V]]:
  """Yields the first (row number, key, value) of each key.

  A row that repeats a key and its value is counted in `bad.left`; one that
  repeats a key with another value is bad.

  Args:
    rows: (row number, key, value), in order.
    where: the file, for error messages.
    what: what a row is, such as "query", used as the reason to count by.
    message: describes the conflict between two values of a key.
    bad: collects the other rows.
  """
  seen: dict[K, tuple[int, V]] = {}
  for number, key, value in rows:
    first, other = seen.setdefault(key, (number, value))
    if other != value:
      bad.add(
        BadRow(
          f"{what} contradicted",
          f"{where}, rows {first} and {number}: {message(key)}; remove one of "
          "them",
        )
      )
    elif first != number:
      bad.left[f"{what} repeated"] += 1
    else:
      yield number, key, value
