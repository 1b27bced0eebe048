# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
r"""Contrastive fine-tuning with mined hard negatives (section 4.3).

nomic-jax train --config=configs/finetune.py --workdir=runs/finetune \
  --config.init_from=runs/contrastive --config.data.path=data/mined

On two CPU cores: --config=configs/finetune.py:quickstart

:v1.5 is the recipe of nomic-embed-text-v1.5 (five Matryoshka dimensions, and a
LayerNorm of the pooled vector before it is truncated), :ablated that of
v1-ablated, on the mixture of that name. A size may follow, as in
:v1.5,miniature.
"""

import common
import ml_collections


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
  """`arg` is paper (default), quickstart or miniature; v1.5 or ablated."""
  size, variant = common.size_and_variant(arg, ("v1.5", "ablated"))
  c = common.base(size)
  common.pairs(c)
  c.steps = 6_612  # one epoch of 1,692,672 rows, by launch/paper.sh
  c.data.batch_size, c.data.row_length, c.data.slots = 256, 512, 64
  c.data.query_length = c.data.document_length = 512
  c.data.rows_multiple = 64
  c.data.negatives = 7
  c.optimizer.learning_rate = 2e-5
  c.optimizer.schedule = "linear"
  c.optimizer.warmup = "400 steps"
  if size == "paper":
    c.compute.unroll = c.encoder.layers  # see contrastive.py
    c.encoder.max_length, c.encoder.rotary_factor = 8192, 2.0
  if size == "quickstart":
    c.steps = 40
    c.data.batch_size, c.data.row_length, c.data.slots = 96, 64, 8
    c.data.rows_multiple = 16
    c.data.query_length, c.data.document_length = 24, 64
    c.data.negatives = 2
    c.data.token_dropout = 0.1
    c.loss.temperature = 0.05
    c.optimizer.learning_rate = 5e-4
    c.optimizer.warmup = "10 steps"
    c.checkpoint.every = 20
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
  if variant == "v1.5":
    c.encoder.pooled_norm = True
    if size == "paper":
      c.encoder.rotary_factor = 0.0  # as in its files, unlike v1's
    width = c.encoder.width
    c.loss.matryoshka_dims = (
      tuple(d for d in (64, 128, 256, 512, 768) if d <= width)
      if size == "paper"
      else (width // 4, width // 2, width)
    )
  elif variant == "ablated" and size == "paper":
    c.steps = 4_119  # one epoch of 1,054,464 rows
  return c


def sweep(add) -> None:
  """Adds combinations of negatives per query and learning rate."""
  for negatives in (1, 3, 7):
    for rate in (1e-5, 2e-5, 4e-5):
      add(**{"data.negatives": negatives, "optimizer.learning_rate": rate})
