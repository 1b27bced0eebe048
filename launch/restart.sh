# shellcheck shell=bash
# Sourced by the launch scripts: how to react to the exit statuses of a job.
# nomic_jax/mesh/processes.py documents the statuses, launch/README.md what each
# script does. nomic_jax/mesh/restarts.py bounds restarts without progress, for
# all of them.

# A mistake; not found or not executable; interrupted; output closed.
# shellcheck disable=SC2034  # used by scripts that source this
NEVER="2 126 127 130 141"

# verdict STATUS...: "done", "again" or "never", of all processes of a job.
verdict() {
  local status answer="done"
  for status in "$@"; do
    case " $NEVER " in *" $status "*) echo never; return ;; esac
    [ "$status" -eq 0 ] || answer=again
  done
  echo "$answer"
}

# culprit STATUS...: the one that explains why a job ended. A process that was
# preempted (75) or lost another one (134) ended because of another.
culprit() {
  local status rank best=0 found=0
  for status in "$@"; do
    case $status in
      0) rank=0 ;;
      75) rank=1 ;;
      134) rank=2 ;;
      *) rank=3 ;;
    esac
    case " $NEVER " in *" $status "*) rank=4 ;; esac
    if [ "$rank" -gt "$best" ]; then best=$rank found=$status; fi
  done
  echo "$found"
}

# backoff N: seconds to wait before attempt N, at most ten minutes.
backoff() {
  local n=$(($1 < 10 ? $1 - 1 : 9))
  local seconds=$((${POLL:-30} * (1 << n)))
  echo $((seconds < 600 ? seconds : 600))
}

# booleans NAME..., numbers NAME...: check the values of these settings.
booleans() {
  local name
  for name; do
    case ${!name} in true | false) continue ;; esac
    echo "$name=${!name}: expected true or false" >&2
    exit 2
  done
}
numbers() {
  local name
  for name; do
    [[ ${!name} =~ ^[1-9][0-9]*$ ]] && continue
    echo "$name=${!name}: expected a number, 1 or more" >&2
    exit 2
  done
}
