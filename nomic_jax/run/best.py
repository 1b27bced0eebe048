# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The best of a figure so far, and when a training stops for lack of a better.

`config.checkpoint.best` names the figure of an evaluator. It is measured before
the first step too, so that "best" knows the start: a checkpoint is the best
only if it is better than the start and than every one before it. An equal
figure is no better, so of equals the earliest is the best.

All of this is computed from the lines of metrics.jsonl, so that a resumed
training knows what an uninterrupted one would.
"""

from collections.abc import Iterable
from collections.abc import Mapping
import json
import math
import pathlib

from jax.experimental import multihost_utils
import ml_collections
import numpy as np

from nomic_jax.errors import UserError
from nomic_jax.run import metrics
from nomic_jax.storage import buckets
from nomic_jax.storage.values import Json


class Record:
  """The best of a figure so far.

  Attributes:
    metric: its name, such as retrieval/nDCG@10; "" if none is recorded.
    value: the best so far; None before the first.
    step: at which it was measured; 0 is the start.
    since: how often it was measured after that.
  """

  def __init__(self, metric: str, patience: int = 0):
    """Records `metric`; is `exhausted` after `patience` without a better one.

    Raises:
      UserError: for a patience with nothing to measure it by.
    """
    if patience and not metric:
      raise UserError(
        f"config.checkpoint.patience: {patience}, but config.checkpoint.best "
        "names no figure to wait for; set it, such as to eval/loss"
      )
    self.metric, self._patience = metric, patience
    self.value: float | None = None
    self.step, self.since = -1, 0

  def add(self, step: int, results: Mapping[str, Json]) -> bool:
    """Takes what was measured at a step; returns whether it is the best.

    Results without the figure change nothing.
    """
    if not self.metric or self.metric not in results:
      return False
    value = results[self.metric]
    if self.value is not None and not (
      goodness(self.metric, value) > goodness(self.metric, self.value)
    ):
      self.since += 1
      return False
    self.value, self.step, self.since = value, step, 0
    return not math.isnan(value)

  def replay(self, rows: Iterable[Mapping[str, Json]]) -> None:
    """Takes the lines of process 0's metrics.jsonl, in all processes."""
    for row in rows:
      self.add(row["step"], row)
    known = self.value is not None
    value, step, since = multihost_utils.broadcast_one_to_all(
      np.array(
        [self.value if known else 0.0, self.step, self.since], np.float64
      ).view(np.uint32)
    ).view(np.float64)
    self.step, self.since = int(step), int(since)
    self.value = float(value) if self.step >= 0 else None

  @property
  def exhausted(self) -> bool:
    """Whether it was measured `patience` times without a better one."""
    return bool(self._patience) and self.since >= self._patience

  def __str__(self) -> str:
    at = f"at step {self.step}" if self.step else "before the first step"
    return f"{self.metric} was best, {self.value:.4g}, {at}"


def of_config(config: ml_collections.ConfigDict) -> Record:
  """The empty record of a training.

  Raises:
    UserError: see `Record`.
  """
  options = config.checkpoint
  return Record(options.get("best", ""), options.get("patience", 0))


def goodness(name: str, value: float) -> float:
  """A figure, so that more is better; of NaN the least."""
  if math.isnan(value):
    return -math.inf
  return -value if metrics.lower_is_better(name) else value


def start_of(workdir: pathlib.Path | str) -> tuple[str, float] | None:
  """The figure of `config.checkpoint.best` before the first step, if known."""
  place = buckets.as_path(workdir)
  config = place / "config.json"
  if not config.is_file():
    return None
  name = json.loads(config.read_text(encoding="utf-8"))
  name = name.get("checkpoint", {}).get("best", "")
  for row in metrics.read(place / "metrics.jsonl")[:1]:
    if row.get("step") == 0 and name in row:
      return name, row[name]
  return None
