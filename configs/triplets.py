# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
r"""Fine-tuning a model on triplets by the triplet loss.

nomic-jax prepare --source=triplets.csv --output=data/triplets
nomic-jax train --config=configs/triplets.py --workdir=runs/triplets \
  --config.init_from=MODEL --config.data.path=data/triplets

The loss is computed for each (query, positive, negative) separately. InfoNCE
(configs/finetune.py) also uses the other rows of a batch as negatives, which is
better if other rows are true negatives; the triplet loss is for data where they
may not be.
"""

import common
import ml_collections


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
  """`arg` is paper (default), quickstart or miniature."""
  size = common.size_of(arg)
  c = common.base(size)
  common.pairs(c)
  c.data.kind = "triplets"
  c.data.negatives = 1
  c.data.one_source = False
  c.steps = 400
  c.data.batch_size, c.data.row_length, c.data.slots = 32, 512, 64
  c.data.query_length = c.data.document_length = 256
  c.data.rows_multiple = 8
  c.loss = ml_collections.ConfigDict(
    # The other distances have a default margin of 5.
    dict(name="triplet", distance="cosine", margin=0.3, chunk_tokens=16_384)
  )
  c.optimizer.learning_rate = 2e-5
  c.optimizer.schedule = "linear"
  c.optimizer.warmup = "10%"
  c.evaluators.eval.every = 100
  if size != "paper":
    c.data.row_length = 128
    c.data.query_length = c.data.document_length = 64
  if size == "miniature":
    c.steps = 4
    c.log_every = 1
    c.data.batch_size, c.data.slots = 8, 8
    c.optimizer.learning_rate = 1e-3
    c.optimizer.warmup = "1 steps"
    c.evaluators.eval.every = 2
    c.checkpoint.every = 2
  return c


def sweep(add) -> None:
  """Adds combinations of margin and learning rate."""
  for margin in (0.1, 0.3, 0.5):
    for rate in (1e-5, 2e-5, 4e-5):
      add(**{"loss.margin": margin, "optimizer.learning_rate": rate})
