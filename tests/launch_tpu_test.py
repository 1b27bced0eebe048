# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""tpu_pod.sh, and the processes it starts, in a simulated cloud."""

import collections
import os
import shutil
import signal
import time

import pytest
from support import cloud as cloud_lib

pytestmark = pytest.mark.slow

TRAIN = ("train", "--config=configs/mlm.py", "--workdir=a b")


@pytest.fixture(name="cloud")
def _cloud(tmp_path):
  return cloud_lib.Cloud(tmp_path)


@pytest.fixture(name="slice_")
def _slice(cloud):
  """A slice whose workers are set up."""
  cloud.write("state", "ACTIVE")
  done, _ = cloud.run("tpu_pod.sh", "setup")
  assert done.returncode == 0, done.stderr
  return cloud


def _verbs(calls):
  """The verb of each call of gcloud."""
  words = (
    " create ",
    " delete ",
    " scp ",
    "worker.sh setup",
    "worker.sh start",
    "worker.sh follow",
    "worker.sh stop",
    "worker.sh tail",
    "pip ",
    "uv ",
  )
  return [next((w for w in words if w in c), c).split()[-1] for c in calls]


def _started(cloud):
  """How often each worker has started the job."""
  return collections.Counter(line.split()[0] for line in cloud.read("starts"))


ONCE = {"nomic-jax-0": 1, "nomic-jax-1": 1}
TWICE = {"nomic-jax-0": 2, "nomic-jax-1": 2}


def test_a_slice_is_requested_used_and_deleted(cloud):
  done, calls = cloud.run(
    "tpu_pod.sh",
    "create",
    SPOT="true",
    TRACK="alpha",
    CREATE_FLAGS="--network=n\n  --autocheckpoint-enabled",
  )
  assert done.returncode == 0, done.stderr
  assert calls == [
    "gcloud alpha compute tpus queued-resources create nomic-jax "
    "--zone=us-west4-a --accelerator-type=v5litepod-256 "
    "--runtime-version=v2-alpha-tpuv5-lite --node-id=nomic-jax --spot "
    "--network=n --autocheckpoint-enabled"
  ]
  done, calls = cloud.run("tpu_pod.sh", "create")  # it exists already
  assert done.returncode == 0 and not calls and "ACTIVE" in done.stdout
  stale = cloud.folder / "home-nomic-jax-1" / "nomic_jax" / "deleted.py"
  stale.parent.mkdir(parents=True)
  stale.touch()
  done, calls = cloud.run("tpu_pod.sh", "setup", EXTRA="tpu,wandb")
  assert done.returncode == 0, done.stderr
  assert sorted(_verbs(calls)) == ["pip", "pip", "scp", "setup", "uv", "uv"]
  assert any("--python 3.12" in c for c in calls)
  assert any(
    "--constraint=launch/requirements-tpu.txt -e .[tpu,wandb]" in c
    for c in calls
  )
  assert not stale.exists() and (stale.parent / "setup.cfg").is_file()
  done, calls = cloud.run("tpu_pod.sh", "run", *TRAIN)
  assert done.returncode == 0, done.stderr
  assert sorted(cloud.read("starts")) == [
    f"nomic-jax-{w} train --config=configs/mlm.py --workdir=a b --distributed"
    for w in range(2)
  ]
  done, _ = cloud.run("tpu_pod.sh", "status")
  assert sorted(done.stdout.splitlines()) == [
    "nomic-jax-0 ended 0",
    "nomic-jax-1 ended 0",
    "nomic-jax: ACTIVE",
  ]
  done, calls = cloud.run("tpu_pod.sh", "delete")
  assert _verbs(calls) == ["delete"]


@pytest.mark.parametrize(
  "kind, version",
  [
    ("v4-32", "tpu-ubuntu2204-base"),
    ("v5litepod-16", "v2-alpha-tpuv5-lite"),
    ("v5p-8", "v2-alpha-tpuv5"),
    ("v6e-64", "v2-alpha-tpuv6e"),
    ("tpu7x-64", None),
    ("v9-4", None),
  ],
)
def test_the_runtime_goes_with_the_tpu(cloud, kind, version):
  done, calls = cloud.run("tpu_pod.sh", "create", TYPE=kind)
  if version:
    assert f"--runtime-version={version} " in calls[0]
  else:
    assert done.returncode == 2 and not calls
    assert f"TYPE={kind}: " in done.stderr


