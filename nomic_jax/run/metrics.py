# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""metrics.jsonl: one line per logged step, in order of steps."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import json
import math
import time
from typing import TYPE_CHECKING

import jax
import numpy as np

from nomic_jax.errors import Diverged
from nomic_jax.errors import UserError
from nomic_jax.model import flops as flops_lib
from nomic_jax.storage import appended
from nomic_jax.storage import buckets
from nomic_jax.storage.files import replacing
from nomic_jax.storage.values import Json
from nomic_jax.storage.values import JsonObject
from nomic_jax.storage.values import Place

if TYPE_CHECKING:
  import optax


class MetricsFile:
  """Appends lines; a resumed run first drops those it will write again.

  Therefore the file of an interrupted run reads like that of an uninterrupted
  one. The last line of a stopped run may be `unfinished`: it holds the numbers
  of its steps, which the next line starts with. It stays in the file in case
  this run is killed, and `read` ignores it.

  Attributes:
    rows: the lines that were kept.
    last: the last of them, or {}.
    seconds: seconds of training up to the last line.
  """

  def __init__(
    self,
    path: Place,
    resume_step: int,
    trackers: Sequence[Callable[[dict | None], None]] = (),
  ):
    """Drops lines after `resume_step`.

    Args:
      path: the file.
      resume_step: step of the checkpoint that the training run resumes from.
      trackers: called with each new line, except unfinished ones, which they
        could not take back.
    """
    self._trackers = trackers
    lines = _finished(row for row in _lines(path) if row["step"] <= resume_step)
    self.rows, self.last = lines, lines[-1] if lines else {}
    text = "".join(json.dumps(r) + "\n" for r in lines)
    self._path = path
    if buckets.is_remote(path):
      self._file = appended.Appended(path, text.encode())
    else:
      with replacing(path) as temporary:
        temporary.write_text(text)
      # Unbuffered, so that closing does not retry what did not fit the disk.
      self._file = open(path, "ab", buffering=0)
    self.seconds = self.last.get("seconds", 0.0)

  def write(self, row: JsonObject) -> None:
    """Appends a line.

    Raises:
      UserError: if the disk is full.
    """
    try:
      rest = (json.dumps(row) + "\n").encode()
      while rest:  # after a partial write, the next one raises the reason
        rest = rest[self._file.write(rest) :]
    except OSError as e:
      if buckets.is_remote(self._path):
        raise
      raise UserError(
        f"cannot write {self._path}: {e.strerror}; the checkpoints are "
        "complete: fix that and run the same command to resume from the last"
      ) from e
    for tracker in self._trackers if "unfinished" not in row else ():
      tracker(row)

  def stopped_at(self, step: int) -> bool:
    """Returns whether the last line is unfinished and of this step."""
    return self.last.get("step") == step and "unfinished" in self.last

  def flush(self) -> None:
    """Waits until all lines are written, also in a bucket."""
    self._file.flush()

  def close(self) -> None:
    """Closes the file and the trackers."""
    self._file.close()
    for tracker in self._trackers:
      tracker(None)


