# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The launch scripts against stubs that write down what they are given."""

import os
import pathlib
import shutil
import subprocess

import pytest

import small_data

LAUNCH = small_data.ROOT / "launch"
SCRIPTS = sorted([*LAUNCH.glob("*.sh"), *LAUNCH.glob("*.sbatch")])
TRAIN = ("train", "--config=configs/mlm.py", "--workdir=a b")

# A cloud in three files: state is what `describe` says, one line for each
# time it is asked (the last is kept); status what a job ended with, likewise.
GCLOUD = r"""#!/usr/bin/env bash
echo "gcloud ${*//$'\n'/ }" >> "$CLOUD/calls"
next() {  # the first line of a file, taken unless it is the last
  [ -s "$1" ] || return 1
  head -n 1 "$1"
  [ "$(wc -l < "$1")" -le 1 ] || sed -i 1d "$1"
}
case "$*" in
  *" describe "*) next "$CLOUD/state" ;;
  *" create "*)
    if [ -e "$CLOUD/quota" ]; then
      echo "ERROR: Quota limit 'TPUV5sLitepod' has been exceeded." >&2; exit 1
    fi
    [ -e "$CLOUD/state" ] || echo ACTIVE > "$CLOUD/state" ;;
  *" delete "*) rm -f "$CLOUD/state" ;;
  *"cat ~/job.status") next "$CLOUD/status" ;;
esac
"""


@pytest.fixture(name="cloud")
def _cloud(tmp_path):
  stub = tmp_path / "bin" / "gcloud"
  stub.parent.mkdir()
  stub.write_text(GCLOUD)
  stub.chmod(0o755)
  return tmp_path


def _run(cloud, script, *arguments, **settings):
  environment = os.environ | {
      "PATH": f"{cloud}/bin:{os.environ['PATH']}", "CLOUD": str(cloud),
      "POLL": "0",
  } | settings
  done = subprocess.run(
      ["bash", str(LAUNCH / script), *arguments], env=environment, text=True,
      capture_output=True, timeout=30)
  calls = cloud / "calls"
  made = calls.read_text().splitlines() if calls.exists() else []
  calls.unlink(missing_ok=True)
  return done, [c for c in made if " describe " not in c]


def _verbs(calls):
  """Of each call the word that says what it is about."""
  words = ("create", "delete", "scp", "make_venv", "setsid", "tail",
           "job.status", "kill")
  return [next((w for w in words if w in c), c) for c in calls]


RUN = ["setsid", "tail", "job.status"]


def test_a_slice_is_asked_for_used_and_stopped(cloud):
  done, calls = _run(cloud, "tpu_pod.sh", "create", SPOT="true", NAME="mine")
  assert done.returncode == 0 and _verbs(calls) == ["create"]
  assert ("queued-resources create mine --zone=us-west4-a "
          "--accelerator-type=v5litepod-256 "
          "--runtime-version=v2-alpha-tpuv5-lite --node-id=mine --spot"
          ) in calls[0]
  done, calls = _run(cloud, "tpu_pod.sh", "create")  # there already
  assert done.returncode == 0 and not calls and "ACTIVE" in done.stdout
  done, calls = _run(cloud, "tpu_pod.sh", "setup", BUCKET="my-bucket")
  assert _verbs(calls) == ["scp", "make_venv"]
  assert "my-bucket" in calls[1]
  (cloud / "status").write_text("0\n")
  done, calls = _run(cloud, "tpu_pod.sh", "run", *TRAIN)
  assert done.returncode == 0 and _verbs(calls) == RUN
  assert r"--workdir=a\\\ b\ --distributed" in calls[0]
  assert "--worker=all" in calls[0] and "tpu_flags.sh" in calls[0]
  done, calls = _run(cloud, "tpu_pod.sh", "stop")
  assert _verbs(calls) == ["kill"] and "kill -TERM -- -" in calls[0]
  done, calls = _run(cloud, "tpu_pod.sh", "delete")
  assert _verbs(calls) == ["delete"]


def test_two_slices_are_told_apart(cloud):
  (cloud / "status").write_text("0\n")
  _, calls = _run(cloud, "tpu_pod.sh", "create", SLICES="2", NAME="two")
  assert "--node-prefix=two --node-count=2" in calls[0]
  done, calls = _run(
      cloud, "tpu_pod.sh", "run", *TRAIN, SLICES="2", NAME="two")
  assert done.returncode == 0
  started = [c for c in calls if "setsid" in c]
  assert sorted(c.split()[5] for c in started) == ["two-0", "two-1"]


def test_without_quota_it_says_so_and_ends(cloud):
  (cloud / "quota").touch()
  done, calls = _run(cloud, "tpu_pod.sh", "create")
  assert done.returncode == 1 and _verbs(calls) == ["create"]
  assert "Quota limit" in done.stderr
  (cloud / "quota").unlink()
  (cloud / "state").write_text("WAITING_FOR_RESOURCES\nFAILED\n")
  done, calls = _run(cloud, "tpu_pod.sh", "create")
  assert done.returncode == 1 and not calls
  assert "no v5litepod-256 in us-west4-a (FAILED)" in done.stderr