def test_two_slices_run_one_job(cloud):
  settings = {"SLICES": "2", "NAME": "two"}
  _, calls = cloud.run("tpu_pod.sh", "create", **settings)
  assert "--node-prefix=two --node-count=2" in calls[0]
  cloud.run("tpu_pod.sh", "setup", **settings)
  done, _ = cloud.run("tpu_pod.sh", "run", *TRAIN, **settings)
  assert done.returncode == 0, done.stderr
  assert _started(cloud) == {
    "two-0-0": 1,
    "two-0-1": 1,
    "two-1-0": 1,
    "two-1-1": 1,
  }


def test_without_quota_it_reports_this_and_ends(cloud):
  cloud.write("quota", "")
  done, calls = cloud.run("tpu_pod.sh", "create")
  assert done.returncode == 1 and _verbs(calls) == ["create"]
  assert "Quota limit" in done.stderr
  done, calls = cloud.run("tpu_pod.sh", "babysit", *TRAIN)
  assert done.returncode == 1 and _verbs(calls) == 5 * ["create"]
  assert "giving up after status 1" in done.stderr
  (cloud.folder / "quota").unlink()
  cloud.write("state", "WAITING_FOR_RESOURCES\nFAILED")
  done, calls = cloud.run("tpu_pod.sh", "create")
  assert done.returncode == 1 and not calls
  assert "no v5litepod-256 in us-west4-a (FAILED)" in done.stderr


def test_gcloud_errors_do_not_mean_that_a_slice_is_gone(cloud):
  cloud.write("state", "ACCEPTED\nACTIVE")
  cloud.write(
    "describe-errors",
    "ERROR: Reauthentication failed.\nERROR: Connection reset by peer",
  )
  done, calls = cloud.run("tpu_pod.sh", "create")
  assert done.returncode == 0 and not calls
  assert "Reauthentication failed" in done.stderr
  cloud.write("describe-errors", 20 * "ERROR: Reauthentication failed.\n")
  done, calls = cloud.run("tpu_pod.sh", "babysit", *TRAIN)
  assert done.returncode == 69 and not calls  # neither created nor deleted
  assert "may still exist and cost money" in done.stderr


def test_a_cut_connection_reattaches_to_the_running_job(slice_):
  slice_.job("for i in $(seq 25); do echo line $i; sleep 0.1; done")
  slice_.write("cut", "one\nmore")
  done, calls = slice_.run("tpu_pod.sh", "babysit", *TRAIN)
  assert done.returncode == 0, done.stderr
  assert _started(slice_) == ONCE
  lines = [x for x in done.stdout.splitlines() if x.startswith("line")]
  assert lines == [f"line {i}" for i in range(1, 26)]
  assert _verbs(calls).count("follow") >= 3
  assert _verbs(calls)[-1] == "delete"


def test_the_last_lines_arrive_though_the_job_ends_while_cut_off(slice_):
  slice_.job(
    'echo first; until [ -e "$CLOUD/asked" ]; do sleep 0.05; done\necho last'
  )
  slice_.write("cut", "once")
  slice_.write("late", "")
  done, _ = slice_.run("tpu_pod.sh", "babysit", *TRAIN)
  assert done.returncode == 0, done.stderr
  assert [x for x in done.stdout.splitlines() if x in ("first", "last")] == [
    "first",
    "last",
  ]


def test_a_second_start_attaches_and_a_second_setup_is_refused(slice_):
  slice_.job('until [ -e "$CLOUD/enough" ]; do sleep 0.05; done')
  first = slice_.start("tpu_pod.sh", "run", *TRAIN)
  assert cloud_lib.wait_until(lambda: len(slice_.read("starts")) == 2)
  done, _ = slice_.run("tpu_pod.sh", "setup")
  assert done.returncode == 2 and "a job is running" in done.stderr
  second = slice_.start("tpu_pod.sh", "run", *TRAIN)
  assert any("attaching to it" in line for line in second.stdout)
  slice_.write("enough", "")
  assert second.wait(timeout=60) == 0, second.communicate()
  done, _ = slice_.run("tpu_pod.sh", "wait")
  assert done.returncode == 0
  assert first.wait(timeout=30) == 0, first.communicate()
  assert _started(slice_) == ONCE


