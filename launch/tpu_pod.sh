#!/usr/bin/env bash
# A slice of TPUs from Google Cloud: asked for, used, given back.
#
#   bash launch/tpu_pod.sh create       asks for it, and waits until it is there
#   bash launch/tpu_pod.sh setup        copies this folder to every worker
#   bash launch/tpu_pod.sh run train --config=... --workdir=...
#                                       on all workers; returns how it ended
#   bash launch/tpu_pod.sh logs         follows what `run` started, from anywhere
#   bash launch/tpu_pod.sh stop         SIGTERM: saves, ends with status 75
#   bash launch/tpu_pod.sh babysit train --config=... --workdir=...
#                                       all of the above, and again whenever
#                                       the slice is taken away, until done
#   bash launch/tpu_pod.sh delete       gives it back; until then it costs
#
# --dry_run, as the first argument, only prints the commands. Settings, from
# the environment:
#   NAME (nomic-jax)  ZONE (us-west4-a)  TYPE (v5litepod-256)  SLICES (1)
#   VERSION (v2-alpha-tpuv5-lite)  SPOT (false)  POLL (30, seconds)
#   BUCKET  is mounted as ~/bucket on all workers, to read data from
# --workdir must be seen by all workers: --workdir=gs://BUCKET/runs/mlm
set -eu
cd "$(dirname "$0")/.."
NAME=${NAME:-nomic-jax} ZONE=${ZONE:-us-west4-a} TYPE=${TYPE:-v5litepod-256}
SLICES=${SLICES:-1} VERSION=${VERSION:-v2-alpha-tpuv5-lite} SPOT=${SPOT:-false}
POLL=${POLL:-30} BUCKET=${BUCKET:-}
dry_run=false
if [ "${1:-}" = --dry_run ]; then dry_run=true; shift; fi

# Runs a command, or prints it.
try() { if $dry_run; then printf '%q ' "$@"; echo; else "$@"; fi; }

queue() { try gcloud compute tpus queued-resources "$1" "$NAME" \
  --zone="$ZONE" "${@:2}"; }
state() { queue describe --format='value(state.state)' 2> /dev/null || true; }

# The slices' names: with one it is NAME itself.
nodes() {
  if [ "$SLICES" -eq 1 ]; then echo "$NAME"; return; fi
  for ((i = 0; i < SLICES; i++)); do echo "$NAME-$i"; done
}

# on WORKERS COMMAND: a shell command on workers of every slice, side by side.
on() {
  local node pids=() failed=0
  for node in $(nodes); do
    try gcloud compute tpus tpu-vm ssh "$node" --zone="$ZONE" --worker="$1" \
      --command="$2" &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || failed=$?; done
  return "$failed"
}

create() {
  local shape=(--node-id="$NAME") more=()
  [ "$SLICES" -eq 1 ] || shape=(--node-prefix="$NAME" --node-count="$SLICES")
  ! $SPOT || more=(--spot)
  local now=""
  $dry_run || now=$(state)
  case $now in
    FAILED | SUSPENDED | SUSPENDING) delete; now="" ;;
  esac
  [ -n "$now" ] || queue create --accelerator-type="$TYPE" \
    --runtime-version="$VERSION" "${shape[@]}" ${more[@]+"${more[@]}"}
  $dry_run && return
  until now=$(state); [ "$now" = ACTIVE ]; do
    case $now in
      FAILED | SUSPENDED | "")
        echo "tpu_pod.sh: no $TYPE in $ZONE (${now:-it is gone}); see the" \
          "quota, or try another ZONE or SPOT=true" >&2
        return 1 ;;
    esac
    echo "$NAME: $now"
    sleep "$POLL"
  done
  echo "$NAME: ACTIVE"
}

setup() {
  local archive node
  archive=$(mktemp -d)/nomic_jax.tgz
  git ls-files | tar czf "$archive" -T -
  for node in $(nodes); do
    try gcloud compute tpus tpu-vm scp "$archive" "$node:" --zone="$ZONE" \
      --worker=all
  done
  rm -r "$(dirname "$archive")"
  on all "mkdir -p nomic_jax bucket && tar xzf nomic_jax.tgz -C nomic_jax &&
    cd nomic_jax && . launch/venv.sh && make_venv .venv tpu &&
    { [ -z '$BUCKET' ] || mountpoint -q ~/bucket ||
      gcsfuse --implicit-dirs '$BUCKET' ~/bucket; }"
}

run() {
  local job
  job="nomic-jax $(printf '%q ' "$@")--distributed"
  # Detached, so that it outlives this connection; the status is kept.
  on all "cd nomic_jax && . .venv/bin/activate && . launch/tpu_flags.sh &&
    rm -f ~/job.status && { setsid bash -c $(printf %q \
      "$job; echo \$? > ~/job.status") > ~/job.log 2>&1 < /dev/null &
    echo \$! > ~/job.pid; }"
  logs
}

# Returns the status of the job; 75 if it was stopped and can go on.
logs() {
  # shellcheck disable=SC2016  # for the worker's shell
  on 0 'tail -n +1 -F --pid=$(cat ~/job.pid) ~/job.log' || true
  $dry_run && return
  local status
  status=$(on 0 'cat ~/job.status' 2> /dev/null | sort -n | tail -n 1)
  return "${status:-75}"
}

# shellcheck disable=SC2016
stop() { on all 'kill -TERM -- -$(cat ~/job.pid)'; }

delete() { queue delete --force --quiet; }

babysit() {
  local status failures=0
  while :; do
    create && setup && run "$@" && status=0 || status=$?
    $dry_run && return
    [ "$status" -ne 0 ] || { echo "$NAME: done"; return 0; }
    if [ "$(state)" = ACTIVE ] && [ "$status" -ne 75 ]; then
      failures=$((failures + 1))
      # 2: a mistake in the command, which no repetition mends.
      if [ "$status" -eq 2 ] || [ "$failures" -ge 3 ]; then
        echo "$NAME: gives up after status $status; see above" >&2
        return "$status"
      fi
    fi
    echo "$NAME: ended with status $status; trying again in $POLL seconds" >&2
    sleep "$POLL"
  done
}

case ${1:-} in
  create | setup | run | logs | stop | delete | babysit) "$@" ;;
  *) sed -n '2,/^set -eu/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
esac