def test_babysit_recreates_what_was_taken_away(cloud):
  # There; taken away during the job, which ends with 75; and there again.
  (cloud / "state").write_text("ACTIVE\nACTIVE\nSUSPENDED\nSUSPENDED\n")
  (cloud / "status").write_text("75\n0\n")
  done, calls = _run(cloud, "tpu_pod.sh", "babysit", *TRAIN)
  assert done.returncode == 0, done.stderr
  job = ["scp", "make_venv", *RUN]
  assert _verbs(calls) == [*job, "delete", "create", *job]
  assert "ended with status 75; trying again" in done.stderr


@pytest.mark.parametrize("status, attempts", [("2", 1), ("134", 3)])
def test_babysit_gives_up_on_what_repetition_does_not_mend(
    cloud, status, attempts):
  (cloud / "state").write_text("ACTIVE\n")
  (cloud / "status").write_text(f"{status}\n")
  done, calls = _run(cloud, "tpu_pod.sh", "babysit", *TRAIN)
  assert done.returncode == int(status)
  assert _verbs(calls).count("setsid") == attempts
  assert f"gives up after status {status}" in done.stderr


@pytest.mark.parametrize("ends", ["134 0", "75 75 75 75 0"])
def test_babysit_goes_on_after_a_lost_worker_or_many_stops(cloud, ends):
  (cloud / "state").write_text("ACTIVE\n")
  (cloud / "status").write_text(ends.replace(" ", "\n") + "\n")
  done, calls = _run(cloud, "tpu_pod.sh", "babysit", *TRAIN)
  assert done.returncode == 0
  assert _verbs(calls).count("setsid") == len(ends.split())


def _stub(cloud, name, text):
  path = cloud / "bin" / name
  path.write_text(f'#!/usr/bin/env bash\necho "{name} $*" >> "$CLOUD/calls"\n'
                  + text)
  path.chmod(0o755)


@pytest.mark.parametrize("ends", [0, 1, 75])
def test_slurm_requeues_a_job_that_was_stopped(cloud, ends):
  _stub(cloud, "srun", f"exit {ends}\n")
  _stub(cloud, "scontrol", "")
  done, calls = _run(cloud, "slurm.sbatch", *TRAIN, SLURM_JOB_ID="7")
  assert done.returncode == ends
  assert calls[0] == (
      "srun --kill-on-bad-exit=1 .venv/bin/nomic-jax train "
      "--config=configs/mlm.py --workdir=a b --distributed")
  assert calls[1:] == ["scontrol requeue 7"] * (ends == 75)


def test_gke_hands_the_job_to_xpk(cloud):
  _stub(cloud, "xpk", "exit ${XPK:-0}\n")
  done, calls = _run(cloud, "gke.sh", *TRAIN, CLUSTER="c", SLICES="2")
  assert done.returncode == 0
  assert calls[0].startswith(
      "xpk workload create --workload=nomic-jax --cluster=c "
      "--tpu-type=v5litepod-256 --num-slices=2 ")
  assert _run(cloud, "gke.sh", *TRAIN, CLUSTER="c", XPK="3")[0].returncode == 3
  done, calls = _run(cloud, "gke.sh", *TRAIN)
  assert done.returncode and not calls and "set CLUSTER" in done.stderr


@pytest.mark.parametrize("script, verb, expected", [
    ("tpu_pod.sh", "babysit", 5), ("tpu_pod.sh", "stop", 1),
    ("gke.sh", None, 1), ("slurm.sbatch", None, 1), ("local.sh", "--", 1),
])
def test_a_dry_run_prints_and_calls_nothing(cloud, script, verb, expected):
  for name in ("srun", "xpk", "nomic-jax"):
    _stub(cloud, name, "")
  arguments = (verb, *TRAIN) if verb else TRAIN
  done, calls = _run(cloud, script, "--dry_run", *arguments, CLUSTER="c")
  assert done.returncode == 0 and not calls, done.stderr
  assert len(done.stdout.splitlines()) == expected * (1 + (
      script == "local.sh"))
  # As a person would type them.
  assert {line.split()[0] for line in done.stdout.splitlines()} <= {
      "gcloud", "xpk", "srun", "env"}


@pytest.mark.parametrize("script", [
    "tpu_pod.sh", "gke.sh", "slurm.sbatch", "local.sh"])
def test_without_arguments_a_script_says_what_it_wants(cloud, script):
  done, calls = _run(cloud, script)
  assert done.returncode == 2 and not calls
  assert "train --config=" in done.stderr


def test_the_local_launcher_returns_what_a_process_ended_with(cloud):
  _stub(cloud, "nomic-jax", '[ "$JAX_PROCESS_ID" != 1 ] || exit 9\n')
  done, _ = _run(cloud, "local.sh", "--processes=3", "--", *TRAIN, GRACE="0")
  assert done.returncode == 9
  assert "process 1 ended with status 9; the others stop" in done.stderr


@pytest.mark.skipif(
    not shutil.which("shellcheck"), reason="shellcheck is not installed")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.name)
def test_shellcheck_finds_nothing(script):
  done = subprocess.run(
      ["shellcheck", "-x", str(script)], cwd=small_data.ROOT,
      capture_output=True, text=True)
  assert done.returncode == 0, done.stdout


def test_every_script_can_be_read_in_a_minute():
  for script in SCRIPTS:
    assert len(pathlib.Path(script).read_text().splitlines()) <= 160
