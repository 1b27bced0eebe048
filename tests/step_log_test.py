# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Lines of metrics.jsonl: means, also of what only some steps have."""

import json

import numpy as np

from nomic_jax import metrics
from nomic_jax.data import loader


def _batch(*names):
  return {"source": np.array([names])}


def test_accuracy_is_also_that_of_each_source(tmp_path):
  file = metrics.MetricsFile(tmp_path / "metrics.jsonl", 0)
  log = metrics.StepLog(file, lambda step: 0.5, 4)
  steps = [(0.1, ("a", "a")), (0.2, ("b", "b")), (0.4, ("a", "b")),
           (0.5, ("a", "a"))]
  for number, (accuracy, names) in enumerate(steps, 1):
    result = {"loss": 1.0, "gradient_norm": 1.0, "accuracy": accuracy,
              "group_norms": {}, "skipped": 0}
    result |= loader.accuracy_of_source(_batch(*names), result)
    log.add(number, result, (3, 4), 0.0, ", ".join(names))
  file.close()
  row = json.loads((tmp_path / "metrics.jsonl").read_text())
  assert row["accuracy"] == np.mean([0.1, 0.2, 0.4, 0.5])
  assert row["accuracy/a"] == np.mean([0.1, 0.5])
  assert row["accuracy/b"] == 0.2  # the mixed batch is neither's


def test_batches_without_sources_or_accuracy_name_none():
  assert loader.accuracy_of_source({}, {"accuracy": 1}) == {}
  assert loader.accuracy_of_source(_batch("", ""), {"accuracy": 1}) == {}
  assert loader.accuracy_of_source(_batch("a", "a"), {"loss": 1}) == {}
