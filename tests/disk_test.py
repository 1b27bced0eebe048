# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Trainings that stop half way keep their checkpoints and resume."""

import contextlib
import os
import re
import resource
import shutil
import subprocess

import grain
import jax
import numpy as np
import pytest
from support import small_data

from nomic_jax import main
from nomic_jax.errors import UserError
from nomic_jax.run import checkpoint
from nomic_jax.run import metrics

pytestmark = pytest.mark.slow


@pytest.fixture(name="place", scope="module")
def _place(tmp_path_factory):
  place = tmp_path_factory.mktemp("disk")
  small_data.make(place)
  return place


def _start(place, workdir, held=""):
  """A process that trains 40 steps, with a checkpoint every 4."""
  command = small_data.train(
    "mlm", place / "pairs", workdir, "steps=40", "checkpoint.every=4"
  )
  return small_data.Process(command, place / "compiled", held)


def _assert_goes_on(place, workdir):
  """Asserts that training resumes from an undamaged earlier checkpoint."""
  before = checkpoint.latest_step(workdir)
  assert before and checkpoint.restore_params(workdir)
  status, out, err = _start(place, workdir).finish()
  assert status == 0, err
  assert f"resuming after step {before} of 40" in out
  assert checkpoint.latest_step(workdir) == 40
  rows = metrics.read(workdir / "metrics.jsonl")
  assert [r["step"] for r in rows] == [*range(1, 41)]
  assert not list(workdir.glob("checkpoints/*tmp*"))


def test_files_may_not_grow(place):
  """As when a quota is exceeded in the middle of a checkpoint."""
  workdir = place / "quota"
  training = _start(place, workdir, "slow")
  assert training.wait_for(lambda: checkpoint.latest_step(workdir))
  resource.prlimit(training.pid, resource.RLIMIT_FSIZE, (12288, 12288))
  status, _, err = training.finish()
  assert status == 2
  line = small_data.complaint(err)
  assert re.search("quota: cannot write .*: File too large", line), line
  assert "run the same command" in line
  _assert_goes_on(place, workdir)


@pytest.fixture(name="disk")
def _disk(tmp_path):
  """A small file system of its own."""
  disk = tmp_path / "disk"
  disk.mkdir()
  mounted = (
    os.geteuid() == 0
    and subprocess.run(
      ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)],
      capture_output=True,
      check=False,
    ).returncode
    == 0
  )
  if not mounted:
    pytest.skip("no file system can be mounted here")
  yield disk
  subprocess.run(["umount", str(disk)], check=True)


def test_full_disk(place, disk):
  workdir, filler = disk / "run", disk / "filler"
  training = _start(place, workdir, "slow")
  assert training.wait_for(lambda: checkpoint.latest_step(workdir))
  with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
    while True:
      file.write(bytes(4096))
  status, _, err = training.finish()
  assert status == 2
  line = small_data.complaint(err)
  assert re.search("cannot write .*No space left|a checkpoint takes", line)
  assert "run the same command" in line
  filler.unlink()
  _assert_goes_on(place, workdir)


def test_lack_of_space_is_an_error_before_a_checkpoint(tmp_path, monkeypatch):
  data = iter(grain.MapDataset.range(9).to_iter_dataset())
  state = {"x": jax.numpy.ones(1_000_000)}
  with contextlib.closing(checkpoint.Checkpoints(tmp_path, keep=2)) as saved:
    saved.save(1, state, data)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(
      shutil, "disk_usage", lambda path: usage._replace(free=3_900_000)
    )
    with pytest.raises(UserError, match="takes 4.0 MB but .* has 3.9 MB free"):
      saved.save(2, state, data)
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["1"]
    monkeypatch.undo()
    saved.save(2, state, data)
  assert checkpoint.latest_step(tmp_path) == 2


def test_loss_that_is_not_finite(place, capsys):
  workdir = place / "diverges"
  command = small_data.train(
    "mlm",
    place / "pairs",
    workdir,
    "optimizer.learning_rate=1e30",
    "checkpoint.every=1",
  )
  assert main.main(command) == 2
  line = small_data.complaint(capsys.readouterr().err)
  found = re.match(r"step (\d+): (loss|gradient_norm) is (nan|inf)", line)
  step = int(found[1])
  assert "Check the metrics of earlier steps, config.optimizer." in line
  assert step > 1, "the test needs a checkpoint before"
  assert checkpoint.latest_step(workdir) == step - 1
  assert (workdir / "diverged.json").read_text() == f'{{"step": {step}}}'
  rows = metrics.read(workdir / "metrics.jsonl")
  assert [r["step"] for r in rows] == [*range(1, step)]
  assert all(np.isfinite(r["loss"]) for r in rows)
