#!/usr/bin/env bash
# Runs one job as several processes on this machine, as the hosts of a pod
# would run it: for trying things out, and for machines with several sockets.
#
#   bash launch/local.sh --processes=2 -- train --config=configs/mlm.py ...
#
# Output lines are prefixed with the number of the process. SIGTERM reaches all
# of them. If one fails, the others have GRACE seconds (default 45) to report
# it themselves. The exit status is that of the first to fail.
#   --dry_run    only print the commands
#   --restart    restart the job if it was stopped or crashed, as the other
#                launch scripts do, as long as it makes progress; at most
#                RESTARTS times (100)
#   NOMIC_JAX    the command (default nomic-jax)
set -eu
# shellcheck source=launch/restart.sh
. "$(dirname "$0")/restart.sh"
processes=2 dry_run=false restart=false
while [ $# -gt 0 ]; do
  case $1 in
    --processes=*) processes=${1#*=} ;;
    --dry_run) dry_run=true ;;
    --restart) restart=true ;;
    --) shift; break ;;
    *) echo "local.sh: $1: expected [--processes=N] [--dry_run] [--restart]" \
         "-- JOB ..." >&2
       exit 2 ;;
  esac
  shift
done
if [ $# -eq 0 ] || ! [ "$processes" -ge 1 ] 2> /dev/null; then
  echo "local.sh: expected --processes=N -- train --config=..." >&2
  exit 2
fi

if $restart; then
  NOMIC_JAX_LAUNCH=local-$(date +%s)-$$
  export NOMIC_JAX_LAUNCH
  stopped=false
  trap 'stopped=true; kill -TERM "$pid" 2> /dev/null || true' TERM INT
  for ((n = 0; ; n++)); do
    bash "$0" --processes="$processes" -- "$@" &
    pid=$! status=0
    wait "$pid" || status=$?
    if $stopped; then wait "$pid" && status=0 || status=$?; break; fi
    [ "$(verdict "$status")" = again ] || break
    [ "$n" -lt "${RESTARTS:-100}" ] || break
    echo "local.sh: status $status: restarting" >&2
    sleep "${POLL:-5}"
  done
  exit "$status"
fi
read -ra command <<< "${NOMIC_JAX:-nomic-jax}"
port=${PORT:-$((20000 + RANDOM % 12000))}

pids=()
for ((i = 0; i < processes; i++)); do
  settings=(JAX_COORDINATOR_ADDRESS="localhost:$port"
            JAX_NUM_PROCESSES="$processes" JAX_PROCESS_ID="$i")
  if $dry_run; then
    echo "env ${settings[*]} ${command[*]} $* --distributed"
    continue
  fi
  env "${settings[@]}" "${command[@]}" "$@" --distributed \
    > >(exec sed -u "s/^/[$i] /") 2>&1 &
  pids+=($!)
done
trap 'kill -TERM "${pids[@]}" 2> /dev/null || true' TERM INT

status=0 alive=("${pids[@]}")
while [ ${#alive[@]} -gt 0 ]; do
  code=0
  wait -n -p ended "${alive[@]}" || code=$?
  if [ -z "${ended:-}" ]; then
    # A signal, passed on to all; or one that bash has already reaped, which
    # `wait -n` may not report.
    for pid in "${alive[@]}"; do
      kill -0 "$pid" 2> /dev/null && continue
      ended=$pid code=0
      wait "$pid" || code=$?
      break
    done
    [ -n "${ended:-}" ] || continue
  fi
  for i in "${!alive[@]}"; do
    if [ "${alive[i]}" = "$ended" ]; then number=$i; fi
  done
  unset "alive[number]"
  if [ "$code" -ne 0 ] && [ "$status" -eq 0 ]; then
    status=$code
    case $code in
      75) ;;  # stopped, and saved
      2) echo "local.sh: process $number ended with a mistake, see above; the" \
        "others stop" >&2 ;;
      *) echo "local.sh: process $number ended with status $code; the others" \
        "stop. The same command resumes from the last checkpoint" >&2 ;;
    esac
    # A process may wait for a dead one for a long time.
    [ ${#alive[@]} -eq 0 ] || {
      sleep "${GRACE:-45}"
      kill -KILL "${alive[@]}" 2> /dev/null || true
    } > /dev/null 2>&1 &
    killer=$!
  fi
done
[ -z "${killer:-}" ] || kill "$killer" 2> /dev/null || true
exit "$status"
