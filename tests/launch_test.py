# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The launch scripts except tpu_pod.sh, with stubs that can fail."""

import configparser
import importlib.util
import pathlib
import re
import shutil
import subprocess
import sys

from packaging import requirements
from packaging import version
import pytest
from support import cloud as cloud_lib
import yaml

LAUNCH = cloud_lib.LAUNCH
ROOT = LAUNCH.parent
SCRIPTS = sorted([*LAUNCH.glob("*.sh"), *LAUNCH.glob("*.sbatch")])
TRAIN = ("train", "--config=configs/mlm.py", "--workdir=a b")


@pytest.fixture(name="cloud")
def _cloud(tmp_path):
  return cloud_lib.Cloud(tmp_path)


def _restart_sh(command):
  done = subprocess.run(
    ["bash", "-c", f". {LAUNCH}/restart.sh; {command}"],
    text=True,
    capture_output=True,
    check=True,
  )
  return done.stdout.strip()


@pytest.mark.parametrize(
  "statuses, verdict, culprit",
  [
    ("0 0", "done", "0"),
    ("75 75", "again", "75"),
    ("0 134", "again", "134"),
    ("134 137 75", "again", "137"),
    ("134 1 134", "again", "1"),
    ("139", "again", "139"),
    ("143 75", "again", "143"),
    ("134 75", "again", "134"),
    ("137 2 134", "never", "2"),
    ("0 127", "never", "127"),
    ("130 75", "never", "130"),
  ],
)
def test_exit_statuses_are_as_documented(statuses, verdict, culprit):
  assert _restart_sh(f"verdict {statuses}") == verdict
  assert _restart_sh(f"culprit {statuses}") == culprit
  assert _restart_sh(f"verdict $(culprit {statuses})") == verdict


def test_backoff_grows_to_ten_minutes():
  assert _restart_sh("for n in 1 2 5 6 40; do backoff $n; done").split() == [
    "30",
    "60",
    "480",
    "600",
    "600",
  ]
  assert _restart_sh("POLL=0; backoff 7") == "0"


@pytest.mark.parametrize("ignores", [False, True])
def test_a_job_receives_sigterm_and_is_awaited(cloud, ignores):
  """Also as process 1 of a container."""
  cloud.job(
    "trap 'sleep 0.5; echo saved; exit 75' TERM; echo up\n"
    "while :; do sleep 0.05; done"
  )
  job = cloud.start("job.sh", "train", STATUS=str(cloud.folder / "status"))
  assert job.stdout.readline() == "up\n"
  job.terminate()
  if ignores:
    job.terminate()  # some send it twice, to the group and to the first
  out, _ = job.communicate(timeout=30)
  assert (job.returncode, out) == (75, "saved\n")
  assert cloud.read("status") == ["75"]


# Slurm: one task for each status; srun returns the highest.
SRUN = """
while [ "$1" != bash ]; do shift; done
number=0
for status in $ENDS; do
  SLURM_PROCID=$number STATUS_OF_TASK=$status "$@" & number=$((number + 1))
done
highest=0
for i in $(jobs -p); do
  wait $i || { s=$?; [ $s -le $highest ] || highest=$s; }
done
exit ${SRUN_ENDS:-$highest}
"""


def _slurm(cloud, ends, **settings):
  cloud.records("srun", SRUN)
  cloud.records("scontrol")
  cloud.job("exit $STATUS_OF_TASK")
  return cloud.run(
    "slurm.sbatch",
    *TRAIN,
    SLURM_JOB_ID="7",
    NOMIC_JAX="nomic-jax",
    ENDS=ends,
    **settings,
  )


@pytest.mark.parametrize(
  "ends, status, requeued",
  [
    ("0 0", 0, False),
    ("75 75", 75, True),
    ("134 75 75", 134, True),
    ("134 137", 137, True),
    ("1 134", 1, True),
    ("2 134 75", 2, False),
    ("0 0 134", 134, True),
  ],
)
def test_slurm_requeues_by_the_statuses_of_all_tasks(
  cloud, ends, status, requeued
):
  done, calls = _slurm(cloud, ends)
  assert done.returncode == status, done.stderr
  assert calls[1:] == ["scontrol requeue 7"] * requeued
  assert len(cloud.read("starts")) == len(ends.split())
  assert not (cloud.checkout / ".slurm-7").exists()
  for flag in ("--kill-on-bad-exit=0", "--cpus-per-task=8", "--gpu-bind=none"):
    assert flag in calls[0].split()


