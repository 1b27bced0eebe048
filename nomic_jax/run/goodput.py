# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Goodput: how much of a run's time was spent in steps, and on what else.

Every line of metrics.jsonl has the seconds spent on each cause since the
training first began, as time/CAUSE, and the time of day, as `clock`, so the
figures survive restarts. The time from the last line that a restarted training
keeps to its first step counts as `restart`: lost steps, the time until it ran
again, and its start.
"""

from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import time

from nomic_jax.storage.values import Json

# In this order; `step` is the rest of the time in the loop.
CAUSES = (
  "step",
  "input",
  "compile",
  "checkpoint",
  "evaluation",
  "start",
  "restart",
)


class Goodput:
  """Counts seconds by cause from the start of the loop."""

  def __init__(self, last: Mapping[str, Json], began: float):
    """Continues the counts of a metrics file.

    Args:
      last: its last line, or {}.
      began: `time.time()` when this process began the training run.
    """
    self._seconds: dict[str, float] = {
      cause: last.get(f"time/{cause}", 0.0) for cause in CAUSES
    }
    self._loop = time.monotonic()
    self._other = 0.0  # seconds in the loop with another cause
    now = time.time()
    if "clock" in last:
      self._seconds["restart"] += max(now - last["clock"], 0.0)
    else:
      self._seconds["start"] += max(now - began, 0.0)

  def add(self, cause: str, seconds: float) -> None:
    """Adds seconds that passed in the loop."""
    self._seconds[cause] += seconds
    self._other += seconds

  @contextlib.contextmanager
  def of(self, cause: str) -> Iterator[None]:
    """Adds the seconds that the body takes."""
    began = time.monotonic()
    yield
    self.add(cause, time.monotonic() - began)

  def row(self) -> dict[str, float]:
    """Returns the entries of a line of metrics.jsonl."""
    seconds = self._seconds.copy()
    seconds["step"] += time.monotonic() - self._loop - self._other
    return {f"time/{c}": seconds[c] for c in CAUSES} | {"clock": time.time()}

  def __str__(self) -> str:
    row = self.row()
    total = sum(row[f"time/{c}"] for c in CAUSES) or 1.0
    shares = ", ".join(
      f"{c} {row[f'time/{c}'] / total:.1%}"
      for c in CAUSES
      if row[f"time/{c}"] >= 0.0005 * total
    )
    return f"time: {shares} of {total / 3600:,.2f} hours"
