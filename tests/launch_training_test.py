# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""tpu_pod.sh restarts a training whose hosts fail, with the same result."""

import os
import signal
import sys

import pytest
from support import cloud as cloud_lib
from support import compiler
from support import small_data
from support import tiny

from nomic_jax.run import checkpoint
from nomic_jax.run import metrics

pytestmark = [pytest.mark.slow, pytest.mark.processes]

STEPS = 24
# Metrics that depend only on the training, not on time.
_SAME = ("step", "loss", "accuracy", "grad_norm")


@pytest.fixture(name="cloud")
def _cloud(tmp_path):
  cloud = cloud_lib.Cloud(tmp_path)
  small_data.make(tmp_path)
  # The workers of the slice are hosts of one job. Each start uses another port.
  # The first start is slowed down, so that it can be killed half-way.
  cloud.job(f"""
    n=$(grep -c "^$WORKER " "$CLOUD/starts")
    export JAX_COORDINATOR_ADDRESS=localhost:$((BASE + n))
    export JAX_NUM_PROCESSES=2 JAX_PROCESS_ID=${{WORKER##*-}}
    export PYTHONPATH={small_data.ROOT} XLA_FLAGS="{compiler.QUICK}"
    [ "$n" -gt 1 ] || exec {sys.executable} \\
      {small_data.ROOT}/tests/support/held.py slow "$@"
    exec {sys.executable} -m nomic_jax.main "$@" """)
  return cloud


def _command(cloud, name):
  return small_data.train(
    "contrastive",
    cloud.folder / "pairs",
    cloud.folder / name,
    f"steps={STEPS}",
    "log_every=1",
    "checkpoint.every=6",
    "optimizer.warmup=5 steps",
    "data.batch_size=8",
    "data.rows_multiple=16",
  )


def _curve(workdir):
  return [
    {k: row[k] for k in _SAME if k in row}
    for row in metrics.read(workdir / "metrics.jsonl")
  ]


def test_babysat_through_the_death_of_a_host(cloud):
  settings = {
    "BASE": str(20000 + os.getpid() % 12000),
    "JAX_COMPILATION_CACHE_DIR": str(cloud.folder / "compiled"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
  }
  babysit = cloud.start(
    "tpu_pod.sh", "babysit", *_command(cloud, "killed"), **settings
  )
  workdir = cloud.folder / "killed"
  assert cloud_lib.wait_until(
    lambda: babysit.poll() is not None or len(_curve(workdir)) > 8
  )
  pid = cloud.folder / "home-nomic-jax-1" / "job" / "pid"
  os.killpg(int(pid.read_text()), signal.SIGKILL)
  out, _ = babysit.communicate(timeout=280)
  assert babysit.returncode == 0, out
  assert "ended with status 137; trying again" in out
  assert f"resuming after step 6 of {STEPS}" in out
  assert len(cloud.read("starts")) == 4

  cloud.write("starts", "nomic-jax-0 by hand\nnomic-jax-1 by hand")
  done, _ = cloud.run(
    "tpu_pod.sh", "babysit", *_command(cloud, "whole"), **settings, timeout=280
  )
  assert done.returncode == 0, done.stdout + done.stderr
  assert _curve(workdir) == _curve(cloud.folder / "whole")
  tiny.assert_close(
    *(
      checkpoint.restore_params(cloud.folder / name)
      for name in ("killed", "whole")
    ),
    0,
  )