def test_slurm_gives_up_after_as_many_restarts_as_it_may(cloud):
  for count, requeued in (("99", True), ("100", False)):
    _, calls = _slurm(cloud, "75", SLURM_RESTART_COUNT=count)
    assert ("scontrol requeue 7" in calls) == requeued
  for count, requeued in (("2", True), ("3", False)):  # no task has started
    done, calls = _slurm(cloud, "", SLURM_RESTART_COUNT=count, SRUN_ENDS="1")
    assert done.returncode == 1
    assert ("scontrol requeue 7" in calls) == requeued


def test_slurm_in_a_container_and_elsewhere(cloud):
  _, calls = _slurm(cloud, "0", CONTAINER="docker://i", SLURM_CPUS_PER_TASK="3")
  assert "--container-image=docker://i --container-workdir=" in calls[0]
  assert "--cpus-per-task=3 " in calls[0]
  done = subprocess.run(
    ["bash", LAUNCH / "slurm.sbatch", *TRAIN],
    cwd=cloud.folder,
    text=True,
    capture_output=True,
  )
  assert done.returncode == 2 and "run sbatch in the folder" in done.stderr


def _manifest(cloud, *arguments, **settings):
  done, _ = cloud.run("jobset.sh", *arguments, IMAGE="i:1", **settings)
  assert done.returncode == 0, done.stderr
  found = yaml.safe_load(done.stdout)
  job = found["spec"]["replicatedJobs"][0]["template"]["spec"]
  return found, job, job["template"]["spec"]


@pytest.mark.parametrize(
  "kind, accelerator, hosts, chips",
  [
    ("tpu7x:4x4x4", "tpu7x", 16, 4),
    ("v5e:16x16", "tpu-v5-lite-podslice", 64, 4),
    ("v5e:2x4", "tpu-v5-lite-podslice", 1, 8),
    ("v6e:1x1", "tpu-v6e-slice", 1, 1),
    ("v5p:2x2x2", "tpu-v5p-slice", 2, 4),
    ("v4:2x2x1", "tpu-v4-podslice", 1, 4),
  ],
)
def test_a_jobset_for_each_tpu(cloud, kind, accelerator, hosts, chips):
  _, job, pod = _manifest(cloud, "train", TYPE=kind)
  assert pod["nodeSelector"] == {
    "cloud.google.com/gke-tpu-accelerator": accelerator,
    "cloud.google.com/gke-tpu-topology": kind.partition(":")[2],
  }
  assert job["parallelism"] == job["completions"] == hosts
  resources = pod["containers"][0]["resources"]
  assert (
    resources["limits"] == resources["requests"] == {"google.com/tpu": chips}
  )


def test_a_jobset_keeps_the_contract(cloud):
  odd = ['--config.a=x "y" \\z', "--config.b=$(HOME)", "--config.c=('a',1)"]
  found, job, pod = _manifest(
    cloud,
    "train",
    *odd,
    TYPE="v5e:4x4",
    SPOT="true",
    QUEUE="q",
    SERVICE_ACCOUNT="s",
    SLICES="2",
  )
  assert found["metadata"]["labels"] == {"kueue.x-k8s.io/queue-name": "q"}
  assert found["spec"]["failurePolicy"]["rules"] == [
    {"action": "FailJobSet", "onJobFailureReasons": ["PodFailurePolicy"]}
  ]
  assert found["spec"]["replicatedJobs"][0]["replicas"] == 2
  (rule,) = job["podFailurePolicy"]["rules"]
  final = rule["onExitCodes"]["values"]
  assert rule["onExitCodes"]["operator"] == "In" and final == sorted(final)
  for status in range(1, 256):
    assert _never(status) == (status in final), status
  assert job["backoffLimit"] == 0 and pod["restartPolicy"] == "Never"
  assert pod["terminationGracePeriodSeconds"] == 120
  assert pod["serviceAccountName"] == "s"
  assert pod["nodeSelector"]["cloud.google.com/gke-spot"] == "true"
  (container,) = pod["containers"]
  assert container["command"] == ["bash", "launch/job.sh", "train"] + [
    word.replace("$", "$$") for word in odd
  ]
  assert {"name": "NOMIC_JAX_LAUNCH", "value": found["metadata"]["name"]} in (
    container["env"]
  )
  assert (
    found["metadata"]["name"]
    != _manifest(cloud, "train")[0]["metadata"]["name"]
  )


