# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
r"""Classification or regression of texts and pairs, as in GLUE (section 5.1).

nomic-jax train --config=configs/classify.py --workdir=runs/classify \
  --config.init_from=runs/mlm --config.data.path=data/rte

Rows of the .jsonl for nomic-jax prepare have a document, also a query if they
are pairs, and a label, which is the number of a class from 0, as in
{"document": "...", "label": 1}, or its name. Rows with several labels have a
list: "labels": ["red", "wet"]. What prepare found (classes or numbers, one per
text or several) determines loss.kind (single, multi or regression),
data.classes, data.labels and loss.labels, unless they are set. nomic-jax
classify predicts with the trained model, and nomic-jax evaluate scores it.
"""

import common
import ml_collections
from ml_collections.config_dict import placeholder


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
  """`arg` is paper (default), quickstart or miniature."""
  size = common.size_of(arg)
  c = common.base(size)
  common.labels(c)
  # None: determined by the data.
  c.data.labels = placeholder(int)
  c.data.classes = placeholder(int)
  c.loss.labels = placeholder(int)
  c.loss.kind = placeholder(str)
  c.steps = 1_560  # ten epochs of 2,490 rows
  if size != "paper":
    c.data.row_length = c.data.text_length = 64
    c.optimizer.learning_rate = 5e-4
  if size == "miniature":
    c.steps = 4
    c.log_every = 1
    c.optimizer.warmup = "1 steps"
    c.checkpoint.every = 2
  return c


def sweep(add) -> None:
  """Adds learning rates and seeds."""
  for rate in (1e-5, 2e-5, 3e-5):
    for seed in (42, 19, 17):
      add(**{"optimizer.learning_rate": rate, "seed": seed})