class StepLog:
  """Checks every step's metrics and writes their means every few steps.

  Attributes:
    compiling: set this when a step had to be compiled.
  """

  def __init__(
    self,
    metrics: MetricsFile | None,
    schedule: "optax.Schedule",
    every: int,
    skip_at_most: int = 0,
    clocks: Callable[[], dict[str, float]] = dict,
  ):
    """Starts a log.

    Args:
      metrics: the file; None in all processes but one. All of them check.
      schedule: learning rate by update.
      every: number of steps per line.
      skip_at_most: number of non-finite steps to tolerate.
      clocks: returns further entries for the end of each line.
    """
    self._clocks = clocks
    self._metrics, self._schedule, self._every = metrics, schedule, every
    self._skip_at_most = skip_at_most
    last = metrics.last if metrics else {}
    begun = last.get("unfinished", [])
    if isinstance(begun, list):  # written by versions without the other sums
      begun = {"rows": begun, "real": 0, "slots": 0}
    self._rows: list[dict] = begun["rows"]
    self._real, self._slots = begun["real"], begun["slots"]
    self._skipped = last.get("skipped", 0)
    self._empty = last.get("empty_steps", 0)
    self._tokens = 0  # real tokens since this process began the line
    self._flops = self._waited = 0.0
    self._taken: list[float] = []  # seconds of each step
    self._shown: dict[str, float] = {}
    self._seconds = metrics.seconds if metrics else 0.0
    self._clock = self._before = time.monotonic()
    self._held_out: Mapping[str, float] = {}
    self.compiling = False

  def add_held_out(self, means: Mapping[str, float], seconds: float) -> None:
    """Adds `means` to the next line and excludes `seconds` from the clock."""
    self._held_out = means
    self._clock += seconds
    self._before += seconds

  def restart_clock(self) -> None:
    """Excludes the time before the first step from the clock."""
    self._clock = self._before = time.monotonic()

  def finish(self, results: Mapping[str, float]) -> None:
    """Writes the line of a stopped run, with results measured later."""
    if self._metrics:
      line = {k: v for k, v in self._metrics.last.items() if k != "unfinished"}
      self._metrics.write(line | dict(results) | self._clocks())
    self._rows, self._real, self._slots = [], 0, 0

  def add(
    self,
    number: int,
    result: Mapping[str, Json],
    tokens: tuple[int, int],
    waited: float,
    source: str,
    flops: float = 0.0,
    write: bool = False,
    stopped: bool = False,
  ) -> dict[str, float]:
    """Adds step `number`; returns values to display.

    Args:
      number: from 1.
      result: the step's metrics, scalars.
      tokens: numbers of real tokens and of token slots in its batch.
      waited: seconds spent waiting for the batch.
      source: the source of the batch, for error messages.
      flops: the FLOPs of the step on all devices, by formula.
      write: whether to write a line even if none is due. Set it at a
        checkpoint, so that no line spans it and resumed runs write the same
        lines.
      stopped: whether the run ends here, leaving the line unfinished.

    Raises:
      Diverged: if the loss or the gradient is not finite more often than
        allowed.
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
      self._empty += 1  # excluded from all means
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
    for name in names:  # some are not in every step: accuracy/SOURCE
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
          # So far, with zero weight. Neither these nor skipped steps count as
          # updates, which the schedule depends on.
          **({"empty_steps": self._empty} if self._empty else {}),
          "learning_rate": float(
            np.asarray(self._schedule(number - 1 - self._skipped - self._empty))
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
    """Returns statistics of the steps since the last line.

    A step's time is the interval between reading the metrics of two steps,
    without evaluation. `mfu` (see `flops`) is available for devices of known
    peak, `device_memory` for those that report it: the maximum over this host's
    devices.
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
      stats["peak_bytes_in_use"]
      for device in jax.local_devices()
      if "peak_bytes_in_use" in (stats := device.memory_stats() or {})
    ]
    if held:
      speed["device_memory"] = max(held)
    return speed


def _not_finite(
  number: int, row: Mapping[str, float], groups: Mapping[str, Json], source: str
) -> str:
  """Returns the message for a step whose loss or gradient is not finite."""
  name = "gradient_norm" if math.isfinite(row["loss"]) else "loss"
  bad = [g for g, norm in groups.items() if not math.isfinite(norm)]
  where = f", with gradients not finite in {', '.join(bad[:3])}" if bad else ""
  if len(bad) > 3:
    where += f" and {len(bad) - 3} more of {len(groups)} groups"
  return (
    f"step {number}: {name} is {row[name]} on a batch of {source}{where}; the "
    "last checkpoint is from before this step. Check the metrics of earlier "
    "steps, config.optimizer.learning_rate and the data of this step, then "
    "start in a new --workdir; config.skip_nonfinite=N skips up to N such steps"
  )


def lower_is_better(name: str) -> bool:
  """Returns whether smaller values of this metric are better."""
  return name.endswith(("loss", "perplexity", "error"))


def read(path: Place) -> list[JsonObject]:
  """Returns the rows of a metrics file; [] if missing.

  A partial last line is ignored, and so are unfinished lines that a later one
  includes.
  """
  return _finished(_lines(path))


def _finished(rows: Iterable[dict]) -> list[dict]:
  rows = list(rows)
  return [r for r in rows[:-1] if "unfinished" not in r] + rows[-1:]


def _lines(path: Place) -> list[JsonObject]:
  if not path.is_file():
    return []
  rows = []
  for line in path.read_text(encoding="utf-8").splitlines():
    try:
      rows.append(json.loads(line))
    except json.JSONDecodeError:
      break
  return rows
