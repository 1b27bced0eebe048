# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Several jax.distributed processes train one model and stop together."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time

import grain
import jax
from jax.experimental import multihost_utils
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from support import small_data
from support import tiny

from nomic_jax.run import checkpoint
from nomic_jax.run import metrics

pytestmark = [pytest.mark.slow, pytest.mark.processes]

STEPS = 30
FLAGS = [
  f"steps={STEPS}",
  "log_every=1",
  "checkpoint.every=10",
  "optimizer.warmup=5 steps",
  "data.batch_size=8",
  "data.rows_multiple=16",
  "evaluators.retrieval.every=10",
  "evaluators.eval.every=10",
  "evaluators.eval.data.split=train",
  "checkpoint.best=eval/loss",
  "checkpoint.keep=2",
]


@pytest.fixture(name="place", scope="module")
def _place(tmp_path_factory):
  folder = tmp_path_factory.mktemp("processes")
  small_data.make(folder)
  return folder


def _command(place, workdir, *more):
  return small_data.train(
    "contrastive", place / "pairs", workdir, *FLAGS, *more
  )


def _environment(place, **more):
  return (
    os.environ
    | {
      "XLA_FLAGS": "",
      "PYTHONPATH": str(small_data.ROOT),
      "NOMIC_JAX": f"{sys.executable} -m nomic_jax.main",
      "JAX_COMPILATION_CACHE_DIR": str(place / "compiled"),
      "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
      "GRACE": "20",
    }
    | more
  )


def _start(place, workdir, held="slow"):
  """Starts two processes with the launcher, in one process group."""
  program = (
    f"{small_data.ROOT}/tests/support/held.py {held}"
    if held
    else ("-m nomic_jax.main")
  )
  return subprocess.Popen(
    [
      "bash",
      "launch/local.sh",
      "--processes=2",
      "--",
      *_command(place, workdir),
    ],
    cwd=small_data.ROOT,
    text=True,
    start_new_session=True,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    env=_environment(place, NOMIC_JAX=f"{sys.executable} {program}"),
  )


def _second_of(group: int) -> int:
  """Returns the second process that a launcher has started."""
  for folder in pathlib.Path("/proc").glob("[0-9]*"):
    with contextlib.suppress(OSError):
      if os.getpgid(int(folder.name)) == group and (
        b"JAX_PROCESS_ID=1\0" in (folder / "environ").read_bytes()
      ):
        return int(folder.name)
  raise AssertionError("it has not started")


def _wait_for_steps(launcher, workdir, count):
  while launcher.poll() is None:
    rows = metrics.read(workdir / "metrics.jsonl")
    if rows and rows[-1]["step"] >= count:
      return
    time.sleep(0.01)
  raise AssertionError(f"it ended early: {launcher.communicate()[0]}")


def test_two_processes_stopped_and_resumed_train_what_one_does(place):
  """Although the checkpoint at which they stopped is damaged."""
  workdir = place / "two"
  launcher = _start(place, workdir)
  _wait_for_steps(launcher, workdir, 11)
  launcher.send_signal(signal.SIGTERM)
  out, _ = launcher.communicate(timeout=120)
  assert launcher.returncode == 75, out
  assert "[0] nomic-jax: stopped: SIGTERM: saved step" in out
  assert "[1] nomic-jax: stopped: SIGTERM: saved step" in out
  stopped = checkpoint.latest_step(workdir)
  assert 11 <= stopped < STEPS
  before = stopped - stopped % 10 if stopped % 10 else stopped - 10
  parts = (workdir / "checkpoints" / str(stopped)).rglob("ocdbt.process_*/d/*")
  for part in [*parts]:  # the second half of one may hold no values
    os.truncate(part, 1)

  out, _ = (again := _start(place, workdir, held="")).communicate(timeout=120)
  assert again.returncode == 0, out
  assert out.count(f"step {stopped} cannot be read; it was moved to") == 1
  assert f"resuming after step {before} of {STEPS}" in out
  one = small_data.Process(_command(place, place / "one"), place / "compiled")
  status, _, err = one.finish()
  assert status == 0, err
  rows = [metrics.read(place / n / "metrics.jsonl") for n in ("one", "two")]
  assert [r["step"] for r in rows[1]] == [*range(STEPS + 1)]
  assert rows[0][0]["eval/loss"] == pytest.approx(
    rows[1][0]["eval/loss"], abs=1e-3
  )
  rows = [r[1:] for r in rows]  # without the scores at the start
  for mine, other in zip(*rows, strict=True):
    assert mine["loss"] == pytest.approx(other["loss"], rel=1e-4)
    if mine["step"] % 10 == 0:
      for name, tolerance in (
        ("eval/loss", 1e-3),
        ("retrieval/nDCG@10", 0.1),
      ):  # except for a swap or two
        assert mine[name] == pytest.approx(other[name], abs=tolerance)
  assert rows[0][0]["loss"] != pytest.approx(rows[0][-1]["loss"], rel=1e-2)
  tiny.assert_close(
    *(checkpoint.restore_params(place / n) for n in ("two", "one")), 1e-3
  )
  mine, other = (checkpoint.best(place / n) for n in ("one", "two"))
  assert mine.step == other.step
  assert mine.value == pytest.approx(other.value, rel=1e-3)


