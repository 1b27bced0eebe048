# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""metrics.jsonl: one line of figures per logged step, in order of steps."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import json
import math
import pathlib
import time
from typing import Any

import jax
import numpy as np

from nomic_jax.errors import Diverged
from nomic_jax.errors import UserError
from nomic_jax.model import flops as flops_lib
from nomic_jax.storage import appended
from nomic_jax.storage import buckets
from nomic_jax.storage.files import replacing


class MetricsFile:
  """Appends lines; a resumed run first drops those it will write again.

  So the file of a run that was killed twice reads like one that was not.

  Attributes:
    last: the last line, or {}.
    seconds: of training until the last line.

  The last line of a run that was stopped may be `unfinished`: it has the
  numbers of its steps, which the next line begins with. It stays in the file,
  should this run be killed, and `read` leaves it out.
  """

  def __init__(
    self,
    path: pathlib.Path,
    resume_step: int,
    trackers: Sequence[Callable[[dict | None], None]] = (),
  ):
    """Drops lines after `resume_step`; `trackers` are given each line too.

    But none that is out of turn, since they cannot take it back.
    """
    self._trackers = trackers
    kept = _in_turn(row for row in _lines(path) if row["step"] <= resume_step)
    self.last = kept[-1] if kept else {}
    text = "".join(json.dumps(r) + "\n" for r in kept)
    self._path = path
    if buckets.is_remote(path):
      self._file = appended.Appended(path, text.encode())
    else:
      with replacing(path) as temporary:
        temporary.write_text(text)
      # Unbuffered: what did not fit the disk is not tried again on closing.
      self._file = open(path, "ab", buffering=0)
    self.seconds = self.last.get("seconds", 0.0)

  def write(self, row: dict[str, Any]) -> None:
    """Appends a line.

    Raises:
      UserError: if the disk is full.
    """
    try:
      rest = (json.dumps(row) + "\n").encode()
      while rest:  # a write cut short says why only when it is repeated
        rest = rest[self._file.write(rest) :]
    except OSError as e:
      if buckets.is_remote(self._path):
        raise
      raise UserError(
        f"cannot write {self._path}: {e.strerror}; the checkpoints are "
        "whole: mend that and run the same command to go on from the last"
      ) from e
    for tracker in self._trackers if "unfinished" not in row else ():
      tracker(row)

  def stopped_at(self, step: int) -> bool:
    """Whether the last line is of this step, and unfinished."""
    return self.last.get("step") == step and "unfinished" in self.last

  def flush(self) -> None:
    """Makes sure that all lines are there, even in a bucket."""
    self._file.flush()

  def close(self) -> None:
    self._file.close()
    for tracker in self._trackers:
      tracker(None)


