#!/usr/bin/env bash
# A slice of TPUs by Google's Cloud TPU API (v2 to v6e; for TPU7x and newer ones
# use launch/jobset.sh): request it, use it, delete it.
#
#   bash launch/tpu_pod.sh babysit train --config=... --workdir=gs://BUCKET/RUN
#       all of the following until the job is done, repeated whenever the slice
#       is preempted or the job can be restarted; then deletes the slice
#   bash launch/tpu_pod.sh create       requests the slice and waits for it
#   bash launch/tpu_pod.sh setup        copies this folder and installs it
#   bash launch/tpu_pod.sh run train --config=... --workdir=...
#       runs on all workers, or attaches to a running job; returns its status
#   bash launch/tpu_pod.sh logs         attaches to the running job, as `run`
#   bash launch/tpu_pod.sh logs all     the last lines of every worker
#   bash launch/tpu_pod.sh wait         waits like `logs`, without printing
#   bash launch/tpu_pod.sh status       of the slice and of every worker
#   bash launch/tpu_pod.sh stop         SIGTERM; waits until the job has saved;
#                                       also ends babysit, which keeps the slice
#   bash launch/tpu_pod.sh delete       deletes it; until then it costs money
#
# First arguments: --dry_run only prints the commands, --keep makes babysit keep
# the slice. Settings, from the environment:
#   NAME (nomic-jax)  ZONE (us-west4-a)  TYPE (v5litepod-256)  SLICES (1)
#   VERSION (by TYPE)  SPOT (false)  KEEP (false)  POLL (30, seconds)
#   EXTRA (tpu)        extras of setup.cfg to install: tpu,wandb
#   CREATE_FLAGS       of `gcloud compute tpus queued-resources create`, such as
#                      "--reserved --network=N --service-account=A"
#   TRACK              alpha, for flags that only `gcloud alpha` has, such as
#                      --autocheckpoint-enabled, --provisioning-model=flex-start
#   SSH_FLAGS          of `gcloud compute tpus tpu-vm ssh` and scp
set -eu
cd "$(dirname "$0")/.."
. launch/restart.sh
. launch/tpu_slice.sh
NAME=${NAME:-nomic-jax} ZONE=${ZONE:-us-west4-a} TYPE=${TYPE:-v5litepod-256}
SLICES=${SLICES:-1} SPOT=${SPOT:-false} KEEP=${KEEP:-false} POLL=${POLL:-30}
FAILURES=5 SHORT=1800  # babysit gives up after 5 runs under 1800 s in a row
booleans SPOT KEEP; numbers SLICES
read -rd '' -a create_flags <<< "${CREATE_FLAGS:-}" || true  # any lines
read -rd '' -a ssh_flags <<< "${SSH_FLAGS:-}" || true
ssh_flags+=(--zone="$ZONE" --quiet)
if [ -n "${BUCKET:-}" ]; then
  say "BUCKET is no longer mounted; name it where it is read, such as" \
    "--config.data.path=gs://$BUCKET/DATA"
  exit 2
fi
dry_run=false scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
while :; do
  case ${1:-} in
    --dry_run) dry_run=true ;;
    --keep) KEEP=true ;;
    *) break ;;
  esac
  shift
done

run() {
  local now n
  now=$(workers) || return
  case $now in
    *running*) say "a job is already running on $NAME; attaching to it" ;;
    *)
      for ((n = 1; ; n++)); do  # does nothing where it already runs
        on_all "bash nomic_jax/launch/worker.sh start '${launch:-}' \
          $(printf '%q ' "$@")" && break
        [ "$n" -lt 3 ] || return
        sleep "$(backoff "$n")"
      done ;;
  esac
  logs
}

