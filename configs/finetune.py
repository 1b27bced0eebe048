# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
r"""Contrastive fine-tuning with mined hard negatives (section 4.3).

nomic-jax train --config=configs/finetune.py --workdir=runs/finetune \
  --config.init_from=runs/contrastive --config.data.path=data/mined

On two CPU cores: --config=configs/finetune.py:quickstart
"""

import common
import ml_collections


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
  """`arg` is paper (default), quickstart or miniature."""
  size = common.size_of(arg)
  c = common.base(size)
  common.pairs(c)
  c.steps = 6_612  # one epoch of 1,692,672 rows
  c.data.batch_size, c.data.row_length, c.data.slots = 256, 512, 64
  c.data.query_length = c.data.document_length = 512
  c.data.rows_multiple = 64
  c.data.negatives = 7
  c.optimizer.learning_rate = 2e-5
  c.optimizer.schedule = "linear"
  c.optimizer.warmup = "400 steps"
  if size == "paper":
    c.compute.unroll = c.encoder.layers  # see contrastive.py
  if size == "quickstart":
    c.steps = 80
    c.data.batch_size, c.data.row_length, c.data.slots = 96, 64, 8
    c.data.rows_multiple = 16
    c.data.query_length, c.data.document_length = 24, 64
    c.data.negatives = 2
    c.data.token_dropout = 0.1
    c.loss.temperature = 0.05
    c.optimizer.learning_rate = 5e-4
    c.optimizer.warmup = "10 steps"
    c.checkpoint.every = 40
  elif size == "miniature":
    c.steps = 4
    c.log_every = 1
    c.data.batch_size, c.data.row_length, c.data.slots = 8, 64, 8
    c.data.rows_multiple = 8
    c.data.query_length, c.data.document_length = 24, 64
    c.data.negatives = 2
    c.optimizer.learning_rate = 1e-3
    c.optimizer.warmup = "1 steps"
    c.checkpoint.every = 2
  return c


def sweep(add) -> None:
  """How many negatives, and how fast."""
  for negatives in (1, 3, 7):
    for rate in (1e-5, 2e-5, 4e-5):
      add(**{"data.negatives": negatives, "optimizer.learning_rate": rate})
