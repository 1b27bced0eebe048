#!/usr/bin/env bash
# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
#
# Checks and times what runs on one GPU, in at most eight minutes:
#
#   bash benchmarks/gpu.sh [FOLDER]    # also into FOLDER/results.txt
#   TINY=1 bash benchmarks/gpu.sh      # small sizes: tries the path on a CPU
#   PARTS="check mlm" bash benchmarks/gpu.sh  # of those below
#   MINUTES=12 bash benchmarks/gpu.sh  # if a first run leaves parts out
#
# In the order printed: every kernel against float64; attention beside cuDNN,
# PyTorch and jax's Pallas kernel; steps of nomic-bert-2048; embedding beside
# sentence-transformers; both of ModernBERT-base. Each part is a process with a
# time limit of its own, and all of them end when the minutes are over: one that
# fails or hangs costs the others little, and what it printed stays. A part that
# there is no time left for counts as failed.
#
# Wheels in $WHEELS (.whl by default) are installed first, in a folder of their
# own. Where JAX, Flax, Optax, Orbax, PyTorch and sentence-transformers are
# installed, one is missing: pip download --no-deps -d .whl ml_collections
set -u
cd "$(dirname "$0")/.." || exit
out=${1:-${OUT:-gpu_results}}
wheels=${WHEELS:-.whl}
python=${PYTHON:-python3}
mkdir -p "$out"
results=$out/results.txt errors=$out/errors.txt
: >"$results"
: >"$errors"
export PYTHONPATH=$PWD:$PWD/tests${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
export HF_HUB_OFFLINE=1 TF_CPP_MIN_LOG_LEVEL=2 TOKENIZERS_PARALLELISM=true
# PyTorch and JAX share the GPU.
export XLA_PYTHON_CLIENT_MEM_FRACTION=${XLA_PYTHON_CLIENT_MEM_FRACTION:-0.7}
if compgen -G "$wheels/*.whl" >/dev/null; then
  site=$(mktemp -d)
  "$python" -m pip install -q --no-index --no-deps --no-compile \
    --target "$site" "$wheels"/*.whl || exit
  export PYTHONPATH=$PYTHONPATH:$site
fi
tiny=() sizes=("--lengths=2048,8192,512" "--systems=ours,cudnn,jax pallas,torch")
if [ -n "${TINY:-}" ]; then
  tiny=(--tiny)
  sizes=(--lengths=128 --tokens=256 --rounds=1 "--systems=reference,torch")
fi

end=$((${MINUTES:-8} * 60 - 5))  # SECONDS counts from the start

# part NAME SECONDS COMMAND...
part() {
  local name=$1 limit=$2 began=$SECONDS code
  case " ${PARTS:-$name} " in *" $name "*) ;; *) return ;; esac
  shift 2
  printf '\n## %s\n\n' "$name" | tee -a "$results" "$errors"
  if [ "$limit" -gt $((end - began)) ]; then limit=$((end - began)); fi
  if [ "$limit" -lt 5 ]; then
    failed+=" $name"
    echo "not run: the time is over" | tee -a "$results"
    return
  fi
  timeout -k 5 "$limit" "$@" 2>>"$errors" | tee -a "$results"
  code=${PIPESTATUS[0]}
  if [ "$code" -ne 0 ]; then
    failed+=" $name"
    {
      printf '%s ended with %s after %s of %s seconds:\n' \
        "$name" "$code" $((SECONDS - began)) "$limit"
      tail -n 3 "$errors" | cut -c 1-300
    } | tee -a "$results"
  fi
}

failed=
part machine 20 "$python" -c '
import sys, jax
print(f"Python {sys.version.split()[0]}, jax {jax.__version__}, "
      f"{jax.devices()[0].device_kind}")'
part check 125 "$python" benchmarks/gpu.py check "${tiny[@]}"
part attention 110 "$python" benchmarks/attention_gpu.py "${sizes[@]}"
part mlm 75 "$python" benchmarks/gpu.py mlm "${tiny[@]}"
part contrastive 60 "$python" benchmarks/gpu.py contrastive "${tiny[@]}"
part embed 85 "$python" benchmarks/gpu.py embed "${tiny[@]}"
part modernbert 90 "$python" benchmarks/gpu.py modernbert "${tiny[@]}"
part embed_modernbert 90 "$python" benchmarks/gpu.py embed_modernbert "${tiny[@]}"
printf '\n%s seconds; failed:%s\n' "$SECONDS" "${failed:- none}" |
  tee -a "$results"
[ -z "$failed" ]
