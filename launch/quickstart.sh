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

say "2. Masked language modelling: the encoder learns the language"
nomic-jax train --config=configs/mlm.py:quickstart --workdir="$run/mlm" \
  --config.data.path="$run/pairs"

say "3. Contrastive training: a summary finds its code among all others"
nomic-jax train --config=configs/contrastive.py:quickstart \
  --workdir="$run/contrastive" \
  --config.init_from="$run/mlm" --config.data.path="$run/pairs"

say "4. Filter: this model drops pairs that do not belong together"
nomic-jax filter --model="$run/contrastive" \
  --input="$run/pairs" --output="$run/filtered" --k=20

say "5. Contrastive training continues, each batch from one package: harder"
nomic-jax train --config=configs/contrastive.py:quickstart \
  --workdir="$run/contrastive-filtered" --config.data.one_source=true \
  --config.optimizer.learning_rate=0.002 \
  --config.init_from="$run/contrastive" --config.data.path="$run/filtered"

say "6. Mine: for every summary, code that only looks right"
nomic-jax mine --model="$run/contrastive-filtered" \
  --input="$run/filtered" --output="$run/mined" --negatives=7

say "7. Fine-tuning with these hard negatives"
nomic-jax train --config=configs/finetune.py:quickstart \
  --workdir="$run/finetune" \
  --config.init_from="$run/contrastive-filtered" \
  --config.data.path="$run/mined"

say "8. Export: directories that PyTorch opens, and an untrained one to compare"
nomic-jax export --workdir="$run/finetune" --output="$run/model"
nomic-jax export --config=configs/mlm.py:quickstart \
  --config.data.path="$run/pairs" --output="$run/untrained"

say "9. Evaluate on packages that no stage has seen"
nomic-jax evaluate --tasks="$run/pairs" --output="$run/scores.json" \
  --baseline=bm25 --baseline=bm25-tuned --model="untrained=$run/untrained" \
  --model="MLM=$run/mlm" --model="contrastive=$run/contrastive" \
  --model="on filtered pairs=$run/contrastive-filtered" \
  --model="fine-tuned=$run/model"
nomic-jax report --scores="$run/scores.json" --output="$run/report.html" \
  --workdir="MLM=$run/mlm" --workdir="contrastive=$run/contrastive" \
  --workdir="on filtered pairs=$run/contrastive-filtered" \
  --workdir="fine-tuned=$run/finetune"

say "10. Search the code on this machine"
nomic-jax search --model="$run/model" --corpus="$run/pairs" --top=3 \
  "split a string into a list of words" \
  "wait until a background thread has finished" \
  "parse a date written as text"

say "done"
cat <<TEXT
Open $run/report.html for the curves and scores. Ask a question of your own:

  . ${VENV:-.venv}/bin/activate
  nomic-jax search --model=$run/model --corpus=$run/pairs "your question"
TEXT