def _never(status):
  if not _never.__dict__:
    words = _restart_sh("echo $NEVER").split()
    _never.final = {int(word) for word in words}
  return status in _never.final


@pytest.mark.parametrize(
  "kind", ["v5e:4x4x4", "v9:1x1", "v5p:4x4", "v5e", "gpu"]
)
def test_a_jobset_of_no_such_tpu_is_refused(cloud, kind):
  done, _ = cloud.run("jobset.sh", "train", IMAGE="i", TYPE=kind)
  assert done.returncode == 2 and not done.stdout
  assert f"jobset.sh: TYPE={kind}: " in done.stderr


@pytest.mark.parametrize(
  "script, setting, value, why",
  [
    ("tpu_pod.sh", "SPOT", "1", "expected true or false"),
    ("tpu_pod.sh", "KEEP", "yes", "expected true or false"),
    ("tpu_pod.sh", "SLICES", "two", "expected a number, 1 or more"),
    ("jobset.sh", "SPOT", "1", "expected true or false"),
    ("jobset.sh", "SLICES", "0", "expected a number, 1 or more"),
    ("jobset.sh", "CHIPS", "3", "do not divide into hosts of 3"),
    ("jobset.sh", "NAME", "My_Job", "expected at most 40 small letters"),
  ],
)
def test_settings_of_another_kind_are_refused(
  cloud, script, setting, value, why
):
  verb = ["babysit"] if script == "tpu_pod.sh" else []
  settings = {"IMAGE": "i", setting: value}
  done, calls = cloud.run(script, *verb, "train", **settings)
  assert done.returncode == 2 and not calls and not done.stdout
  assert why in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("verb", ["run", "babysit"])
def test_no_slice_is_requested_for_no_job(cloud, verb):
  done, calls = cloud.run("tpu_pod.sh", verb)
  assert done.returncode == 2 and not calls
  assert f"{verb}: expected train --config=" in done.stderr


def test_gke_hands_the_job_to_xpk(cloud):
  cloud.records("xpk", "[ ! -t 0 ] && ! read -r && exit ${XPK:-0}\n")
  settings = {"CLUSTER": "c", "IMAGE": "i"}
  done, calls = cloud.run(
    "gke.sh", *TRAIN, SLICES="2", FLAGS="--storage=s", **settings
  )
  assert done.returncode == 0, done.stderr
  (call,), name = calls, done.stderr.strip().removeprefix("NAME=")
  assert re.fullmatch("[a-z]([-a-z0-9]*[a-z0-9])?", name) and len(name) < 40
  assert call.startswith(
    f"xpk workload create --workload={name} --cluster=c "
    "--tpu-type=v5litepod-256 --num-slices=2 --docker-image=i "
  )
  assert "--restart-on-exit-codes=1,75 " in call and "--storage=s" in call
  assert "--termination-grace-period-seconds=120" in call
  assert f"--env=NOMIC_JAX_LAUNCH={name}" in call
  assert r"job.sh train --config=configs/mlm.py --workdir=a\ b" in call
  again, _ = cloud.run("gke.sh", *TRAIN, XPK="3", **settings)
  assert again.returncode == 3 and again.stderr != done.stderr
  done, calls = cloud.run("gke.sh", *TRAIN, IMAGE="i")
  assert done.returncode and not calls and "set CLUSTER" in done.stderr
  done, calls = cloud.run("gke.sh", *TRAIN, CLUSTER="c")
  assert done.returncode and not calls and "set IMAGE" in done.stderr
  _, calls = cloud.run("gke.sh", "delete", NAME="n", CLUSTER="c")
  assert calls == ["xpk workload delete --workload=n --force --cluster=c"]


