# shellcheck shell=bash
# shellcheck disable=SC2154  # settings are those of tpu_pod.sh
# Sourced by tpu_pod.sh: a slice of the Cloud TPU API and its workers.
TRIES=10  # of a call that fails

say() { echo "tpu_pod.sh: $*" >&2; }

# Runs a command, or prints it.
try() { if $dry_run; then printf '%q ' "$@"; echo; else "$@"; fi; }

# shellcheck disable=SC2086  # TRACK may be empty
queue() { try gcloud ${TRACK:-} compute tpus queued-resources "$1" "$NAME" \
  --zone="$ZONE" "${@:2}"; }

# The slices' names; a single one is called NAME.
nodes() {
  if [ "$SLICES" -eq 1 ]; then echo "$NAME"; return; fi
  for ((i = 0; i < SLICES; i++)); do echo "$NAME-$i"; done
}

# on NODE WORKERS COMMAND: fails if one cannot be reached.
on() {
  try gcloud compute tpus tpu-vm ssh "$1" --worker="$2" "${ssh_flags[@]}" \
    --ssh-flag=-oServerAliveInterval=30 --command="$3"
}

# on_all COMMAND: on all workers of every slice, in parallel.
on_all() {
  local node pids=() failed=0
  for node in $(nodes); do on "$node" all "$1" & pids+=($!); done
  for pid in "${pids[@]}"; do wait "$pid" || failed=$?; done
  return "$failed"
}

# state: of the slice; GONE only if Google reports that. Other failures of
# gcloud, of credentials or the network, may be temporary.
state() {
  local n
  for ((n = 1; ; n++)); do
    queue describe --format='value(state.state)' 2> "$scratch/errors" && return
    if grep -q NOT_FOUND "$scratch/errors"; then echo GONE; return; fi
    cat "$scratch/errors" >&2
    if [ "$n" -ge "$TRIES" ]; then
      say "gcloud does not answer. $NAME may still exist and cost money"
      return 69
    fi
    sleep "$(backoff "$n")"
  done
}

# workers: prints a line of worker.sh for each. 75 if the slice is preempted, 70
# if one does not answer and the job has ended on the others, 69 if it may run.
workers() {
  local now n
  ! $dry_run || return 0
  for ((n = 1; ; n++)); do
    on_all "bash nomic_jax/launch/worker.sh state 2> /dev/null ||
      echo \"\$(hostname) none\"" > "$scratch/workers" &&
      cat "$scratch/workers" && return
    now=$(state) || return
    [ "$now" = ACTIVE ] || { say "$NAME: $now"; return 75; }
    if [ "$n" -ge "$TRIES" ]; then
      if grep -q ' ended ' "$scratch/workers" &&
          ! grep -q ' running' "$scratch/workers"; then
        say "a worker does not answer, and the job has ended on the others"
        return 70
      fi
      say "the workers do not answer. A job may be running; $NAME is kept and" \
        "costs money"
      return 69
    fi
    sleep "$(backoff "$n")"
  done
}

create() {
  local now=GONE flags=(--node-id="$NAME") version=${VERSION:-}
  case $TYPE in
    *7x*) say "TYPE=$TYPE: this API does not offer TPU7x; launch/jobset.sh" \
      "runs on one in a Kubernetes cluster"; return 2 ;;
    v2-* | v3-* | v4-*) version=${version:-tpu-ubuntu2204-base} ;;
    v5litepod-*) version=${version:-v2-alpha-tpuv5-lite} ;;
    v5p-*) version=${version:-v2-alpha-tpuv5} ;;
    v6e-*) version=${version:-v2-alpha-tpuv6e} ;;
  esac
  [ -n "$version" ] || { say "TYPE=$TYPE: expected v4-N, v5litepod-N, v5p-N" \
    "or v6e-N, or give its runtime in VERSION"; return 2; }
  [ "$SLICES" -eq 1 ] || flags=(--node-prefix="$NAME" --node-count="$SLICES")
  ! $SPOT || flags+=(--spot)
  $dry_run || now=$(state) || return
  case $now in
    FAILED | SUSPENDED | SUSPENDING) delete || return; now=GONE ;;
  esac
  if [ "$now" = GONE ]; then
    queue create --accelerator-type="$TYPE" --runtime-version="$version" \
      "${flags[@]}" ${create_flags[@]+"${create_flags[@]}"} || return
  fi
  $dry_run && return
  until now=$(state) || return; [ "$now" = ACTIVE ]; do
    case $now in
      FAILED | SUSPENDED | GONE)
        say "no $TYPE in $ZONE ($now); see the quota, or try another ZONE or" \
          "SPOT=true"
        return 1 ;;
    esac
    echo "$NAME: $now"
    sleep "$POLL"
  done
  echo "$NAME: ACTIVE"
}

setup() {
  local archive=$scratch/nomic_jax.tgz node now
  git ls-files --error-unmatch launch/tpu_pod.sh > /dev/null 2>&1 || {
    say "$PWD is not a git checkout; setup copies the files that git lists"
    return 2
  }
  now=$(workers) || return
  case $now in
    *running*) say "a job is running; \`stop\` it first"; return 2 ;;
  esac
  # Only once: babysit keeps using the code that it started with.
  [ -f "$archive" ] || git ls-files -z --cached --others --exclude-standard |
    while IFS= read -r -d '' file; do
      if [ -e "$file" ]; then printf '%s\0' "$file"; fi
    done | tar czf "$archive" --null -T - || return
  for node in $(nodes); do
    try gcloud compute tpus tpu-vm scp "$archive" "$node:" --worker=all \
      "${ssh_flags[@]}" || return
  done
  on_all "rm -rf nomic_jax.new && mkdir nomic_jax.new &&
    tar xzf nomic_jax.tgz -C nomic_jax.new && rm -rf nomic_jax &&
    mv nomic_jax.new nomic_jax &&
    bash nomic_jax/launch/worker.sh setup ${EXTRA:-tpu}"
}

delete() { queue delete --force --quiet; }
