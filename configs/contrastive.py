# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
r"""Contrastive pre-training on weakly related pairs (section 4.2).

nomic-jax train --config=configs/contrastive.py --workdir=runs/contrastive \
  --config.init_from=runs/mlm --config.data.path=data/pairs

On two CPU cores: --config=configs/contrastive.py:quickstart
"""

import common
import ml_collections


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
  """`arg` is paper (default), quickstart or miniature."""
  size = common.size_of(arg)
  c = common.base(size)
  common.pairs(c)
  # One epoch of 234,553,344 pairs, as launch/paper.sh prepares them.
  c.steps = 14_316
  c.optimizer.learning_rate = 2e-4
  c.optimizer.schedule = "inverse_sqrt"
  c.optimizer.warmup = "700 steps"
  if size == "paper":
    # Unrolled, since a loop over layers would copy the activations it saves.
    c.compute.unroll = c.encoder.layers
    # As in v1's files: texts of up to 8,192 tokens, by dynamic NTK scaling.
    c.encoder.max_length, c.encoder.rotary_factor = 8192, 2.0
  if size == "quickstart":
    c.steps = 240
    c.data.batch_size, c.data.row_length, c.data.slots = 192, 64, 8
    c.data.rows_multiple = 16
    c.data.query_length, c.data.document_length = 24, 64
    c.data.one_source = False
    c.data.token_dropout = 0.1
    c.loss.bidirectional = True
    c.loss.temperature = 0.05  # 0.02 memorizes small data
    c.optimizer.learning_rate = 3e-3
    c.optimizer.schedule = "cosine"
    c.optimizer.warmup = "20 steps"
    c.checkpoint.every = 60
  elif size == "miniature":
    c.steps = 6
    c.log_every = 1
    c.data.batch_size, c.data.row_length, c.data.slots = 16, 64, 8
    c.data.rows_multiple = 8
    c.data.query_length, c.data.document_length = 24, 64
    c.loss.chunk_tokens = 64
    c.optimizer.learning_rate = 1e-3
    c.optimizer.warmup = "2 steps"
    c.checkpoint.every = 3
  return c


def sweep(add) -> None:
  """Adds combinations of temperature and learning rate."""
  for temperature in (0.01, 0.02, 0.05):
    for rate in (1e-4, 2e-4, 4e-4):
      add(**{"loss.temperature": temperature, "optimizer.learning_rate": rate})
