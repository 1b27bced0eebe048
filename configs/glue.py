# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
r"""Fine-tuning on a task of GLUE, by the paper's recipe (section 5.1).

for part in train dev; do
  nomic-jax prepare --source=glue:CoLA/$part.tsv --held_out=0 \
    --tokenizer=MODEL --output=data/cola/$part
done
nomic-jax sweep --config=configs/glue.py:cola --workdir=runs/cola \
  --config.init_from=MODEL --config.data.path=data/cola/train \
  --config.evaluators.dev.data.path=data/cola/dev \
  --metric=dev/matthews --median=seed

TASKS lists the tasks. The paper starts rte, stsb and mrpc from the model
trained on mnli: --config.init_from=runs/mnli/... MNLI has two dev files:
specify the mismatched one with --config.evaluators.mismatched.data.path, or
skip it with --config.evaluators.mismatched.every=0. For data sets of the Hub
(nyu-mll/glue), prepare the .parquet files with --query_column and
--document_column. A size may follow the task, as in :cola,miniature.
"""

import common
import ml_collections

from nomic_jax.errors import one_of

# task: rows to train on, classes (0: a number), and its metrics; the paper
# reports the first one.
TASKS = {
  "cola": (8_551, 2, "matthews,accuracy"),
  "mnli": (392_702, 3, "accuracy"),
  "mrpc": (3_668, 2, "accuracy,f1"),
  "qnli": (104_743, 2, "accuracy"),
  "qqp": (363_846, 2, "accuracy,f1"),
  "rte": (2_490, 2, "accuracy"),
  "sst2": (67_349, 2, "accuracy"),
  "stsb": (5_749, 0, "pearson,spearman"),
}
EPOCHS = 10


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
  """`arg` is a task; a size may follow."""
  if not set((arg or "").split(",")) & TASKS.keys():
    one_of(arg, TASKS, f"--config=...:{arg}: no such task")
  size, task = common.size_and_variant(arg, tuple(TASKS))
  rows, classes, metrics = TASKS[task]
  c = common.base(size)
  common.labels(c)
  # As in the checkpoint, like contrastors: 0.1 for nomic-bert-2048.
  c.compute.dropout = -1.0
  c.data.classes = classes
  if not classes:
    c.loss.kind, c.loss.labels = "regression", 1
  else:
    c.loss.labels = classes
  # If the batch size is overridden, the number of epochs stays.
  batch = c.data.get_ref("batch_size")
  c.steps = EPOCHS * rows // batch
  for name in ("dev", "mismatched") if task == "mnli" else ("dev",):
    c.evaluators[name] = ml_collections.ConfigDict(
      dict(
        kind="labels",
        every=0,
        metrics=metrics,
        data=dict(path="", split="train"),
      )
    )
    c.evaluators[name].every = rows // batch  # an epoch
  if size != "paper":
    c.data.row_length = c.data.text_length = 64
  if size == "miniature":
    c.steps = 4
    c.log_every = 1
    c.optimizer.warmup = "1 steps"
    for name in c.evaluators:
      if name != "eval":
        c.evaluators[name].every = 2
  return c


def sweep(add, arg: str) -> None:
  """Adds the paper's grid; --median=seed combines the runs of five seeds."""
  batch_sizes, rates = (16, 32), (1e-5, 2e-5, 3e-5)
  seeds = 42, 19, 17, 717, 10536
  if common.size_and_variant(arg, tuple(TASKS))[0] == "miniature":
    batch_sizes, rates, seeds = (16,), (2e-5,), (42,)
  for batch_size in batch_sizes:
    for rate in rates:
      for seed in seeds:
        add(
          **{
            "data.batch_size": batch_size,
            "optimizer.learning_rate": rate,
            "seed": seed,
          }
        )
