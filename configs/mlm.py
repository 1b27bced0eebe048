# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
r"""Masked-language-model pre-training (Nomic Embed, section 4.1).

nomic-jax train --config=configs/mlm.py --workdir=runs/mlm \
  --config.data.path=data/text

On two CPU cores: --config=configs/mlm.py:quickstart
"""

import common
import ml_collections


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
  """`arg` is paper (default), quickstart or miniature."""
  size = common.size_of(arg)
  c = common.base(size)
  c.steps = 100_000
  c.data.kind = "text"
  c.data.batch_size = 4096  # rows, over all devices and micro-batches
  # Four rows on each of 256 chips, without recomputation. A loop over layers
  # would copy what it keeps. With fewer chips, use more micro-batches.
  c.data.micro_batches = 4
  if size == "paper":
    c.compute.unroll = c.encoder.layers
  c.data.row_length = 2048
  c.data.mask_rate = 0.3
  c.evaluators.eval.data.mask_rate = 0.15
  # exact: that share of each row; independent: that probability per token.
  c.data.mask_draw = "exact"
  # Tokens attend within their document; False: within their row.
  c.data.document_boundaries = True
  c.loss = ml_collections.ConfigDict(dict(name="mlm", chunks=8))
  c.optimizer.learning_rate = 5e-4
  c.optimizer.schedule = "linear"
  c.optimizer.warmup = "6%"
  c.optimizer.b2 = 0.98
  c.optimizer.eps = 1e-6
  c.optimizer.weight_decay = 1e-5
  c.optimizer.clip_norm = 0.0
  if size == "quickstart":
    c.steps = 60
    c.data.batch_size, c.data.micro_batches, c.data.row_length = 128, 1, 64
    c.optimizer.learning_rate = 1e-3
    c.optimizer.warmup = "10 steps"
    c.optimizer.clip_norm = 1.0
    c.loss.chunks = 1
    c.checkpoint.every = 20
  elif size == "miniature":
    c.steps = 6
    c.log_every = 1
    c.data.batch_size, c.data.micro_batches, c.data.row_length = 16, 2, 64
    c.optimizer.learning_rate = 1e-3
    c.optimizer.warmup = "2 steps"
    c.loss.chunks = 2
    c.checkpoint.every = 3
  return c


def sweep(add) -> None:
  """Adds learning rates around the paper's."""
  for rate in (2.5e-4, 5e-4, 1e-3):
    add(**{"optimizer.learning_rate": rate})
