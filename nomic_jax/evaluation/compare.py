# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""How sure a score is, and a difference of two: the bootstrap.

Items (queries, pairs, texts) are drawn with replacement as often as there are
items, and the score of the draw is computed; a thousand such scores say how
far it could be off for the items at hand. Every system of a task is scored on
the same draws, so that their differences are paired (Efron and Tibshirani,
"An Introduction to the Bootstrap", 1993; Koehn, "Statistical significance
tests for machine translation evaluation", 2004).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nomic_jax.evaluation.task import Task

DRAWS = 1000
_TAIL = 2.5  # per cent left out on either side


class Difference(NamedTuple):
  """Of a system's main score and another's on the same items.

  Attributes:
    value: the first score less the second.
    low, high: 95 % of the draws lie between these.
  """

  value: float
  low: float
  high: float

  @property
  def significant(self) -> bool:
    return self.low > 0 or self.high < 0


def draws(task: Task, items: np.ndarray) -> np.ndarray:
  """Returns the main score of DRAWS draws of `items` [N, ...], always the
  same rows of N; NaN for a single item, of which nothing can be drawn.
  """
  rng = np.random.default_rng(0)
  count = len(items)
  if count == 1:
    return np.full(DRAWS, np.nan)
  return np.array(
    [task.main(items[rng.integers(count, size=count)]) for _ in range(DRAWS)]
  )


def interval(score: float, drawn: Sequence[float]) -> tuple[float, float]:
  """Returns what 95 % of the draws lie between, NaN if none is a number.

  The draws are moved so that their mean is the score: of a draw, in which
  items repeat, some scores (such as the v-measure) are too high.
  """
  finite = np.asarray(drawn, np.float64)
  finite = finite[np.isfinite(finite)]
  if not len(finite):
    return np.nan, np.nan
  low, high = (
    np.percentile(finite - finite.mean(), [_TAIL, 100 - _TAIL]) + score
  )
  return float(low), min(float(high), 1.0)  # what no score is above


def difference(
  score: float,
  drawn: Sequence[float],
  other: float,
  other_drawn: Sequence[float],
) -> Difference:
  """Compares two systems by their scores and their `draws` of one task."""
  paired = np.asarray(drawn, np.float64) - np.asarray(other_drawn, np.float64)
  paired = paired[np.isfinite(paired)]
  if not len(paired):
    return Difference(score - other, np.nan, np.nan)
  # Not moved as intervals are: draws that do not differ must stay 0.
  low, high = np.percentile(paired, [_TAIL, 100 - _TAIL])
  return Difference(score - other, float(low), float(high))
