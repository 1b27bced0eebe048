# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Progress of long work: a bar on a terminal, occasional lines in a log."""

import sys
import time


class Progress:
  """Reports progress, rate and time left on standard error.

  The rate counts only the work of this process, so the estimate is right after
  a resume.
  """

  def __init__(
    self,
    total: int,
    unit: str,
    label: str,
    *,
    start: int = 0,
    log_every: float = 10.0,
  ):
    self._total, self._unit, self._label = total, unit, label
    self._start = self._done = start
    self._began = self._shown_at = time.monotonic()
    self._terminal = sys.stderr.isatty()
    self._every = 0.2 if self._terminal else log_every
    self._notes = ""

  def __enter__(self) -> "Progress":
    return self

  def __exit__(self, kind, value, trace) -> None:
    if kind is None:
      self._show()
    if self._terminal:
      sys.stderr.write("\n")

  def update(self, n: int = 1, **shown: float | str) -> None:
    """Adds `n` units; `shown` are figures to print beside the rate."""
    self._done += n
    if shown:
      self._notes = "  ".join(
        f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}"
        for k, v in shown.items()
      )
    if time.monotonic() - self._shown_at >= self._every:
      self._show()

  def _show(self) -> None:
    now = self._shown_at = time.monotonic()
    rate = (self._done - self._start) / max(now - self._began, 1e-9)
    left = (self._total - self._done) / rate if rate > 0 else float("inf")
    text = (
      f"{self._label}: {self._done:,}/{self._total:,} {self._unit}  "
      f"{rate:,.4g} {self._unit}/s  {_clock(left)} left"
    )
    if self._notes:
      text += "  " + self._notes
    if not self._terminal:
      print(text, file=sys.stderr, flush=True)
      return
    filled = int(20 * self._done / max(self._total, 1))
    bar = "#" * filled + "." * (20 - filled)
    sys.stderr.write(f"\r\x1b[K[{bar}] {text}")
    sys.stderr.flush()


def _clock(seconds: float) -> str:
  if seconds == float("inf"):
    return "?"
  minutes, seconds = divmod(int(seconds + 0.5), 60)
  hours, minutes = divmod(minutes, 60)
  return (
    f"{hours}:{minutes:02}:{seconds:02}"
    if hours
    else (f"{minutes}:{seconds:02}")
  )
