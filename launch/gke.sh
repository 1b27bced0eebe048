#!/usr/bin/env bash
# A training on TPUs of a Google Kubernetes cluster, by xpk (pip install xpk):
#
#   bash launch/gke.sh train --config=... --workdir=gs://BUCKET/runs/mlm
#   bash launch/gke.sh list
#   bash launch/gke.sh delete
#
# This folder is copied into an image made from IMAGE. Kubernetes starts the
# job again when it ends before its time, up to RESTARTS times, and the job
# goes on from its last checkpoint; --workdir must be a bucket, or on a volume
# that all hosts mount. --dry_run, as the first argument, only prints the
# command.
#   CLUSTER (required)  NAME (nomic-jax)  TYPE (v5litepod-256)  SLICES (1)
#   IMAGE (python:3.11)  RESTARTS (100)  ZONE, PROJECT (those of gcloud)
set -eu
cd "$(dirname "$0")/.."
dry_run=false
if [ "${1:-}" = --dry_run ]; then dry_run=true; shift; fi
if [ $# -eq 0 ]; then
  sed -n '2,/^set -eu/{/^#/s/^# \{0,1\}//p}' "$0" >&2
  exit 2
fi
try() { if $dry_run; then printf '%q ' "$@"; echo; else "$@"; fi; }

where=(--cluster="${CLUSTER:?set CLUSTER to the name of a cluster}")
[ -z "${ZONE:-}" ] || where+=(--zone="$ZONE")
[ -z "${PROJECT:-}" ] || where+=(--project="$PROJECT")
name=--workload="${NAME:-nomic-jax}"

case $1 in
  list) try xpk workload list "${where[@]}" ;;
  delete) try xpk workload delete "$name" "${where[@]}" ;;
  *)
    command="pip install --quiet -e .[tpu] && . launch/tpu_flags.sh &&"
    command+=" nomic-jax $(printf '%q ' "$@")--distributed"
    try xpk workload create "$name" "${where[@]}" \
      --tpu-type="${TYPE:-v5litepod-256}" --num-slices="${SLICES:-1}" \
      --base-docker-image="${IMAGE:-python:3.11}" --script-dir=. \
      --max-restarts="${RESTARTS:-100}" --command="bash -c $(printf %q \
        "$command")" ;;
esac