SAVES = """
trap 'sleep 1; echo saved; exit 75' TERM
while :; do sleep 0.05; done
"""


def test_stop_waits_for_the_save_and_ends_babysit(slice_):
  slice_.job(SAVES)
  babysit = slice_.start("tpu_pod.sh", "babysit", *TRAIN)
  assert cloud_lib.wait_until(lambda: len(slice_.read("starts")) == 2)
  time.sleep(0.2)  # until the trap is set
  done, _ = slice_.run("tpu_pod.sh", "stop")
  assert sorted(done.stdout.splitlines()) == [
    f"nomic-jax-{w} ended 75 stopped" for w in range(2)
  ]
  out, _ = babysit.communicate(timeout=30)
  assert babysit.returncode == 75
  assert "saved" in out and "stopped with status 75; nomic-jax is kept" in out
  assert _started(slice_) == ONCE
  assert slice_.read("state") == ["ACTIVE"]
  slice_.job("exit 0")  # starting it again is allowed
  done, _ = slice_.run("tpu_pod.sh", "run", *TRAIN)
  assert done.returncode == 0, done.stderr


def test_stop_between_two_attempts_ends_babysit(slice_):
  slice_.job("exit 134")
  babysit = slice_.start("tpu_pod.sh", "babysit", *TRAIN, POLL="2")
  while "trying again" not in babysit.stdout.readline():
    assert babysit.poll() is None
  done, _ = slice_.run("tpu_pod.sh", "stop")
  assert "nomic-jax-0 ended 134 stopped" in done.stdout
  out, _ = babysit.communicate(timeout=30)
  assert babysit.returncode == 75 and "nomic-jax is kept" in out
  assert _started(slice_) == ONCE
  slice_.job("exit 0")
  done, _ = slice_.run("tpu_pod.sh", "babysit", *TRAIN)  # again
  assert done.returncode == 0 and _started(slice_) == TWICE


def test_babysit_recreates_a_slice_that_vanishes(slice_):
  slice_.job("""
    [ "$(wc -l < "$CLOUD/starts")" -le 2 ] || exit 0
    sleep 0.5
    [ "$WORKER" != nomic-jax-1 ] || echo SUSPENDED > "$CLOUD/state"
    sleep 2
    exit 75""")
  done, calls = slice_.run("tpu_pod.sh", "babysit", *TRAIN)
  assert done.returncode == 0, done.stderr
  assert [v for v in _verbs(calls) if v in ("create", "delete")] == [
    "delete",
    "create",
    "delete",
  ]
  assert "nomic-jax: SUSPENDED" in done.stderr
  assert _started(slice_) == TWICE


@pytest.mark.parametrize(
  "ends, attempts, gives_up",
  [
    ("2 134", 1, True),  # a mistake on one worker, which the other lost
    ("134 2", 1, True),
    ("134 137, 75 75, 1 134, 143 143, 0 134", 5, True),
    ("134 137, 75 75, 1 134, 0 0", 4, False),
  ],
)
def test_babysit_obeys_the_statuses_of_all_workers(
  slice_, ends, attempts, gives_up
):
  table = [pair.split() for pair in ends.split(", ")]
  for number, pair in enumerate(table, 1):
    for worker, status in enumerate(pair):
      slice_.write(f"{number}-nomic-jax-{worker}", status)
  slice_.job(f"""
    number=$(grep -c "^$WORKER " "$CLOUD/starts")
    [ $number -le {len(table)} ] || number={len(table)}
    status=$(cat "$CLOUD/$number-$WORKER")
    echo "$WORKER says $status"
    exit $status""")
  done, calls = slice_.run("tpu_pod.sh", "babysit", *TRAIN)
  assert set(_started(slice_).values()) == {attempts}, done.stderr
  assert ("giving up" in done.stderr) == gives_up
  assert _verbs(calls)[-1] == "delete"  # so that it costs no more
  if "2" in ends.split():
    assert done.returncode == 2
    assert f"[nomic-jax-{ends.split().index('2')}] " in done.stderr  # culprit
    assert " says 2" in done.stderr and "says 134" not in done.stderr
  elif not gives_up:
    assert done.returncode == 0