# logs [all]: follows worker 0 until no worker runs; returns the job's status.
logs() {
  [ -z "${1:-}" ] || { on_all "bash nomic_jax/launch/worker.sh tail"; return; }
  local log=$scratch/log cut=$scratch/cut last=false now
  : > "$log"
  while :; do
    rm -f "$cut"
    ${quiet:-false} || { on "$(nodes | head -n 1)" 0 "bash \
      nomic_jax/launch/worker.sh follow $(($(wc -c < "$log") + 1))" ||
      touch "$cut"; } | tee -a "$log" || true
    now=$(workers) || return
    $dry_run && return
    case $now in
      *running*) sleep "$POLL" ;;
      # The connection may have been cut just before the last lines.
      *) if $last || [ ! -e "$cut" ]; then break; else last=true; fi ;;
    esac
  done
  mv "$scratch/workers" "$scratch/ended"
  outcome
}

# outcome: the status of the job whose workers have `ended`; prints the last
# lines of failures other than being stopped or losing another worker.
outcome() {
  local statuses status
  grep -q ' ended ' "$scratch/ended" || { say "no job on $NAME"; return 1; }
  read -ra statuses <<< "$(awk '{print $2 == "ended" ? $3 : 137}' \
    "$scratch/ended" | xargs)"
  status=$(culprit "${statuses[@]}")
  case $status in
    0 | 75 | 134) ;;
    *) on_all "bash nomic_jax/launch/worker.sh tail $status" | head -n 60 ;;
  esac >&2
  return "$status"
}

status() {
  local now
  now=$(state) || return
  echo "$NAME: $now"
  [ "$now" != ACTIVE ] || workers
}

babysit() {
  local failures=0 status began ran launch first=true
  launch=$NAME-$(date +%s)-$$
  while :; do
    ran=false status=0
    rm -f "$scratch/ended"
    attempt "$@" || status=$?
    first=false
    $dry_run && return
    if grep -q stopped "$scratch/ended" 2> /dev/null; then
      say "stopped with status $status; $NAME is kept and costs money until" \
        "\`delete\`"
      return "$status"
    fi
    # The workers or gcloud did not answer: the job may still be running.
    [ "$status" -ne 69 ] || return 69
    case $(verdict "$status") in
      done) echo "$NAME: done"; give_back; return ;;
      again)
        # Preemption does not count as a failure, nor does a long run.
        if $ran && { [ $((SECONDS - began)) -ge "$SHORT" ] ||
            [ "$(state)" != ACTIVE ]; }; then
          failures=0
        else
          failures=$((failures + 1))
        fi
        [ "$status" -ne 70 ] || delete || true ;;  # another one is requested
      never) failures=$FAILURES ;;
    esac
    if [ "$failures" -ge "$FAILURES" ]; then
      say "giving up after status $status; see above"
      give_back
      return "$status"
    fi
    say "ended with status $status; trying again"
    sleep "$(backoff $((failures + 1)))"
  done
}

# attempt JOB: starting from whatever exists already.
attempt() {
  local now
  create || return
  now=$(workers) || return
  # Stopped between two attempts. Before the first, the mark is of an older job.
  if ! $first && [[ $now == *stopped* && $now != *running* ]]; then
    mv "$scratch/workers" "$scratch/ended"
    return 75
  fi
  [[ $now == *running* ]] || setup || return
  began=$SECONDS ran=true
  run "$@"
}

# give_back: deletes the slice, unless it is to be kept.
give_back() {
  local n
  if $KEEP; then say "$NAME is kept and costs money"; return; fi
  for ((n = 1; n <= TRIES; n++)); do
    if [ "$(state)" = GONE ] || delete; then return; fi
    sleep "$(backoff "$n")"
  done
  say "$NAME could not be deleted and costs money"
}

case ${1:-} in
  run | babysit)
    [ $# -gt 1 ] || { say "$1: expected train --config=..."; exit 2; }
    "$@" ;;
  create | setup | logs | status | delete) "$@" ;;
  wait) quiet=true logs ;;
  stop) on_all "bash nomic_jax/launch/worker.sh stop" ;;
  *) sed -n '2,/^set -eu/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
esac
