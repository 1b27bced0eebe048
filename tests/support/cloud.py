# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A folder that simulates Google Cloud, for tests of the launch scripts.

`gcloud` is a stub whose `ssh` runs commands on this machine, with a separate
home for each of the two workers of a slice. So a script starts real processes
on a worker. Files in the folder make `gcloud` fail as the real one does:

  state            what `describe` prints, one line per call; the last is kept
  describe-errors  errors that it prints instead, one line per call
  ssh-errors       a line for each connection that fails
  cut              a line for each connection that is cut while it follows a log
  late             the question whether a job runs is answered only after the
                   job has ended; `asked` exists from the question on
  quota            nothing is created
  lost             the name of a worker that does not answer
"""

from collections.abc import Callable
import os
import pathlib
import shutil
import subprocess
import time

LAUNCH = pathlib.Path(__file__).parents[2] / "launch"

_GCLOUD = r"""#!/usr/bin/env bash
echo "gcloud ${*//$'\n'/ }" >> "$CLOUD/calls"
next() {  # the first line of a file, taken unless it is the last
  [ -s "$1" ] || return 1
  head -n 1 "$1"
  [ "$(wc -l < "$1")" -le 1 ] || sed -i 1d "$1"
}
take() {  # likewise, the last too
  [ -s "$CLOUD/$1" ] || return 1
  head -n 1 "$CLOUD/$1" >&2
  sed -i 1d "$CLOUD/$1"
}
for word; do
  case $word in
    --worker=all) workers="0 1" ;;
    --worker=*) workers=${word#*=} ;;
    --command=*) command=${word#*=} ;;
    *.tgz) archive=$word ;;
    *:) node=${word%:} ;;
  esac
done
case "$*" in
  *" describe "*)
    ! take describe-errors || exit 1
    next "$CLOUD/state" || { echo "ERROR: NOT_FOUND: no such thing" >&2
      exit 1; } ;;
  *" create "*)
    if [ -e "$CLOUD/quota" ]; then
      echo "ERROR: Quota limit 'TPUV5sLitepod' has been exceeded." >&2; exit 1
    fi
    rm -rf "$CLOUD"/home-* "$CLOUD/lost"
    [ -e "$CLOUD/state" ] || echo ACTIVE > "$CLOUD/state" ;;
  *" delete "*)
    for pid in "$CLOUD"/home-*/job/pid; do
      kill -KILL -- "-$(cat "$pid" 2> /dev/null)" 2> /dev/null
    done
    rm -f "$CLOUD/state" ;;
  *" scp "*)
    for worker in $workers; do
      mkdir -p "$CLOUD/home-$node-$worker"
      cp "$archive" "$CLOUD/home-$node-$worker"
    done ;;
  *" ssh "*)
    node=$5
    [ "$(head -n 1 "$CLOUD/state")" = ACTIVE ] || exit 255
    ! take ssh-errors || exit 255
    cut=""
    case $command in *" follow "*) ! take cut || cut="timeout 0.7" ;; esac
    pids=() failed=0
    for worker in $workers; do
      [ "$node-$worker" != "$(cat "$CLOUD/lost" 2> /dev/null)" ] || {
        (exit 255) & pids+=($!); continue; }
      home=$CLOUD/home-$node-$worker
      mkdir -p "$home"
      case $command in *"worker.sh state"*)
        if [ -e "$CLOUD/late" ] && [ -f "$home/job/pid" ]; then
          touch "$CLOUD/asked"
          until [ -f "$home/job/status" ]; do sleep 0.05; done
        fi ;;
      esac
      (cd "$home" && HOME=$home WORKER=$node-$worker \
        $cut bash -c "$command") & pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid" || failed=$?; done
    exit "$failed" ;;
esac
"""

# Makes a folder that looks like a virtual environment.
_UV = r"""#!/usr/bin/env bash
echo "uv $*" >> "$CLOUD/calls"
mkdir -p "${@: -1}/bin"
cd "${@: -1}/bin"
printf '#!/usr/bin/env bash\necho "pip $*" >> "$CLOUD/calls"\n' > python
chmod +x python
echo "PATH=$PWD:\$PATH" > activate
"""

# The job: records that it has started, and where.
_JOB = r"""#!/usr/bin/env bash
echo "${WORKER:-${SLURM_PROCID:-}} $*" >> "$CLOUD/starts"
. "$CLOUD/job"
"""


def wait_until(true: Callable[[], bool]) -> bool:
  """Waits, at most a few minutes, until `true()` is; returns whether it is."""
  for _ in range(4000):
    if true():
      return True
    time.sleep(0.05)
  return False


class Cloud:
  """An empty cloud."""

  def __init__(self, folder: pathlib.Path):
    self.folder = folder
    self.checkout = folder / "checkout"  # with little to copy to workers
    shutil.copytree(LAUNCH, self.checkout / "launch")
    shutil.copy(LAUNCH.parent / "setup.cfg", self.checkout)
    for command in ("init --quiet", "add ."):
      subprocess.run(["git", *command.split()], cwd=self.checkout, check=True)
    (folder / "bin").mkdir()
    for name, text in (("gcloud", _GCLOUD), ("uv", _UV), ("nomic-jax", _JOB)):
      self.stub(name, text)
    self.job("exit 0")

  def stub(self, name: str, text: str) -> None:
    """Adds a program to the scripts' PATH."""
    path = self.folder / "bin" / name
    path.write_text(text)
    path.chmod(0o755)

  def records(self, name: str, then: str = "") -> None:
    """Adds a program that records its arguments."""
    self.stub(
      name, f'#!/usr/bin/env bash\necho "{name} $*" >> "$CLOUD/calls"\n{then}'
    )

  def job(self, text: str) -> None:
    """Sets what `nomic-jax` does from now on, in bash."""
    self.write("job", text)

  def write(self, name: str, text: str) -> None:
    (self.folder / name).write_text(text + "\n")

  def read(self, name: str) -> list[str]:
    """Returns the lines of a file; [] if it does not exist."""
    path = self.folder / name
    return path.read_text().splitlines() if path.exists() else []

  def environment(self, **settings: str) -> dict[str, str]:
    return (
      os.environ
      | {
        "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
        "CLOUD": str(self.folder),
        "POLL": "0",
      }
      | settings
    )

  def run(
    self, script: str, *arguments: str, timeout: float = 60, **settings: str
  ) -> tuple[subprocess.CompletedProcess, list[str]]:
    """Runs a launch script; returns its result and the calls with effects."""
    done = subprocess.run(
      ["bash", self.checkout / "launch" / script, *arguments],
      text=True,
      cwd=self.checkout,
      env=self.environment(**settings),
      capture_output=True,
      timeout=timeout,
    )
    return done, self.calls()

  def start(
    self, script: str, *arguments: str, **settings: str
  ) -> subprocess.Popen:
    """Starts a launch script in the background."""
    return subprocess.Popen(
      ["bash", self.checkout / "launch" / script, *arguments],
      text=True,
      cwd=self.checkout,
      env=self.environment(**settings),
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
    )

  def calls(self) -> list[str]:
    """Returns calls that change something, since the last time."""
    found = self.read("calls")
    (self.folder / "calls").unlink(missing_ok=True)
    return [
      c for c in found if " describe " not in c and "worker.sh state" not in c
    ]
