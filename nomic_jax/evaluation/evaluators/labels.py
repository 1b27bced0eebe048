# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Scores predicted labels on every row of a split, as in GLUE."""

from collections.abc import Callable
from typing import Any
from typing import cast

import jax
import numpy as np

from nomic_jax.data import dataset
from nomic_jax.data import labels as labels_lib
from nomic_jax.data import loader
from nomic_jax.errors import one_of
from nomic_jax.errors import UserError
from nomic_jax.evaluation.evaluators.evaluator import Evaluator
from nomic_jax.losses.loss import Params
from nomic_jax.losses.loss import Predictor
from nomic_jax.mesh import partition


def _accuracy(expected: np.ndarray, predicted: np.ndarray) -> float:
  return float(np.mean(expected == predicted))


def _f1(expected: np.ndarray, predicted: np.ndarray) -> float:
  from sklearn import metrics

  return metrics.f1_score(expected, predicted, zero_division=cast(Any, 0.0))


def _matthews(expected: np.ndarray, predicted: np.ndarray) -> float:
  from sklearn import metrics

  return metrics.matthews_corrcoef(expected, predicted)


def _pearson(expected: np.ndarray, predicted: np.ndarray) -> float:
  from scipy import stats

  return cast(Any, stats.pearsonr(expected, predicted)).statistic


def _spearman(expected: np.ndarray, predicted: np.ndarray) -> float:
  from scipy import stats

  return cast(Any, stats.spearmanr(expected, predicted)).statistic


METRICS = {
  "accuracy": _accuracy,
  "f1": _f1,
  "matthews": _matthews,
  "pearson": _pearson,
  "spearman": _spearman,
}
_OF_NUMBERS = ("pearson", "spearman")


class Labels(Evaluator):
  """Scores each row once, for any batch size; skips rows without a label.

  Options: `data`, overrides of the training run's data; `metrics`, names in
  METRICS separated by commas.
  """

  def open(self) -> None:
    """Opens the data and traces the predictions."""
    options, config, run = self.options, self.config, self.run
    loss = run.loss
    if not isinstance(loss, Predictor) or config.data.labels != 1:
      raise UserError(
        "predicting labels needs a classification with one label per text; set "
        "config.loss.name=classification and config.data.labels=1"
      )
    self.metrics = options.metrics.split(",")
    regression = config.loss.kind == "regression"
    for name in self.metrics:
      one_of(name, METRICS, f"metrics: no metric '{name}'")
      if (name in _OF_NUMBERS) != regression:
        raise UserError(
          f"metrics: '{name}' does not apply to the predictions of a loss of "
          f"kind '{config.loss.kind}'"
        )
    if "f1" in self.metrics and config.loss.labels != 2:
      raise UserError(
        f"metrics: 'f1' requires two classes, but loss.labels is "
        f"{config.loss.labels}; use accuracy or matthews"
      )
    self._regression, self._mesh = regression, run.mesh
    fields = config.data.copy_and_resolve_references()
    with fields.unlocked():
      fields.update(options.data)
    if not fields.path:
      raise UserError(
        "data.path is empty; set it to the data directory of the dev file"
      )
    self._source = dataset.open_split(fields.path, fields.split)
    self._fields = fields
    self._predict = run.on_mesh(
      lambda params, batch: loss.predict(
        params, jax.tree.map(lambda x: x[0], batch)
      )
    )
    batch, _ = next(self._batches())
    jax.eval_shape(self._predict, run.state.params, batch)

  def measure(
    self, params: Params, check: Callable[[], None]
  ) -> dict[str, float]:
    """Returns the metrics over all rows; NaN if predictions are not finite."""
    predictions, expected = [], []
    for batch, labels in self._batches():
      check()
      logits = np.asarray(self._predict(params, batch))
      counted = ~np.isnan(labels)
      predictions.append(logits[counted])
      expected.append(labels[counted])
    logits, labels = np.concatenate(predictions), np.concatenate(expected)
    predicted = logits[:, 0] if self._regression else logits.argmax(1)
    if not np.isfinite(logits).all() or (
      self._regression and np.ptp(predicted) == 0
    ):
      return dict.fromkeys(self.metrics, float("nan"))
    return {
      name: float(METRICS[name](labels, predicted)) for name in self.metrics
    }

  def _batches(self):
    """Yields batches on the devices, and the labels [N] of all hosts' rows."""
    sharding = partition.batch_sharding(self._mesh)
    for batch, labels in labels_lib.one_pass(
      self._source,
      self.tokenizer,
      self._fields,
      jax.process_index(),
      jax.process_count(),
    ):
      yield loader.to_devices(batch, sharding), labels[:, 0]
