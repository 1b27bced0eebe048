# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Rows that cannot be used: the first stops the job, or N may be skipped.

A data set that silently lost part of itself is worse than one that has to be
mended, so the default is to stop; what is skipped is counted by reason.
"""

import collections

from nomic_jax.errors import UserError


class BadRow(UserError):
  """One row, or a file from some row on, that cannot be used."""

  def __init__(self, reason: str, message: str):
    """Takes a `reason` to count it by and a `message` that says where."""
    super().__init__(message)
    self.reason = reason


class BadRows:
  """Counts bad rows by reason, up to as many as may be skipped.

  Attributes:
    counts: how many were skipped, by reason.
    left: how many good rows were left out on request, by reason.
  """

  def __init__(self, allowed: int = 0, skippable: bool = True):
    """Allows so many; `skippable` says whether the job has --skip_bad."""
    if allowed < 0:
      raise UserError(
          f"--skip_bad={allowed}: expected the most rows to skip, 0 or more")
    self._allowed, self._skippable = allowed, skippable
    self.counts: collections.Counter[str] = collections.Counter()
    self.left: collections.Counter[str] = collections.Counter()

  def add(self, row: BadRow) -> None:
    """Counts `row`.

    Raises:
      BadRow: `row` itself, if no more may be skipped.
    """
    skipped = self.counts.total()
    if skipped < self._allowed:
      self.counts[row.reason] += 1
      return
    if not self._skippable:
      raise row
    hint = "; or skip such rows with --skip_bad=N" if not skipped else (
        f"; {skipped:,} rows were skipped before it: "
        f"{', '.join(f'{r} {n:,}' for r, n in self.counts.items())}")
    raise BadRow(row.reason, f"{row}{hint}") from row
