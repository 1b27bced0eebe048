#!/usr/bin/env bash
# From the Python code on this machine to an embedding model that answers
# questions about it, on two CPU cores. Every line is a command that also runs
# on your own data. A rerun skips what is finished.
#   RUN=DIR    output folder (default runs/quickstart)
#   VENV=DIR   virtual environment (default .venv)
set -eu
cd "$(dirname "$0")/.."
. launch/venv.sh
make_venv "${VENV:-.venv}" eval,curate
run=${RUN:-runs/quickstart}
began=$(date +%s)
say() { printf '\n== %s  (minute %d)\n' "$1" $((($(date +%s) - began) / 60)); }

say "1. Text: docstrings and the code they describe, and a tokenizer"
nomic-jax prepare --source=docstrings --output="$run/pairs"

say "2. Contrastive training: a summary finds its code among all others"
nomic-jax train --config=configs/contrastive.py:quickstart \
  --workdir="$run/contrastive" --config.data.path="$run/pairs"

say "3. Mine: for every summary, code that only looks right"
nomic-jax mine --model="$run/contrastive" \
  --input="$run/pairs" --output="$run/mined" --negatives=7

say "4. Fine-tuning with these hard negatives"
nomic-jax train --config=configs/finetune.py:quickstart \
  --workdir="$run/finetune" \
  --config.init_from="$run/contrastive" --config.data.path="$run/mined"

say "5. Export: a directory that PyTorch opens"
nomic-jax export --workdir="$run/finetune" --output="$run/model"

say "6. Evaluate on packages that no stage has seen, also fused with BM25"
nomic-jax evaluate --tasks="$run/pairs" --output="$run/scores.json" \
  --baseline=bm25 --hybrid=bm25-tuned --model="contrastive=$run/contrastive" \
  --model="fine-tuned=$run/model"
nomic-jax report --scores="$run/scores.json" --output="$run/report.html" \
  --workdir="contrastive=$run/contrastive" \
  --workdir="fine-tuned=$run/finetune"

say "7. Search the code on this machine"
nomic-jax search --model="$run/model" --corpus="$run/pairs" --top=3 \
  --hybrid=bm25-tuned \
  "split a string into a list of words" \
  "wait until a background thread has finished" \
  "parse a date written as text"

say "done"
cat <<TEXT
Open $run/report.html for the curves and scores. Ask a question of your own:

  . ${VENV:-.venv}/bin/activate
  nomic-jax search --model=$run/model --corpus=$run/pairs \
    --hybrid=bm25-tuned "your question"
TEXT