@pytest.mark.skipif(
  not importlib.util.find_spec("xpk"), reason="xpk is not installed"
)
def test_what_xpk_makes_of_it_keeps_the_contract(cloud):
  cloud.stub(
    "xpk", f'#!/usr/bin/env bash\nexec {sys.executable} -m xpk.main "$@"'
  )
  path = cloud.folder / "manifest.yaml"
  done, _ = cloud.run(
    "gke.sh",
    *TRAIN,
    CLUSTER="c",
    IMAGE="r.dev/p/r/i:1",
    ZONE="us-west4-a",
    PROJECT="p",
    FLAGS=f"--dry-run --output-manifest-file={path}",
    HOME=str(cloud.folder),
  )
  assert done.returncode == 0, done.stdout + done.stderr
  found = yaml.safe_load(path.read_text())
  job = found["spec"]["replicatedJobs"][0]["template"]["spec"]
  (rule,) = job["podFailurePolicy"]["rules"]
  again = rule["onExitCodes"]["values"]
  assert rule["action"] == "FailJob" and (
    rule["onExitCodes"]["operator"] == "NotIn"
  )
  assert {1, 75, 134, 137, 139, 143} <= set(again) and 2 not in again
  pod = job["template"]["spec"]
  assert pod["terminationGracePeriodSeconds"] == 120
  assert (
    "exec bash /nomic_jax/launch/job.sh train"
    in (pod["containers"][0]["command"][-1])
  )


def test_skypilot_restarts_on_what_the_others_do():
  task = yaml.safe_load((LAUNCH / "skypilot.yaml").read_text())
  codes = task["resources"]["job_recovery"]["recover_on_exit_codes"]
  assert {1, 75, 134, 137, 139, 143} <= set(codes)
  assert not any(map(_never, codes))
  for name in ("setup", "run"):
    assert subprocess.run(["bash", "-n", "-c", task[name]]).returncode == 0


def test_the_page_quotes_messages_as_they_are():
  page = (LAUNCH / "README.md").read_text()
  table = page.partition("## Failures and other events")[2].partition("\n## ")[
    0
  ]
  rows = [line.split("|") for line in table.splitlines()[4:] if line]
  quoted = [q for row in rows for q in re.findall("`([^`]+)`", row[3])]
  paths = [*SCRIPTS, *(ROOT / "nomic_jax").rglob("*.py")]
  # Long messages consist of several adjacent literals.
  source = "\n".join(path.read_text() for path in paths).replace("\\`", "")
  source = re.sub(r'"\s*\n\s*f?"', "", source)
  assert len(quoted) > 15
  for message in quoted:
    if message not in ("another task died", "PreemptParameters"):  # of others
      for part in re.split(r"\b(?:[A-Z]+|\d+)\b:?|\.\.\.|^ended", message):
        assert part.strip() in source, message


@pytest.mark.parametrize("extra", ["tpu", "cuda"])
def test_the_lock_files_are_what_setup_cfg_asks_for(extra):
  """If this fails, run launch/lock.sh."""
  config = configparser.ConfigParser()
  config.read(ROOT / "setup.cfg")
  extras = config["options.extras_require"]
  wanted = "\n".join(
    [config["options"]["install_requires"], extras[extra], extras["buckets"]]
  )
  text = (LAUNCH / f"requirements-{extra}.txt").read_text()
  assert "launch/lock.sh" in text.splitlines()[1]
  lines = [line for line in text.splitlines() if not line.startswith("#")]
  # Only names and versions, without the index they come from.
  assert all(re.fullmatch(r"[a-z0-9-]+==[0-9a-z.]+", line) for line in lines)
  locked = dict(line.split("==") for line in lines)
  for line in wanted.split("\n"):
    if line and not line.startswith("nomic_jax"):
      one = requirements.Requirement(line)
      name = one.name.lower().replace("_", "-")
      assert one.specifier.contains(version.Version(locked[name])), line
  assert "libtpu" in locked or "jax-cuda12-plugin" in locked


def test_locking_keeps_the_versions_that_are_installed(cloud):
  cloud.records(
    "uv",
    """case $2 in
    freeze) echo jax==0.10.2; echo torch==2.13.0+cpu; echo "x @ file:///x" ;;
    compile) for word; do case $word in
      --constraint=*) from=${word#*=} ;;
      --output-file=*) to=${word#*=} ;;
      esac; done
      cat "$from" > "$to" ;;
    esac""",
  )
  done, calls = cloud.run("lock.sh")
  assert done.returncode == 0, done.stderr
  assert len(calls) == 3
  for extra in ("tpu", "cuda"):
    assert sum(f" --extra={extra} " in call for call in calls) == 1
    file = cloud.checkout / "launch" / f"requirements-{extra}.txt"
    assert file.read_text().splitlines()[2:] == ["jax==0.10.2"]


