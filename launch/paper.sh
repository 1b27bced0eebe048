#!/usr/bin/env bash
# The trainings of Nomic Embed (arXiv 2402.01613) from the published data, as
# a few plain commands. A rerun skips what is finished.
#
#   bash launch/paper.sh STAGE [--dry_run | --check]
#
# STAGE is one of these, or `all`, which runs all in this order:
#   mlm            nomic-bert-2048            4.1
#   pretrain       v1-unsupervised            4.2
#   finetune       v1                         4.3
#   finetune-v1.5  v1.5, from v1-unsupervised
#   ablated        v1-ablated                 appendix
#   glue           the eight tasks            5.1
#   evaluate       MTEB, LoCo, Jina           5.2, 5.3
# --dry_run prints the commands. --check prints, without training, the rows,
# batches and steps of the data beside those of the paper.
#
#   RUN=DIR        output folder (default runs/paper)
#   DATA=ROOT      prefix of the buckets' names: a folder with copies, or s3://
#                  (default) with AWS_ENDPOINT_URL and the keys described in
#                  contrastors' README, "Data Access"
#   TEXT=SOURCE    data of the MLM: rows of 2,048 token ids, or of text
#   TOKENIZER=PATH bert-base-uncased's (default: that name on the Hub)
#   GLUE=DIR       folder of the tasks' folders (CoLA, SST-2, ...) of .tsv files
#   EVAL=DIR       folder with copies of the evaluation data (default: the Hub)
#   RECIPE=NAME    published (default) or recommended, see nomic_jax/cli/recipes.py
#   LENGTHS=paper  2,048 and 512 tokens; or code: 32 and 256, as contrastors'
#   TRAIN=COMMAND  command that trains (default: nomic-jax train), such
#                  as 'bash launch/tpu_pod.sh babysit train'; RUN must then be
#                  in a bucket
#   SIZE=miniature small models and batches, to try the script itself; then also
#                  SHARDS=1 (the first of each source), TASKS=... and DIMS=...
set -eu
cd "$(dirname "$0")/.."
stages="mlm pretrain finetune finetune-v1.5 ablated glue evaluate"
stage=${1:-} mode=${2:-run}
if [[ " $stages all " != *" $stage "* || -z $stage || $# -gt 2 ||
      " run --dry_run --check " != *" $mode "* ]]; then
  echo "paper.sh: expected ${stages// /|}|all [--dry_run | --check]" >&2
  exit 2
fi

run=${RUN:-runs/paper}
data=${DATA:-s3://}
tokenizer=${TOKENIZER:-bert-base-uncased}
text=${TEXT:-hf:nomic-ai/bert-pretokenized-2048-wiki-2023}
size=${SIZE:-paper}
recipe=--config.recipe=${RECIPE:-published}
long=loco@2048,loco@4096,loco@8192,jina@128,jina@512,jina@8191
tasks=${TASKS:-mteb-en-v1,$long}
dims=${DIMS:-768,512,256,128,64}
read -ra train <<< "${TRAIN:-nomic-jax train}"
case $size in
  paper) pairs=16384 triplets=256 sized= ;;
  miniature) pairs=16 triplets=8 sized=,miniature ;;
  *) echo "paper.sh: SIZE=$size: expected paper or miniature" >&2; exit 2 ;;
esac
case ${LENGTHS:-paper} in
  paper) lengths=() ;;
  code) lengths=(--config.data.query_length=32
                 --config.data.document_length=256) ;;
  *) echo "paper.sh: LENGTHS=$LENGTHS: expected paper or code" >&2; exit 2 ;;
esac

# Runs a command, or prints it as one would type it.
run() {
  if [ "$mode" = --dry_run ]; then
    printf '%q ' "$@" | sed 's/ $//'
    echo
  else
    "$@"
  fi
}

# prepared MIXTURE BATCH: the data directory $run/MIXTURE. No row is held out,
# and each shard is cut into whole batches, as in contrastors' loader.
prepared() {
  if [ "$mode" = --check ]; then
    python configs/mixtures.py "$1" "$data" --shards="${SHARDS:-0}" \
      --check="$2"
    return
  fi
  run python configs/mixtures.py "$1" "$data" --shards="${SHARDS:-0}" \
    --output="$run/$1.yaml"
  run nomic-jax prepare --source="$run/$1.yaml" --output="$run/data/$1" \
    --tokenizer="$tokenizer" --held_out=0 --whole_batches="$2" --keep_copies
}

