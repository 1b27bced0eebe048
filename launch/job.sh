#!/usr/bin/env bash
# One process of a job, as every launch script starts it on a host:
#
#   bash launch/job.sh train --config=... --workdir=...
#
# Forwards SIGTERM, waits until the process has saved, and returns its status.
# Settings, from the environment:
#   STATUS           a file for the exit status
#   NOMIC_JAX        the command (default nomic-jax)
#   NOMIC_JAX_LAUNCH identifies the launch; bounds restarts without progress
set -eu
read -ra command <<< "${NOMIC_JAX:-nomic-jax}"

# The trap is set before the process starts, so that no signal is missed.
pid='' signalled=false status=0
pass_on() { [ -z "$pid" ] || kill -TERM "$pid" 2> /dev/null || true; }
trap 'signalled=true; pass_on' TERM INT
# In the background, since bash runs a trap only when it waits by `wait`.
"${command[@]}" "$@" --distributed &
pid=$!
! $signalled || pass_on
while :; do
  wait "$pid" && status=0 || status=$?
  $signalled || break
  signalled=false
done
[ -z "${STATUS:-}" ] || echo "$status" > "$STATUS"
exit "$status"
