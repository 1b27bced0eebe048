#!/usr/bin/env bash
# A job on TPUs of a Google Kubernetes cluster made by xpk (pip install xpk);
# for other clusters, use launch/jobset.sh:
#
#   IMAGE=... bash launch/image.sh      # once for each state of the code
#   bash launch/gke.sh train --config=... --workdir=gs://BUCKET/RUN
#   bash launch/gke.sh list
#   NAME=... bash launch/gke.sh wait    # until it ends; 0 if it succeeded
#   NAME=... bash launch/gke.sh logs    # follows worker 0
#   NAME=... bash launch/gke.sh delete
#
# --workdir and --config.data.path must be visible to all hosts: gs://BUCKET/...
# Kubernetes restarts the job unless it ends with a mistake (status 2).
# --dry_run, as the first argument, only prints the command.
#   CLUSTER, IMAGE (required)  NAME (a new one)  TYPE (v5litepod-256)
#   SLICES (1)  RESTARTS (100)  ZONE, PROJECT (those of gcloud)
#   FLAGS   further flags of `xpk workload create`, such as "--priority=high"
set -eu
cd "$(dirname "$0")/.."
dry_run=false
if [ "${1:-}" = --dry_run ]; then dry_run=true; shift; fi
if [ $# -eq 0 ]; then
  sed -n '2,/^set -eu/{/^#/s/^# \{0,1\}//p}' "$0" >&2
  exit 2
fi
# xpk asks questions; end of input makes an unanswered question an error.
try() {
  if $dry_run; then printf '%q ' "$@"; echo; else "$@" < /dev/null; fi
}

where=(--cluster="${CLUSTER:?set CLUSTER to the name of a cluster}")
[ -z "${ZONE:-}" ] || where+=(--zone="$ZONE")
[ -z "${PROJECT:-}" ] || where+=(--project="$PROJECT")

case $1 in
  list) try xpk workload list "${where[@]}" ;;
  wait) try xpk workload list "${where[@]}" \
    --wait-for-job-completion="${NAME:?}" ;;
  logs) try kubectl logs --follow --max-log-requests=64 --selector \
    "jobset.sigs.k8s.io/jobset-name=${NAME:?},$(
      )batch.kubernetes.io/job-completion-index=0" ;;
  delete) try xpk workload delete --workload="${NAME:?}" --force \
    "${where[@]}" ;;
  *)
    type=${TYPE:-v5litepod-256}
    # A finished workload keeps its name for 12 hours.
    name=${NAME:-nomic-jax-$(date +%m%d-%H%M%S)-$((RANDOM % 1000))}
    read -rd '' -a flags <<< "${FLAGS:-}" || true  # on one or several lines
    # xpk itself restarts on 42 and 127 to 255. The job gets 120 seconds between
    # SIGTERM and SIGKILL; Spot nodes have their own limits.
    try xpk workload create --workload="$name" "${where[@]}" \
      --tpu-type="$type" --num-slices="${SLICES:-1}" \
      --docker-image="${IMAGE:?set IMAGE to what launch/image.sh has pushed}" \
      --max-restarts="${RESTARTS:-100}" --restart-on-exit-codes=1,75 \
      --termination-grace-period-seconds=120 \
      --env=NOMIC_JAX_LAUNCH="$name" \
      ${flags[@]+"${flags[@]}"} \
      --command="exec bash /nomic_jax/launch/job.sh $(printf '%q ' "$@")"
    echo "NAME=$name" >&2 ;;
esac
