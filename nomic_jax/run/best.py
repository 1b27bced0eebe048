# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The best value of a metric so far, and when to stop without improvement.

`config.checkpoint.best` names the metric of an evaluator. It is also measured
before the first step: a checkpoint is the best only if it is better than the
initial model and than every earlier checkpoint. In a tie, the earliest wins.

All of this is computed from the lines of metrics.jsonl, so a resumed run
decides as an uninterrupted one would.
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
  """The best value of a metric so far.

  Attributes:
    metric: its name, such as retrieval/nDCG@10; "" if none is recorded.
    value: the best so far; None before the first.
    step: at which it was measured; 0 is the start.
    since: number of measurements after that.
  """

  def __init__(self, metric: str, patience: int = 0):
    """Records `metric`; is `exhausted` after `patience` without a better one.

    Raises:
      UserError: for a patience without a metric.
    """
    if patience and not metric:
      raise UserError(
        f"config.checkpoint.patience: {patience}, but config.checkpoint.best "
        "names no metric; set it, for example to eval/loss"
      )
    self.metric, self._patience = metric, patience
    self.value: float | None = None
    self.step, self.since = -1, 0

  def add(self, step: int, results: Mapping[str, Json]) -> bool:
    """Adds the results of a step; returns whether they are the best.

    Results without the metric change nothing.
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
    """Adds the lines of process 0's metrics.jsonl, in all processes."""
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
    """Whether the last `patience` measurements brought no improvement."""
    return bool(self._patience) and self.since >= self._patience

  def __str__(self) -> str:
    at = f"at step {self.step}" if self.step else "before the first step"
    return f"best {self.metric} was {self.value:.4g}, {at}"


def of_config(config: ml_collections.ConfigDict) -> Record:
  """Returns the empty record of a training run.

  Raises:
    UserError: see `Record`.
  """
  options = config.checkpoint
  return Record(options.get("best", ""), options.get("patience", 0))


def goodness(name: str, value: float) -> float:
  """Returns a value that is higher for a better metric, -inf for NaN."""
  if math.isnan(value):
    return -math.inf
  return -value if metrics.lower_is_better(name) else value


def start_of(workdir: pathlib.Path | str) -> tuple[str, float] | None:
  """Returns name and value of the best metric before the first step, if any."""
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