@pytest.mark.parametrize(
  "script, verb, expected",
  [
    ("tpu_pod.sh", "babysit", 5),
    ("tpu_pod.sh", "stop", 1),
    ("gke.sh", None, 1),
    ("slurm.sbatch", None, 1),
    ("local.sh", "--", 2),
  ],
)
def test_a_dry_run_prints_and_calls_nothing(cloud, script, verb, expected):
  for name in ("srun", "xpk", "nomic-jax"):
    cloud.records(name)
  arguments = (verb, *TRAIN) if verb else TRAIN
  done, calls = cloud.run(
    script, "--dry_run", *arguments, CLUSTER="c", IMAGE="i"
  )
  assert done.returncode == 0 and not calls, done.stderr
  assert len(done.stdout.splitlines()) == expected, done.stdout
  # Quoted as a person would type them.
  assert {line.split()[0] for line in done.stdout.splitlines()} <= {
    "gcloud",
    "xpk",
    "srun",
    "env",
  }


@pytest.mark.parametrize(
  "script", ["tpu_pod.sh", "gke.sh", "jobset.sh", "slurm.sbatch", "local.sh"]
)
def test_without_arguments_a_script_prints_its_usage(cloud, script):
  done, calls = cloud.run(script)
  assert done.returncode == 2 and not calls
  assert "train --config=" in done.stderr


def test_the_local_launcher_returns_what_a_process_ended_with(cloud):
  cloud.job('[ "$JAX_PROCESS_ID" != 1 ] || exit 9')
  done, _ = cloud.run("local.sh", "--processes=3", "--", *TRAIN, GRACE="0")
  assert done.returncode == 9
  assert "process 1 ended with status 9; the others stop" in done.stderr


@pytest.mark.parametrize(
  "ends, status",
  [("134 75 0", 0), ("137 2 0", 2), ("1 0", 0), ("143 130 0", 130)],
)
def test_the_local_launcher_restarts_if_asked(cloud, ends, status):
  cloud.job(f"""
    ends=({ends})
    n=$(wc -l < "$CLOUD/starts")
    echo "$NOMIC_JAX_LAUNCH" >> "$CLOUD/launches"
    exit ${{ends[n - 1]}}""")
  done, _ = cloud.run("local.sh", "--processes=1", "--restart", "--", *TRAIN)
  assert done.returncode == status
  assert len(cloud.read("starts")) == ends.split().index(str(status)) + 1
  assert len(set(cloud.read("launches"))) == 1


def test_the_local_launcher_restarts_so_often_and_no_more(cloud):
  cloud.job("exit 1")
  done, _ = cloud.run(
    "local.sh", "--processes=1", "--restart", "--", *TRAIN, RESTARTS="2"
  )
  assert done.returncode == 1 and len(cloud.read("starts")) == 3


def test_the_local_launcher_stops_on_sigterm(cloud):
  cloud.job(
    "trap 'sleep 0.5; echo saved; exit 75' TERM; echo up\n"
    "while :; do sleep 0.05; done"
  )
  launcher = cloud.start("local.sh", "--processes=1", "--restart", "--", *TRAIN)
  assert launcher.stdout.readline() == "[0] up\n"
  launcher.terminate()
  out, _ = launcher.communicate(timeout=30)
  assert (launcher.returncode, out) == (75, "[0] saved\n")
  assert len(cloud.read("starts")) == 1


@pytest.mark.parametrize("old", [False, True])
def test_an_old_python_is_replaced_by_that_of_uv(cloud, old):
  cloud.stub(
    "python3",
    f"""#!/usr/bin/env bash
    case $1 in -c) exit {int(old)} ;; *) uv "python3 $@" ;; esac""",
  )
  done = subprocess.run(
    ["bash", "-c", f'. {LAUNCH}/venv.sh; make_venv "$CLOUD/v" x'],
    text=True,
    capture_output=True,
    cwd=ROOT,
    env=cloud.environment(),
  )
  assert done.returncode == 0, done.stderr
  made, installed = cloud.calls()
  assert made.split()[1:] == (
    ["venv", "--quiet", "--seed", "--python", "3.12"]
    if old
    else ["python3", "-m", "venv"]
  ) + [f"{cloud.folder}/v"]
  assert installed.endswith(" -e .[x]")


@pytest.mark.skipif(
  not shutil.which("shellcheck"), reason="shellcheck is not installed"
)
def test_shellcheck_finds_nothing():
  done = subprocess.run(
    ["shellcheck", "-x", *map(str, SCRIPTS)],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stdout


def test_every_script_can_be_read_in_a_minute():
  for script in SCRIPTS:
    assert len(pathlib.Path(script).read_text().splitlines()) <= 190