class StepLog:
  """Checks every step's numbers; writes their means every few steps.

  Attributes:
    compiling: set it when a step has had to be compiled.
  """

  def __init__(
    self,
    metrics: MetricsFile | None,
    schedule: Callable[[int], float],
    every: int,
    skip_at_most: int = 0,
    clocks: Callable[[], dict[str, float]] = dict,
  ):
    """Logs every so many steps; `skip_at_most` may be not finite.

    Of several processes one has `metrics` to write to; all check. Lines end
    with what `clocks` returns.
    """
    self._clocks = clocks
    self._metrics, self._schedule, self._every = metrics, schedule, every
    self._skip_at_most = skip_at_most
    last = metrics.last if metrics else {}
    begun = last.get("unfinished", [])
    if isinstance(begun, list):  # as versions without the other sums wrote it
      begun = {"rows": begun, "real": 0, "slots": 0}
    self._rows: list[dict] = begun["rows"]
    self._real, self._slots = begun["real"], begun["slots"]
    self._skipped = last.get("skipped", 0)
    self._empty = last.get("empty_steps", 0)
    self._tokens = 0  # that are text, since this process began the line
    self._flops = self._waited = 0.0
    self._taken: list[float] = []  # seconds of each step
    self._shown: dict[str, float] = {}
    self._seconds = metrics.seconds if metrics else 0.0
    self._clock = self._before = time.monotonic()
    self._held_out: Mapping[str, float] = {}
    self.compiling = False

  def add_held_out(self, means: Mapping[str, float], seconds: float) -> None:
    """Puts `means` in the next line, and `seconds` out of the clock."""
    self._held_out = means
    self._clock += seconds
    self._before += seconds

  def finish(self, results: Mapping[str, float]) -> None:
    """Writes the line of a stopped run, with what it did not measure."""
    if self._metrics:
      line = {k: v for k, v in self._metrics.last.items() if k != "unfinished"}
      self._metrics.write(line | dict(results) | self._clocks())
    self._rows, self._real, self._slots = [], 0, 0

  def add(
    self,
    number: int,
    result: Mapping[str, Any],
    tokens: tuple[int, int],
    waited: float,
    source: str,
    flops: float = 0.0,
    write: bool = False,
    stopped: bool = False,
  ) -> dict[str, float]:
    """Takes in step `number`; returns what to show.

    Args:
      number: from 1.
      result: the step's metrics, scalars.
      tokens: tokens that are text, and token slots, of its batch.
      waited: seconds spent on waiting for the batch.
      source: of the batch, for messages.
      flops: of the step on all devices, by formula.
      write: even if no line is due. At a checkpoint, so that no line is of
        steps before and after it: resumed runs write the same lines.
      stopped: the run ends here, and the line is not finished.

    Raises:
      Diverged: if the loss or the gradient is not finite, more often than
        is allowed.
    """
    groups = result["group_norms"]
    row = {k: float(v) for k, v in result.items() if k != "group_norms"}
    empty = row.pop("empty", 0) == 1
    finite = math.isfinite(row["loss"]) and math.isfinite(row["gradient_norm"])
    if not finite and row["skipped"] > self._skip_at_most:
      raise Diverged(_not_finite(number, row, groups, source), number)
    row["data_wait"] = waited
    self._skipped = row.pop("skipped")
    if finite and empty:
      self._empty += 1  # counts in no mean
    elif finite:
      self._rows.append(row)
    self._real += tokens[0] * jax.process_count()
    self._slots += tokens[1] * jax.process_count()
    self._tokens += tokens[0] * jax.process_count()
    self._flops += flops
    self._waited += waited
    now = time.monotonic()
    self._taken.append(now - self._before)
    self._before = now
    if (self._rows or empty) and (write or number % self._every == 0):
      self._write(number, stopped)
    return {
      k: row[k] for k in ("loss", "accuracy") if k in row and not empty
    } | self._shown

  def _write(self, number: int, unfinished: bool) -> None:
    now = time.monotonic()
    seconds, self._clock = now - self._clock, now
    self._seconds += seconds
    names = dict.fromkeys(k for row in self._rows for k in row)
    means = {}
    for name in names:  # some are not of every step: accuracy/SOURCE
      values = [row[name] for row in self._rows if name in row]
      means[name] = sum(values) / len(values)
    speed = self._speed(seconds)
    self._shown = {
      name: speed[key]
      for name, key in (("tokens/s", "tokens_per_second"), ("mfu", "mfu"))
      if key in speed
    }
    if self._metrics:
      self._metrics.write(
        {
          "step": number,
          **means,
          **self._held_out,
          "skipped": int(self._skipped),  # so far
          # So far, of batches of zero weight. Neither they nor those skipped
          # are updates, by which the schedule goes.
          **({"empty_steps": self._empty} if self._empty else {}),
          "learning_rate": float(
            self._schedule(number - 1 - self._skipped - self._empty)
          ),
          "padding": 1 - self._real / self._slots,
          **speed,
          "compiled": self.compiling,
          "seconds": self._seconds,
          **self._clocks(),
          **(
            {
              "unfinished": {
                "rows": self._rows,
                "real": self._real,
                "slots": self._slots,
              }
            }
            if unfinished
            else {}
          ),
        }
      )
    self._rows, self._real, self._slots, self._tokens = [], 0, 0, 0
    self._flops, self._waited, self._taken = 0.0, 0.0, []
    self._held_out = {}
    self.compiling = False

  def _speed(self, seconds: float) -> dict[str, float]:
    """Of the steps since the last line, which took so many seconds.

    A step's time is that between two looks at a step's numbers; evaluation is
    left out. `mfu` (see `flops`) is there for devices whose peak is known,
    `device_memory` for those that tell: the most one of this host's has held.
    """
    half, most = np.percentile(self._taken, (50, 90))
    speed = {
      "tokens_per_second": self._tokens / seconds,
      "data_wait_share": self._waited / seconds,
      "step_seconds_p50": float(half),
      "step_seconds_p90": float(most),
      "step_seconds_max": max(self._taken),
    }
    peak = flops_lib.peak_of(jax.devices()[0].device_kind)
    if peak and self._flops:
      speed["mfu"] = self._flops / (seconds * peak * jax.device_count())
    held = [
      told["peak_bytes_in_use"]
      for device in jax.local_devices()
      if "peak_bytes_in_use" in (told := device.memory_stats() or {})
    ]
    if held:
      speed["device_memory"] = max(held)
    return speed


def _not_finite(
  number: int, row: Mapping[str, float], groups: Mapping[str, Any], source: str
) -> str:
  """The message about a step whose loss or gradient is not finite."""
  name = "gradient_norm" if math.isfinite(row["loss"]) else "loss"
  bad = [g for g, norm in groups.items() if not math.isfinite(norm)]
  where = f", the gradient not finite in {', '.join(bad[:3])}" if bad else ""
  if len(bad) > 3:
    where += f" and {len(bad) - 3} more of {len(groups)} groups"
  return (
    f"step {number}: {name} is {row[name]} on a batch of {source}{where}; "
    "the last checkpoint is from before. Check the metrics of the steps "
    "before, config.optimizer.learning_rate and the data of this step, then "
    "start in a new --workdir; config.skip_nonfinite=N leaves out up to N "
    "such steps"
  )


def lower_is_better(name: str) -> bool:
  """Whether the less of this metric the better; else the more."""
  return name.endswith(("loss", "perplexity", "error"))


def read(path: pathlib.Path) -> list[dict[str, Any]]:
  """Rows of a metrics file; none if it is missing; a torn last line is left.

  Without those that were out of turn and that the next took in.
  """
  return _in_turn(_lines(path))


def _in_turn(rows: Iterable[dict]) -> list[dict]:
  rows = list(rows)
  return [r for r in rows[:-1] if "unfinished" not in r] + rows[-1:]


def _lines(path: pathlib.Path) -> list[dict[str, Any]]:
  if not path.is_file():
    return []
  rows = []
  for line in path.read_text(encoding="utf-8").splitlines():
    try:
      rows.append(json.loads(line))
    except json.JSONDecodeError:
      break
  return rows
