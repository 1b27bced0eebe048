# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Scores of GLUE tasks fine-tuned here and in PyTorch with the same budget.

python benchmarks/glue.py --model=DIR --data=DIR --tasks=cola,sst2,mrpc

The folder of --data holds TASK/train and TASK/dev, prepared as configs/glue.py
describes; --model is a BERT. Optimiser, schedule, batch size and steps are the
same; the order of rows and the classifier's initial weights differ.
"""

import argparse
import pathlib
import statistics
import tempfile
import time

import numpy as np
import torch
import transformers

from nomic_jax import training
from nomic_jax.cli import config_flags
from nomic_jax.data import dataset
from nomic_jax.evaluation.evaluators import labels
from nomic_jax.run import metrics

ROOT = pathlib.Path(__file__).parents[1]
BATCH = 32


def ours(a, task, seed) -> tuple[dict, float]:
  config = config_flags.load(
    [
      f"--config={ROOT}/configs/glue.py:{task}",
      f"--config.init_from={a.model}",
      f"--config.seed={seed}",
      f"--config.data.path={a.data}/{task}/train",
      f"--config.evaluators.dev.data.path={a.data}/{task}/dev",
      f"--config.data.batch_size={BATCH}",
      f"--config.steps={a.steps}",
      f"--config.evaluators.dev.every={a.steps}",
      f"--config.optimizer.learning_rate={a.rate}",
      "--config.compute.dtype=float32",
      "--config.compute.remat=none",
      "--config.checkpoint.every=1000000",
      "--config.log_every=1000000",
    ]
  )
  with tempfile.TemporaryDirectory() as folder:
    training.train(config, f"{folder}/run")
    last = metrics.read(pathlib.Path(folder) / "run/metrics.jsonl")[-1]
  return {
    k.removeprefix("dev/"): v for k, v in last.items() if k.startswith("dev/")
  }, last["seconds"]


def theirs(a, task, seed) -> tuple[dict, float]:
  torch.manual_seed(seed)
  tokenizer = transformers.AutoTokenizer.from_pretrained(a.model)
  model = transformers.AutoModelForSequenceClassification.from_pretrained(
    a.model,
    num_labels=2,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
  )
  decayed = [p for p in model.parameters() if p.ndim > 1]
  others = [p for p in model.parameters() if p.ndim < 2]
  optimizer = torch.optim.AdamW(
    [
      {"params": decayed, "weight_decay": 1e-6},
      {"params": others, "weight_decay": 0.0},
    ],
    lr=a.rate,
    betas=(0.9, 0.98),
    eps=1e-6,
  )
  schedule = transformers.get_linear_schedule_with_warmup(
    optimizer, round(0.06 * a.steps), a.steps
  )

  def encode(rows):
    texts = [[t for t in (r["query"], r["document"]) if t] for r in rows]
    return tokenizer(
      *map(list, zip(*texts)),
      truncation=True,
      max_length=128,
      padding=True,
      return_tensors="pt",
    )

  read = lambda part: dataset.open_split(f"{a.data}/{task}/{part}", "train")
  rows, dev = read("train"), read("dev")
  order = np.random.default_rng(seed)
  queue: list[int] = []
  began = time.monotonic()
  for _ in range(a.steps):
    if len(queue) < BATCH:
      queue = order.permutation(len(rows)).tolist()
    batch = [rows[queue.pop()] for _ in range(BATCH)]
    wanted = torch.tensor([int(r["labels"][0]) for r in batch])
    model(**encode(batch), labels=wanted).loss.backward()
    optimizer.step()
    schedule.step()
    optimizer.zero_grad()
  seconds = time.monotonic() - began
  found = []
  with torch.no_grad():
    for start in range(0, len(dev), BATCH):
      batch = [dev[i] for i in range(start, min(start + BATCH, len(dev)))]
      found += model(**encode(batch)).logits.argmax(1).tolist()
  expected = np.array(
    [r["labels"][0] for r in map(dev.__getitem__, range(len(dev)))]
  )
  names = {"cola": ("matthews", "accuracy"), "sst2": ("accuracy",)}.get(
    task, ("accuracy", "f1")
  )
  return {n: labels.METRICS[n](expected, np.array(found)) for n in names}, (
    seconds
  )


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--model", required=True)
  parser.add_argument("--data", required=True)
  parser.add_argument("--tasks", default="cola,sst2,mrpc")
  parser.add_argument("--steps", type=int, default=300)
  parser.add_argument("--rate", type=float, default=1e-4)
  parser.add_argument("--seeds", default="42,19,17")
  a = parser.parse_args()
  transformers.logging.set_verbosity_error()
  for task in a.tasks.split(","):
    for name, side in (("nomic_jax", ours), ("PyTorch", theirs)):
      runs = [side(a, task, int(seed)) for seed in a.seeds.split(",")]
      shown = "  ".join(
        f"{m} {statistics.median(s[m] for s, _ in runs):.3f} "
        f"({min(s[m] for s, _ in runs):.3f}-"
        f"{max(s[m] for s, _ in runs):.3f})"
        for m in runs[0][0]
      )
      seconds = statistics.median(s for _, s in runs)
      print(f"{task:5} {name:10} {shown}  {seconds:.1f} s", flush=True)


if __name__ == "__main__":
  main()
