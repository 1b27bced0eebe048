# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Lines of metrics.jsonl, and means of values that only some steps have."""

import json
import types

import jax
import numpy as np
import pytest

from nomic_jax.data import loader
from nomic_jax.model import flops
from nomic_jax.model.config import EncoderConfig
from nomic_jax.run import metrics


def _batch(*names):
  return {"source": np.array([names])}


def test_accuracy_is_also_that_of_each_source(tmp_path):
  file = metrics.MetricsFile(tmp_path / "metrics.jsonl", 0)
  log = metrics.StepLog(file, lambda step: 0.5, 4)
  steps = [
    (0.1, ("a", "a")),
    (0.2, ("b", "b")),
    (0.4, ("a", "b")),
    (0.5, ("a", "a")),
  ]
  for number, (accuracy, names) in enumerate(steps, 1):
    result = {
      "loss": 1.0,
      "gradient_norm": 1.0,
      "accuracy": accuracy,
      "group_norms": {},
      "skipped": 0,
    }
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


def test_a_mixed_batch_has_no_source_on_any_host():
  batch = _batch("a", "a") | {"one_source": np.zeros((1, 2), "i")}
  assert loader.accuracy_of_source(batch, {"accuracy": 1}) == {}
  batch["one_source"] += 1
  assert loader.accuracy_of_source(batch, {"accuracy": 1}) == {"accuracy/a": 1}


def _result(loss, weight):
  return {
    "loss": loss,
    "gradient_norm": 1.0,
    "group_norms": {},
    "skipped": 0,
    "empty": int(not weight),
  }


def test_batches_with_zero_weight_count_in_no_mean(tmp_path):
  """They are not updates either, which the learning rate depends on."""
  path = tmp_path / "metrics.jsonl"
  file = metrics.MetricsFile(path, 0)
  log = metrics.StepLog(file, lambda update: update, 2)
  for number, (loss, weight) in enumerate(
    [(2.0, 1.0), (0.0, 0.0), (0.0, 0.0), (0.0, 0.0)], 1
  ):
    shown = log.add(number, _result(loss, weight), (3, 4), 0.0, "a")
  file.close()
  file = metrics.MetricsFile(path, 4)
  log = metrics.StepLog(file, lambda update: update, 2)
  for number, loss in ((5, 4.0), (6, 6.0)):
    log.add(number, _result(loss, 1.0), (3, 4), 0.0, "a")
  file.close()
  rows = metrics.read(path)
  assert [
    (r["step"], r.get("loss"), r["empty_steps"], r["learning_rate"])
    for r in rows
  ] == [(2, 2.0, 1, 0), (4, None, 3, 0), (6, 5.0, 3, 2)]
  assert "loss" not in shown and "empty" not in rows[0]


def test_the_line_of_a_stopped_run_continues(tmp_path):
  """The next line has means and padding over all of its steps."""
  whole, stopped = tmp_path / "whole.jsonl", tmp_path / "stopped.jsonl"
  steps = [(1, 2.0, (1, 4)), (2, 4.0, (2, 4)), (3, 9.0, (4, 4))]

  def run(path, done, steps, stop=None):
    file = metrics.MetricsFile(path, done)
    log = metrics.StepLog(file, lambda update: update, 3)
    for number, loss, tokens in steps:
      log.add(
        number,
        _result(loss, 1.0),
        tokens,
        0.0,
        "a",
        write=number == stop,
        stopped=number == stop,
      )
    return file, log

  run(whole, 0, steps)
  run(stopped, 0, steps[:2], stop=2)
  run(stopped, 2, steps[2:])
  kept = lambda path: [
    {k: row[k] for k in ("step", "loss", "padding", "learning_rate")}
    for row in metrics.read(path)
  ]
  assert kept(whole) == kept(stopped)
  assert kept(whole)[0]["padding"] == 1 - 7 / 12
  # Earlier versions wrote a list of rows.
  old = json.loads(stopped.read_text().splitlines()[0])
  old["unfinished"] = old["unfinished"]["rows"]
  stopped.write_text(json.dumps(old) + "\n")
  run(stopped, 2, steps[2:])
  assert metrics.read(stopped)[0]["loss"] == 5.0
  # If the last step's evaluation was not made, its line is still complete.
  late = tmp_path / "late.jsonl"
  run(late, 0, steps, stop=3)
  file, log = run(late, 3, [])
  assert file.stopped_at(3) and not file.stopped_at(2)
  log.finish({"eval/loss": 7.0})
  assert kept(late) == kept(whole)
  assert metrics.read(late)[0]["eval/loss"] == 7.0
  run(late, 3, [(4, 1.0, (1, 4)), (5, 1.0, (1, 4)), (6, 1.0, (1, 4))])
  assert metrics.read(late)[1]["padding"] == 0.75


