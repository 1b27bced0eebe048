# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""How a process ends, which decides whether a launch script restarts it."""

import json
import os
import signal
import subprocess
import sys

import pytest
from support import small_data

from nomic_jax import errors
from nomic_jax.mesh import processes
from nomic_jax.mesh import restarts

# A job that ends in the way its first argument names, such as by a signal.
_JOB = """
import os, signal, sys, time
import jax
from nomic_jax import errors
from nomic_jax.mesh import processes

way = sys.argv[1]
if way == "late":
  processes._START_SECONDS = 1
kill = lambda: os.kill(os.getpid(), signal.SIGTERM)
try:
  with processes.joined(True, saves=way.startswith("train")):
    first = jax.process_index() == 0
    if way == "curate":
      kill()
    if way == "mistake" and not first:
      raise errors.UserError("no such thing")
    if way in ("mistake", "curate"):
      time.sleep(60)
    with processes.Preemption() as preemption:
      if way == "train-loading":
        kill()
        time.sleep(60)
      preemption.listen()
      kill()
      for step in range(10_000):
        if preemption.reached(step):
          time.sleep(2 * first)  # it writes its metrics into a bucket
          raise processes.Preempted("saved")
        time.sleep(0.001)
except Exception as e:
  print(type(e).__name__, file=sys.stderr)
  sys.exit(errors.status(e))
"""


def _ends(tmp_path, way, count=1):
  """Returns the exit status and the output of each process."""
  (tmp_path / "job.py").write_text(_JOB)
  port = 20000 + (os.getpid() * 7 + len(way)) % 12000
  started = 1 if way == "late" else count
  running = [
    subprocess.Popen(
      [sys.executable, tmp_path / "job.py", way],
      text=True,
      stderr=subprocess.PIPE,
      env=os.environ
      | {
        "PYTHONPATH": str(small_data.ROOT),
        "XLA_FLAGS": "",
        "JAX_COORDINATOR_ADDRESS": f"localhost:{port}",
        "JAX_NUM_PROCESSES": str(count),
        "JAX_PROCESS_ID": str(number),
      },
    )
    for number in range(started)
  ]
  said = [process.communicate(timeout=90)[1] for process in running]
  return [process.returncode for process in running], said


@pytest.mark.parametrize("way", ["curate", "train-loading"])
def test_sigterm_ends_what_has_nothing_to_save(tmp_path, way):
  assert _ends(tmp_path, way)[0] == [-signal.SIGTERM]


def test_processes_that_are_preempted_end_alike_though_one_takes_longer(
  tmp_path,
):
  statuses, said = _ends(tmp_path, "train", 2)
  assert statuses == [75, 75], said
  assert all("Preempted" in text for text in said)
  assert processes._END_SECONDS >= 300


def test_a_process_that_fails_keeps_its_own_status(tmp_path):
  """It does not wait for the processes that wait for it."""
  (tmp_path / "job.py").write_text(_JOB)
  done = subprocess.run(
    ["bash", "launch/local.sh", "--processes=2", "--", "mistake"],
    cwd=small_data.ROOT,
    text=True,
    capture_output=True,
    timeout=90,
    env=os.environ
    | {
      "PYTHONPATH": str(small_data.ROOT),
      "XLA_FLAGS": "",
      "GRACE": "0",
      "NOMIC_JAX": f"{sys.executable} {tmp_path / 'job.py'}",
    },
  )
  assert done.returncode == 2, done.stdout + done.stderr
  assert "[1] UserError" in done.stdout


def test_a_missing_peer_is_a_one_line_error(tmp_path):
  (status,), (said,) = _ends(tmp_path, "late", 2)
  assert status == 75, said
  assert said.startswith(
    "nomic-jax: stopped: not all processes joined within 1 seconds"
  )
  assert len(said.splitlines()) == 1


def test_sigterm_is_handled_once_there_is_something_to_save():
  before = signal.getsignal(signal.SIGTERM)
  with processes.Preemption() as preemption:
    preemption.listen()
    assert not preemption.reached(1)
    os.kill(os.getpid(), signal.SIGTERM)
    assert preemption.reached(2)
  assert signal.getsignal(signal.SIGTERM) is before


def test_statuses_say_whether_to_start_again():
  for error, status in (
    (errors.UserError(""), 2),
    (ModuleNotFoundError(""), 2),
    (errors.Stopped(""), 75),
    (processes.Preempted(""), 75),
    (KeyboardInterrupt(), 130),
    (ValueError(), 1),
  ):
    assert errors.status(error) == status


def test_starts_are_bounded_by_progress(tmp_path, monkeypatch):
  restarts.count(tmp_path, 0)
  assert not list(tmp_path.iterdir())  # started by hand: nothing is counted
  monkeypatch.setenv("NOMIC_JAX_LAUNCH", "a")
  for saved in (0, 0, 0, 0, 0, 10, 10, 10, 10, 10):
    restarts.count(tmp_path, saved)
  with pytest.raises(errors.UserError, match="5 times at 10 without making"):
    restarts.count(tmp_path, 10)
  monkeypatch.setenv("NOMIC_JAX_LAUNCH", "b")  # a manual launch
  restarts.count(tmp_path, 10)
  path = tmp_path / "restarts.json"
  assert json.loads(path.read_text())["starts"] == 1
  path.write_text("{")
  restarts.count(tmp_path, 10)
