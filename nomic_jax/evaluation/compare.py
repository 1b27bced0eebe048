# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Confidence intervals of scores and of their differences, by the bootstrap.

Items (queries, pairs, texts) are drawn with replacement, as many as there are,
and the sample is scored. A thousand such scores show how much the score depends
on the choice of items. All systems of a task are scored on the same samples, so
their differences are paired (Efron and Tibshirani, "An Introduction to the
Bootstrap", 1993; Koehn, "Statistical significance tests for machine translation
evaluation", 2004).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nomic_jax.evaluation.task import Task

DRAWS = 1000
# The fewest items with an interval. With five, it would exclude 0 whenever all
# five differences have one sign, which occurs by chance in 6 % of the cases.
FEWEST = 6
_TAIL = 2.5  # per cent excluded at each end


class Difference(NamedTuple):
  """The difference between the main scores of two systems on the same items.

  Attributes:
    value: the first score minus the second.
    low, high: bounds of 95 % of the samples.
  """

  value: float
  low: float
  high: float

  @property
  def significant(self) -> bool:
    """Whether the interval excludes 0."""
    return self.low > 0 or self.high < 0


def draws(task: Task, items: np.ndarray) -> np.ndarray:
  """Returns the main scores of DRAWS samples of `items` [N, ...].

  Samples of equal N are always the same rows. NaN if N is less than FEWEST.
  """
  rng = np.random.default_rng(0)
  count = len(items)
  if count < FEWEST:
    return np.full(DRAWS, np.nan)
  return np.array(
    [task.main(items[rng.integers(count, size=count)]) for _ in range(DRAWS)]
  )


def interval(
  score: float, drawn: Sequence[float] | np.ndarray
) -> tuple[float, float]:
  """Returns the bounds of 95 % of the samples; NaN if none is finite.

  The samples are shifted such that their mean is the score, because some scores
  (such as the v-measure) are too high for samples with repeated items.
  """
  finite = np.asarray(drawn, np.float64)
  finite = finite[np.isfinite(finite)]
  if not len(finite):
    return np.nan, np.nan
  low, high = (
    np.percentile(finite - finite.mean(), [_TAIL, 100 - _TAIL]) + score
  )
  return float(low), min(float(high), 1.0)  # the maximum of any score


def difference(
  score: float,
  drawn: Sequence[float],
  other: float,
  other_drawn: Sequence[float],
) -> Difference:
  """Compares two systems by their scores and their `draws` on one task."""
  paired = np.asarray(drawn, np.float64) - np.asarray(other_drawn, np.float64)
  paired = paired[np.isfinite(paired)]
  if not len(paired):
    return Difference(score - other, np.nan, np.nan)
  # Not shifted as intervals are: equal samples must give 0.
  low, high = np.percentile(paired, [_TAIL, 100 - _TAIL])
  return Difference(score - other, float(low), float(high))
