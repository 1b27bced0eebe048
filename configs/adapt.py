# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
r"""Adapting a trained embedding model to your own pairs.

nomic-jax train --config=configs/adapt.py --workdir=runs/mine/work \
  --config.init_from=MODEL --config.data.path=runs/mine/data

`nomic-jax adapt` runs this with sizes chosen from the data, and also prepares,
compares and exports. Prompts, pooling and projection are the model's. The
learning rate is for trained weights: more than 1e-4 harms them.
"""

import common
import ml_collections


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
  """`arg` is paper (default), quickstart or miniature: sizes of batches."""
  size = common.size_of(arg)
  c = common.base(size)
  common.pairs(c)
  c.epochs = 1.0
  c.log_every = 10
  c.compute.dtype = "auto"
  c.data.batch_size, c.data.row_length, c.data.slots = 64, 256, 32
  c.data.rows_multiple = 8
  c.data.query_length, c.data.document_length = 64, 256
  c.data.one_source = False
  c.loss.temperature = 0.05  # as sentence-transformers trains most models
  c.loss.chunk_tokens = 16_384
  c.optimizer.learning_rate = 2e-5
  c.optimizer.schedule = "linear"
  c.optimizer.warmup = "10%"
  c.checkpoint.keep = 1
  if size == "miniature":
    c.log_every = 1
    c.data.batch_size, c.data.row_length, c.data.slots = 8, 64, 8
    c.data.query_length, c.data.document_length = 24, 64
  return c


def sweep(add) -> None:
  """Adds combinations of learning rate and temperature."""
  for rate in (1e-5, 2e-5, 5e-5):
    for temperature in (0.02, 0.05):
      add(**{"optimizer.learning_rate": rate, "loss.temperature": temperature})