def test_keep_keeps_the_slice(slice_):
  done, calls = slice_.run("tpu_pod.sh", "--keep", "babysit", *TRAIN)
  assert done.returncode == 0 and "delete" not in _verbs(calls)
  assert "nomic-jax is kept and costs money" in done.stderr


def test_workers_that_do_not_answer_are_retried_and_kept(slice_):
  slice_.write("ssh-errors", "3 times\n\n")
  done, _ = slice_.run("tpu_pod.sh", "babysit", *TRAIN)
  assert done.returncode == 0 and _started(slice_) == ONCE
  slice_.write("state", "ACTIVE")
  slice_.write("ssh-errors", 40 * "timed out\n")
  done, calls = slice_.run("tpu_pod.sh", "babysit", *TRAIN)
  assert done.returncode == 69 and "delete" not in _verbs(calls)
  assert "a job may be running" in done.stderr.lower()


def test_a_slice_with_a_lost_worker_is_replaced(slice_):
  """Only if the job has ended on the other workers; else it may still run."""
  slice_.job("""
    [ "$(grep -c "^$WORKER " "$CLOUD/starts")" -le 1 ] || exit 0
    sleep 0.5
    [ "$WORKER" = nomic-jax-0 ] || echo nomic-jax-1 > "$CLOUD/lost"
    exit 134""")
  done, calls = slice_.run("tpu_pod.sh", "babysit", *TRAIN)
  assert done.returncode == 0, done.stderr
  assert "a worker does not answer, and the job has ended" in done.stderr
  assert [v for v in _verbs(calls) if v in ("create", "delete")] == [
    "delete",
    "create",
    "delete",
  ]


def test_babysit_restarts_the_code_it_has_started(slice_):
  slice_.job("""
    [ ! -e "$CLOUD/checkout/added" ] || exit 0
    touch "$CLOUD/checkout/added"
    sleep 0.5
    exit 75""")
  done, _ = slice_.run("tpu_pod.sh", "--keep", "babysit", *TRAIN)
  assert done.returncode == 0, done.stderr
  assert not list(slice_.folder.glob("home-*/nomic_jax/added"))
  done, _ = slice_.run("tpu_pod.sh", "setup")
  assert len(list(slice_.folder.glob("home-*/nomic_jax/added"))) == 2


def test_a_worker_that_was_restarted_counts_as_killed(slice_):
  slice_.job("sleep 30")
  running = slice_.start("tpu_pod.sh", "run", *TRAIN)
  homes = [slice_.folder / f"home-nomic-jax-{w}" for w in range(2)]
  assert cloud_lib.wait_until(lambda: len(slice_.read("starts")) == 2)
  for home in homes:
    os.killpg(int((home / "job" / "pid").read_text()), signal.SIGKILL)
  out, _ = running.communicate(timeout=30)
  assert running.returncode == 137, out


def test_of_two_starts_at_once_one_is_made(cloud):
  """As from two terminals, after both found that no job runs."""
  home = cloud.folder / "home"
  (home / "venv" / "bin").mkdir(parents=True)
  (home / "venv" / "bin" / "activate").touch()
  cloud.job("sleep 30")
  starts = [
    cloud.start("worker.sh", "start", "launch", *TRAIN, HOME=str(home))
    for _ in range(6)
  ]
  assert all(start.wait(timeout=60) == 0 for start in starts)
  assert cloud_lib.wait_until(lambda: cloud.read("starts"))
  os.killpg(int((home / "job" / "pid").read_text()), signal.SIGKILL)
  assert len(cloud.read("starts")) == 1


def test_a_bucket_is_no_longer_mounted(cloud):
  done, calls = cloud.run("tpu_pod.sh", "babysit", *TRAIN, BUCKET="b")
  assert done.returncode == 2 and not calls
  assert "--config.data.path=gs://b/DATA" in done.stderr


def test_outside_a_checkout_nothing_is_copied(cloud):
  copy = cloud.folder / "elsewhere"
  shutil.copytree(cloud_lib.LAUNCH, copy / "launch")
  (copy / ".git").write_text("gitdir: nowhere")  # hides a parent's .git
  cloud.write("state", "ACTIVE")
  done, calls = cloud.run(str(copy / "launch" / "tpu_pod.sh"), "setup")
  assert done.returncode == 2 and not calls
  assert "is not a git checkout" in done.stderr