# contrastive FILE.py:[VARIANT,] INIT_FROM MIXTURE NAME: trains and exports.
contrastive() {
  [ "$mode" != --check ] || return 0
  run "${train[@]}" --config="configs/$1$size" "$recipe" \
    --workdir="$run/$4" --config.init_from="$run/$2" \
    --config.data.path="$run/data/$3" "${lengths[@]}"
  run nomic-jax export --workdir="$run/$4" --output="$run/models/$4"
}

mlm() {
  if [ "$mode" = --check ]; then
    echo "mlm: prepare counts $text; the paper's 100,000 steps read 160 epochs," \
      "409,600,000 rows of 2,048 tokens"
    return
  fi
  # 1 % of the rows is held out for the loss after each epoch.
  run nomic-jax prepare --source="$text" --output="$run/data/text" \
    --tokenizer="$tokenizer" --held_out=0.01 --keep_copies
  run "${train[@]}" --config="configs/mlm.py:$size" "$recipe" \
    --workdir="$run/mlm" --config.data.path="$run/data/text"
}

pretrain() {
  prepared pretrain "$pairs"
  contrastive contrastive.py: mlm pretrain nomic-embed-text-v1-unsupervised
}

finetune() {
  prepared finetune "$triplets"
  contrastive finetune.py: nomic-embed-text-v1-unsupervised finetune \
    nomic-embed-text-v1
}

finetune-v1.5() {
  prepared finetune "$triplets"
  contrastive finetune.py:v1.5, nomic-embed-text-v1-unsupervised finetune \
    nomic-embed-text-v1.5
}

ablated() {
  prepared ablated "$triplets"
  contrastive finetune.py:ablated, nomic-embed-text-v1-unsupervised ablated \
    nomic-embed-text-v1-ablated
}

# swept TASK FOLDER METRIC START [DEV...]: DEV are its dev files; MNLI has two.
swept() {
  local task=$1 folder=${GLUE:-GLUE}/$2 metric=$3 start=$4 evaluators=() file
  shift 4
  local parts=(train "${@:-dev}") names=(train dev mismatched)
  for i in "${!parts[@]}"; do
    file=$run/data/glue/$task/${names[i]}
    run nomic-jax prepare --source="glue:$folder/${parts[i]}.tsv" \
      --output="$file" --tokenizer="$tokenizer" --held_out=0 --keep_copies
    [ "$i" = 0 ] || evaluators+=(
      "--config.evaluators.${names[i]}.data.path=$file")
  done
  # Dropout is that of nomic-bert-2048's checkpoint; ours has the paper's 0.
  run nomic-jax sweep --config="configs/glue.py:$task$sized" "$recipe" \
    --workdir="$run/glue/$task" --config.init_from="$start" \
    --config.compute.dropout=0.1 \
    --config.data.path="$run/data/glue/$task/train" "${evaluators[@]}" \
    --metric="dev/$metric" --median=seed
}

glue() {
  [ "$mode" != --check ] || return 0
  swept mnli MNLI accuracy "$run/mlm" dev_matched dev_mismatched
  swept cola CoLA matthews "$run/mlm"
  swept sst2 SST-2 accuracy "$run/mlm"
  swept qqp QQP accuracy "$run/mlm"
  swept qnli QNLI accuracy "$run/mlm"
  # From MNLI, at one point of its grid.
  local mnli=$run/glue/mnli/batch_size=16,learning_rate=2e-05,seed=42
  swept mrpc MRPC accuracy "$mnli"
  swept stsb STS-B pearson "$mnli"
  swept rte RTE accuracy "$mnli"
}

evaluate() {
  [ "$mode" != --check ] || return 0
  local places=()
  [ -z "${EVAL:-}" ] || places=(--data="$EVAL")
  run nomic-jax evaluate --tasks="$tasks" "${places[@]}" \
    --model="$run/models/nomic-embed-text-v1-unsupervised" \
    --model="$run/models/nomic-embed-text-v1-ablated" \
    --model="$run/models/nomic-embed-text-v1" --output="$run/v1.json"
  run nomic-jax evaluate --tasks="${tasks%%,*}" "${places[@]}" \
    --model="$run/models/nomic-embed-text-v1.5" --dim="$dims" \
    --output="$run/v1.5.json"
}

if [ "$stage" = all ]; then
  for stage in $stages; do
    [ "$mode" != run ] || echo "== $stage"
    "$stage"
  done
else
  "$stage"
fi
