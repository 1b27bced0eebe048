# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
r"""A small model that learns a larger one's vectors of pairs.

nomic-jax teach --model=TEACHER --input=data/pairs --output=runs/teacher
nomic-jax train --config=configs/distill.py --workdir=runs/student \
  --config.data.path=data/pairs --config.data.teacher=runs/teacher

`encoder.projection` is the teacher's width. loss.kind=kd compares
similarities alone and does without.
"""

import common
import ml_collections


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
  """`arg` is paper (default), quickstart or miniature."""
  size = common.size_of(arg)
  c = common.base(size)
  common.pairs(c)
  c.steps = 6_612
  c.encoder.projection = 768
  c.data.batch_size, c.data.row_length = 256, 512
  c.data.query_length = c.data.document_length = 512
  c.data.rows_multiple = 64
  c.data.teacher = ""  # a folder made by nomic-jax teach
  c.loss = ml_collections.ConfigDict(
      dict(name="distill", kind="relational", temperature=1.0,
           chunk_tokens=16_384)
  )
  c.optimizer.learning_rate = 2e-4
  c.optimizer.schedule = "linear"
  c.optimizer.warmup = "400 steps"
  if size != "paper":
    c.steps = 80
    c.data.batch_size, c.data.row_length, c.data.slots = 96, 64, 8
    c.data.rows_multiple = 16
    c.data.query_length, c.data.document_length = 24, 64
    c.optimizer.learning_rate = 1e-3
    c.optimizer.warmup = "10 steps"
  if size == "miniature":
    c.steps = 4
    c.log_every = 1
    c.data.batch_size, c.data.rows_multiple = 16, 8
    c.optimizer.warmup = "1 steps"
    c.checkpoint.every = 2
  return c


def sweep(add) -> None:
  """The four losses."""
  for kind in ("relational", "mse", "kd", "towers"):
    add(**{"loss.kind": kind})
