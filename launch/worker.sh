#!/usr/bin/env bash
# Commands that tpu_pod.sh runs on each worker of a slice, by ssh:
#
#   worker.sh setup EXTRA      a Python, and nomic_jax with the locked versions
#   worker.sh start LAUNCH JOB ...   unless a job is running
#   worker.sh state            one line: HOST none | running | ended STATUS, and
#                              "stopped" if `stop` was used
#   worker.sh follow BYTE      the job's log from there until it ends
#   worker.sh tail [STATUS]    last lines of its log, if it ended with STATUS
#   worker.sh stop             SIGTERM; waits until the job has saved
set -eu
cd "$(dirname "$0")/.."
host=${WORKER:-$(hostname)} job=$HOME/job

alive() {
  [ -f "$job/pid" ] && [ ! -f "$job/status" ] &&
    ps -o args= -p "$(cat "$job/pid")" | grep -qE '(job|worker)\.sh'
}

state() {
  local now=none
  if alive; then
    now=running
  elif [ -f "$job/pid" ]; then
    # Without a status it was killed, or the machine restarted.
    now="ended $(cat "$job/status" 2> /dev/null || echo 137)"
  fi
  [ ! -e "$job/stopped" ] || now+=" stopped"
  echo "$host $now"
}

case ${1:-} in
  setup)
    export PATH="$HOME/.local/bin:$PATH"
    command -v uv > /dev/null ||
      curl -LsSf https://astral.sh/uv/install.sh | sh
    . launch/venv.sh
    PYTHON=uv CONSTRAINTS=launch/requirements-tpu.txt \
      make_venv "$HOME/venv" "$2" ;;
  start)
    exec 9> "$HOME/job.lock"
    flock 9  # two terminals may start it at once
    if ! alive; then
      rm -rf "$job"
      mkdir "$job"
      # shellcheck disable=SC1091  # made by setup
      . "$HOME/venv/bin/activate"
      # A session of its own survives a lost connection.
      NOMIC_JAX_LAUNCH=$2 STATUS=$job/status \
        setsid bash launch/job.sh "${@:3}" > "$job/log" 2>&1 < /dev/null 9>&- &
      echo $! > "$job/pid"
    fi ;;
  state) state ;;
  follow)
    tail -c "+$2" -s 0.5 -F --pid="$(cat "$job/pid")" "$job/log" 2> /dev/null ;;
  tail)
    if [ $# -eq 1 ] || [ "$(cat "$job/status" 2> /dev/null)" = "$2" ]; then
      state
      tail -n 20 "$job/log" | sed "s/^/[$host] /"
    fi ;;
  stop)
    [ -d "$job" ] || { state; exit; }
    touch "$job/stopped"
    ! alive || kill -TERM -- "-$(cat "$job/pid")"
    for ((i = 0; i < 600; i++)); do
      alive || break
      sleep 1
    done
    state ;;
  *) sed -n '2,/^set -eu/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
esac
