# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
r"""Fine-tuning a model on pairs with similarity scores.

nomic-jax prepare --source=sts.csv --output=data/sts
nomic-jax train --config=configs/scores.py --workdir=runs/sts \
  --config.init_from=MODEL --config.data.path=data/sts

:angle uses AnglE instead of CoSENT; a size may follow: :angle,quickstart. Both
compare the pairs of a batch with each other, so larger batches are better.
Held-out pairs are scored at the start, every `evaluators.scores.every` steps
and at the end.
"""

import common
import ml_collections
from ml_collections.config_dict import placeholder


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
  """`arg` is paper (default), quickstart or miniature; angle."""
  size, variant = common.size_and_variant(arg, ("angle",))
  c = common.base(size)
  common.pairs(c)
  c.data.kind = "scores"
  c.data.one_source = False
  c.steps = 360  # two epochs of 5,749 pairs
  c.data.batch_size, c.data.row_length, c.data.slots = 32, 512, 64
  c.data.query_length = c.data.document_length = 128
  c.data.rows_multiple = 8
  c.loss = ml_collections.ConfigDict(
    dict(
      name=variant or "cosent",
      scale=20.0,
      chunk_tokens=16_384,
      matryoshka_dims=(),
      matryoshka_weights=(),
    )
  )
  c.optimizer.learning_rate = 2e-5
  c.optimizer.schedule = "linear"
  c.optimizer.warmup = "10%"
  c.evaluators.scores = ml_collections.ConfigDict(
    dict(kind="scores", every=60, tasks="", data="")
  )
  for name in ("query_length", "document_length"):
    c.evaluators.scores[name] = placeholder(int)
  for name in ("query_prompt", "document_prompt"):
    c.evaluators.scores[name] = placeholder(str)
  c.checkpoint.best = "scores/spearman"
  if size != "paper":
    c.data.row_length = 128
    c.data.query_length = c.data.document_length = 64
  if size == "miniature":
    c.steps = 4
    c.log_every = 1
    c.data.batch_size, c.data.slots = 8, 8
    c.optimizer.learning_rate = 1e-3
    c.optimizer.warmup = "1 steps"
    c.evaluators.scores.every = 2
    c.checkpoint.every = 2
  return c


def sweep(add) -> None:
  """Adds combinations of loss and learning rate."""
  for name in ("cosent", "angle"):
    for rate in (1e-5, 2e-5, 4e-5):
      add(**{"loss.name": name, "optimizer.learning_rate": rate})
