# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Goodput: what share of a training's time its steps took, and what the rest.

Every line of metrics.jsonl holds the seconds of each cause since the training
first began, as time/CAUSE, and the time of day, as `clock`. So the figures
outlast a restart: what passes between the last line that a restarted training
keeps and its first step is `restart`, namely the steps that were lost, the
time until it ran again, and its start.
"""

import collections
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import time
from typing import Any

# In this order; `step` is what remains of the time in the loop.
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
  """Counts seconds by cause, from the start of the loop on."""

  def __init__(self, last: Mapping[str, Any], began: float):
    """Takes up the counts of a metrics file.

    Args:
      last: its last line, or {}.
      began: `time.time()` when this process began with the training.
    """
    self._seconds = collections.Counter(
      {cause: last.get(f"time/{cause}", 0.0) for cause in CAUSES}
    )
    self._loop = time.monotonic()
    self._other = 0.0  # seconds in the loop that are of another cause
    now = time.time()
    if "clock" in last:
      self._seconds["restart"] += max(now - last["clock"], 0.0)
    else:
      self._seconds["start"] += max(now - began, 0.0)

  def add(self, cause: str, seconds: float) -> None:
    """Counts seconds that passed in the loop."""
    self._seconds[cause] += seconds
    self._other += seconds

  @contextlib.contextmanager
  def of(self, cause: str) -> Iterator[None]:
    """Counts the seconds of the body."""
    began = time.monotonic()
    yield
    self.add(cause, time.monotonic() - began)

  def row(self) -> dict[str, float]:
    """Returns what a line of metrics.jsonl holds."""
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