def test_speeds_are_those_of_the_devices_and_the_clock(tmp_path, monkeypatch):
  clock = [100.0]
  monkeypatch.setattr(
    metrics, "time", types.SimpleNamespace(monotonic=lambda: clock[0])
  )
  file = metrics.MetricsFile(tmp_path / "metrics.jsonl", 0)
  log = metrics.StepLog(file, lambda step: 0.5, 4)

  def steps(first, flops):
    for number, seconds in enumerate((1.0, 1.0, 1.0, 5.0), first):
      clock[0] += seconds
      result = {
        "loss": 1.0,
        "gradient_norm": 1.0,
        "group_norms": {},
        "skipped": 0,
      }
      shown = log.add(number, result, (30, 40), 0.5, "a", flops)
      if number == first:
        clock[0] += 100.0  # an evaluation, which does not count
        log.add_held_out({}, 100.0)
    return shown

  assert "mfu" not in steps(1, 2e12)  # the peak of a CPU is unknown
  devices = [
    types.SimpleNamespace(
      device_kind="TPU v5 lite",
      memory_stats=lambda held=held: {"peak_bytes_in_use": held},
    )
    for held in (7, 9)
  ]
  for name in ("devices", "local_devices"):
    monkeypatch.setattr(jax, name, lambda: devices)
  monkeypatch.setattr(jax, "device_count", lambda: 2)
  shown = steps(5, 197e12)
  file.close()
  first, second = metrics.read(tmp_path / "metrics.jsonl")
  assert second["seconds"] == 16.0 and first["tokens_per_second"] == 15.0
  assert first["data_wait_share"] == 0.25 and first["padding"] == 0.25
  assert first["step_seconds_p50"] == 1.0 and first["step_seconds_max"] == 5.0
  assert first["step_seconds_p90"] == np.percentile([1, 1, 1, 5], 90)
  assert "mfu" not in first and "device_memory" not in first
  assert second["device_memory"] == 9
  # Four steps of a second's work for one device: 8 seconds, two devices.
  assert second["mfu"] == pytest.approx(0.25)
  assert shown == {"loss": 1.0, "tokens/s": 15.0, "mfu": second["mfu"]}


def test_operations_are_those_that_the_texts_need():
  """Attention within a text, no padding, no absent candidates or labels."""
  c = EncoderConfig(
    vocab_size=96, width=16, layers=2, heads=2, mlp_width=32
  ).architecture
  segments = np.array([[[1] * 5 + [2] * 3 + [0] * 8, [1] * 16]], "i")
  batch = {
    "ids": segments,
    "segment_ids": segments,
    "query": np.array([[0, -1]]),
    "candidate": np.array([[1, 2, -1]]),
  }
  texts = sum(flops.of_encoder(c, n, n) for n in (5, 3, 16))
  assert flops.of_batch(c, batch) == pytest.approx(3 * (texts + 2 * 2 * 16))
  full = np.ones((1, 2, 16), "i")
  labels = np.array([[[1, 2, -1], [3, -1, -1]]])
  mlm = {"ids": full, "segment_ids": full, "masked": labels, "labels": labels}
  assert flops.of_batch(c, mlm) == pytest.approx(
    3 * (2 * flops.of_encoder(c, 16, 16) + 2 * 3 * (16**2 + 16 * 96))
  )
  assert flops.of_step(c, {k: v.shape for k, v in mlm.items()}) > (
    flops.of_batch(c, mlm)
  )