def test_the_death_of_one_ends_the_other(place):
  workdir = place / "lost"
  launcher = _start(place, workdir)
  _wait_for_steps(launcher, workdir, 12)
  os.kill(_second_of(launcher.pid), signal.SIGKILL)
  out, _ = launcher.communicate(timeout=60)
  assert launcher.returncode not in (0, 2), out
  assert "process 1 ended with status 137; the others stop" in out
  assert "[0] nomic-jax: stopped: process 0 of 2: another process was" in out
  assert checkpoint.latest_step(workdir) >= 10


def test_only_the_training_asks_whether_it_is_preempted(tmp_path, monkeypatch):
  """Otherwise Orbax would receive a SIGTERM in its place, and ignore it."""
  asked = []
  monkeypatch.setattr(
    multihost_utils, "reached_preemption_sync_point", asked.append
  )
  with contextlib.closing(checkpoint.Checkpoints(tmp_path, 2)) as kept:
    data = iter(grain.MapDataset.range(3).to_iter_dataset())
    kept.save(1, {"x": jnp.arange(4.0)}, data)
  assert checkpoint.latest_step(tmp_path) == 1 and not asked
  with contextlib.closing(ocp.CheckpointManager(tmp_path / "control")) as plain:
    plain.save(1, args=ocp.args.StandardSave({"x": jnp.arange(4.0)}))
  assert asked  # control


def test_a_checkpoint_one_process_cannot_read_is_used_by_none(
  tmp_path, monkeypatch, capsys
):
  """Tests the process that can read it."""
  data = lambda: iter(grain.MapDataset.range(3).to_iter_dataset())
  state = {"x": jnp.arange(4.0)}
  with contextlib.closing(checkpoint.Checkpoints(tmp_path, 2)) as kept:
    for step in (1, 2):
      kept.save(step, jax.tree.map(lambda x: x + step, state), data())
  asked = []

  def all_true(mine):
    asked.append(mine)
    return mine and len(asked) > 1  # another says no to the newest

  monkeypatch.setattr(checkpoint.processes, "all_true", all_true)
  with contextlib.closing(checkpoint.Checkpoints(tmp_path, 2)) as kept:
    restored = kept.restore(state, data())
  assert asked[:2] == [True, True]
  np.testing.assert_array_equal(restored["x"], state["x"] + 1)
  assert checkpoint.latest_step(tmp_path) == 1
  assert (tmp_path / "damaged" / "2").is_dir()
  assert "step 2 cannot be read; it was moved" in capsys.readouterr().err


def test_processes_that_disagree_do_not_start(place):
  port = 20000 + os.getpid() % 12000
  running = []
  for number in range(2):
    command = _command(
      place, place / "disagree", f"optimizer.learning_rate=0.00{1 + number}"
    )
    running.append(
      subprocess.Popen(
        [sys.executable, "-m", "nomic_jax.main", *command, "--distributed"],
        cwd=small_data.ROOT,
        text=True,
        stderr=subprocess.PIPE,
        env=_environment(
          place,
          JAX_COORDINATOR_ADDRESS=f"localhost:{port}",
          JAX_NUM_PROCESSES="2",
          JAX_PROCESS_ID=str(number),
        ),
      )
    )
  for process in running:
    _, err = process.communicate(timeout=90)
    assert process.returncode == 2, err
    assert (
      "the processes do not agree: config.optimizer.learning_rate is "
      "0.001 in process 0 and 0.002 in process 1."
    ) in err
  assert not (place / "disagree").exists()
