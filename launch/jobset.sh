#!/usr/bin/env bash
# Prints a manifest for kubectl: a job on TPUs of any Google Kubernetes cluster
# that has JobSet, also on TPU7x:
#
#   IMAGE=... bash launch/image.sh      # once for each state of the code
#   export IMAGE TYPE=tpu7x:4x4x4
#   bash launch/jobset.sh train --config=... --workdir=gs://BUCKET/RUN |
#     kubectl apply -f -
#   kubectl get jobset NAME; kubectl delete jobset NAME
#
#   TYPE (v5e:16x16)  a topology as for `nomic-jax compile`; also v4
#   IMAGE (required)  NAME (a new one)  SLICES (1)  RESTARTS (100)
#   SPOT (false)      GRACE (120)  seconds from SIGTERM to SIGKILL; Spot nodes
#                     allow 15 unless their node pool sets more
#   SERVICE_ACCOUNT   a Kubernetes account that may read and write the bucket
#   QUEUE             of Kueue
#   CHIPS             per host, as in its machine type (8 for 2x4, else up to 4)
set -eu
if [ $# -eq 0 ]; then
  sed -n '2,/^set -eu/{/^#/s/^# \{0,1\}//p}' "$0" >&2
  exit 2
fi
# shellcheck source=launch/restart.sh
. "$(dirname "$0")/restart.sh"
TYPE=${TYPE:-v5e:16x16}
chip=${TYPE%%:*} topology=${TYPE#*:}
fail() { echo "jobset.sh: $*" >&2; exit 2; }
: "${IMAGE:?set IMAGE to what launch/image.sh has pushed}"

case $chip in
  v4) accelerator=tpu-v4-podslice shape='^[0-9]+x[0-9]+x[0-9]+$' ;;
  v5e) accelerator=tpu-v5-lite-podslice shape='^[0-9]+x[0-9]+$' ;;
  v5p) accelerator=tpu-v5p-slice shape='^[0-9]+x[0-9]+x[0-9]+$' ;;
  v6e) accelerator=tpu-v6e-slice shape='^[0-9]+x[0-9]+$' ;;
  tpu7x) accelerator=tpu7x shape='^[0-9]+x[0-9]+x[0-9]+$' ;;
  *) fail "TYPE=$TYPE: expected v4, v5e, v5p, v6e or tpu7x and a topology," \
    "such as v5e:16x16" ;;
esac
[[ $topology =~ $shape ]] || fail "TYPE=$TYPE: $chip has no topology $topology"
chips=$((${topology//x/*}))
# In slices of several hosts, each host has four chips.
each=$((chips < 4 ? chips : 4))
[ "$topology" != 2x4 ] || each=8
SPOT=${SPOT:-false} SLICES=${SLICES:-1} CHIPS=${CHIPS:-$each}
booleans SPOT
numbers SLICES CHIPS
each=$CHIPS
[ $((chips % each)) -eq 0 ] || fail "$chips chips of $TYPE do not divide into" \
  "hosts of $each; set CHIPS to those of a host"
name=${NAME:-nomic-jax-$(date +%m%d-%H%M%S)-$((RANDOM % 1000))}
[[ $name =~ ^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$ ]] || fail "NAME=$name:" \
  "expected at most 40 small letters, digits and hyphens, a letter first"

# quoted WORD...: as items of a YAML list; Kubernetes reads $$ as $.
quoted() {
  local word
  for word in "$@"; do
    word=${word//\\/\\\\} word=${word//\$/\$\$} word=${word//\"/\\\"}
    printf ', "%s"' "${word//$'\n'/\\n}"
  done
}
# line INDENT KEY VALUE: prints a line unless the value is empty.
line() { [ -z "$3" ] || printf '\n%*s%s%s' "$1" '' "$2" "$3"; }

spot="" queue=""
! $SPOT || spot='"true"'
[ -z "${QUEUE:-}" ] || queue="{kueue.x-k8s.io/queue-name: $QUEUE}"
cat << YAML
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata:
  name: $name$(line 2 'labels: ' "$queue")
  annotations:
    # A slice is a node pool.
    alpha.jobset.sigs.k8s.io/exclusive-topology: cloud.google.com/gke-nodepool
spec:
  ttlSecondsAfterFinished: 43200
  network: {enableDNSHostnames: true}  # a headless service, by which hosts meet
  failurePolicy:
    maxRestarts: ${RESTARTS:-100}
    rules:
    - {action: FailJobSet, onJobFailureReasons: [PodFailurePolicy]}
  replicatedJobs:
  - name: slice
    replicas: $SLICES
    template:
      spec:
        completionMode: Indexed
        parallelism: $((chips / each))
        completions: $((chips / each))
        backoffLimit: 0  # one host that ends restarts all, in the JobSet
        podFailurePolicy:
          rules:
          - action: FailJob
            onExitCodes:
              containerName: job
              operator: In
              values: [${NEVER// /, }]
        template:
          spec:
            restartPolicy: Never
            terminationGracePeriodSeconds: ${GRACE:-120}$(
              line 12 'serviceAccountName: ' "${SERVICE_ACCOUNT:-}")
            hostNetwork: true
            dnsPolicy: ClusterFirstWithHostNet
            nodeSelector:
              cloud.google.com/gke-tpu-accelerator: $accelerator
              cloud.google.com/gke-tpu-topology: $topology$(
                line 14 'cloud.google.com/gke-spot: ' "$spot")
            tolerations:
            - {key: google.com/tpu, operator: Exists}
            - {key: cloud.google.com/gke-spot, operator: Exists}
            volumes:
            - {name: shm, emptyDir: {medium: Memory}}
            containers:
            - name: job
              image: $IMAGE
              command: ["bash", "launch/job.sh"$(quoted "$@")]
              workingDir: /nomic_jax
              env:
              - {name: NOMIC_JAX_LAUNCH, value: "$name"}
              ports:
              - {containerPort: 8471}  # between TPU hosts
              - {containerPort: 8476}  # JAX's coordinator
              resources:
                requests: {google.com/tpu: $each}
                limits: {google.com/tpu: $each}
              volumeMounts:
              - {name: shm, mountPath: /dev/shm}
YAML
