# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""TensorBoard and W&B receive the lines of metrics.jsonl."""

import struct
import sys
import types

import ml_collections
import pytest
from support import small_data

from nomic_jax import main
from nomic_jax.run import metrics
from nomic_jax.run import trackers


def _config(**log):
  return ml_collections.ConfigDict(
    dict(steps=3, log=dict(tensorboard=False, wandb="") | log)
  )


def _train(config, workdir, first, last):
  file = metrics.MetricsFile(
    workdir / "metrics.jsonl",
    first - 1,
    trackers.make(config, workdir, first - 1),
  )
  for step in range(first, last + 1):
    file.write({"step": step, "loss": first / step, "seconds": 0.0})
  file.close()


def test_tensorboard_has_every_line_once_after_a_resume(tmp_path):
  pytest.importorskip("tensorboardX")
  config = _config(tensorboard=True)
  _train(config, tmp_path, 1, 4)
  _train(config, tmp_path, 3, 5)  # killed after step 4, resumed from 2
  assert _scalars(tmp_path / "logs", "loss") == {
    row["step"]: pytest.approx(row["loss"])
    for row in metrics.read(tmp_path / "metrics.jsonl")
  }


def _scalars(folder, name):
  """The scalars in TensorBoard's files, parsed without the library."""
  from tensorboardX.proto import event_pb2

  values = {}
  for file in sorted(folder.iterdir(), key=lambda p: p.stat().st_mtime_ns):
    data = file.read_bytes()
    while data:
      (length,) = struct.unpack("<Q", data[:8])  # checksums follow both parts
      event = event_pb2.Event.FromString(data[12 : 12 + length])
      data = data[16 + length :]
      if event.session_log.status == event_pb2.SessionLog.START:
        values = {k: v for k, v in values.items() if k < event.step}
      for v in event.summary.value:
        if v.tag == name:
          values[event.step] = v.simple_value
  return values


def test_wandb_resumes_the_same_run(tmp_path, monkeypatch):
  started, logged = [], []

  def init(**settings):
    started.append(settings)
    return types.SimpleNamespace(
      log=lambda row, step: logged.append((step, row["loss"])),
      finish=lambda: logged.append("finished"),
    )

  monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=init))
  config = _config(wandb="mine")
  _train(config, tmp_path, 1, 2)
  _train(config, tmp_path, 3, 3)
  assert logged == [(1, 1.0), (2, 0.5), "finished", (3, 1.0), "finished"]
  assert started[0]["project"] == "mine" and started[0]["resume"] == "allow"
  assert started[0]["config"]["steps"] == 3
  assert started[0]["id"] == started[1]["id"]


def test_unused_packages_are_not_imported(tmp_path):
  assert trackers.make(_config(), tmp_path, 0) == []


@pytest.mark.parametrize(
  "flag, module",
  [("log.wandb=x", "wandb"), ("log.tensorboard=true", "tensorboardX")],
)
def test_a_missing_package_is_named_before_training(
  tmp_path, capsys, monkeypatch, flag, module
):
  monkeypatch.setitem(sys.modules, module, None)
  small_data.make(tmp_path)
  command = small_data.train("mlm", tmp_path / "pairs", tmp_path / "run", flag)
  assert main.main(command) == 2
  extra = {"tensorboardX": "tensorboard"}.get(module, module)
  assert f"{module} is not installed; pip install 'nomic_jax[{extra}]'" in (
    capsys.readouterr().err
  )
