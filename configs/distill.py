# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
r"""Training a small model to reproduce a larger one's vectors.

nomic-jax teach --model=TEACHER --input=data/pairs --output=runs/teacher
nomic-jax train --config=configs/distill.py --workdir=runs/student \
  --config.data.path=data/pairs --config.data.teacher=runs/teacher

By default, a student whose width differs from the teacher's gets a projection
to the teacher's width (`encoder.projection`). loss.kind=kd compares only
similarities and needs none; `encoder.projection=0` leaves it out.

:kd and :mse are contrastors' two recipes (distill.yaml and
contrastive_finetune_distill.yaml): its student, which pools the first token and
starts from every second layer of --config.init_from=TEACHER, and its loss. The
teacher of kd is Snowflake's arctic-embed-m-v1.5, which has a prompt only for
queries; that of mse is nomic-embed-text-v2-moe, whose experts are not supported
here, so use another. A size may follow, as in :kd,miniature.
"""

import common
import ml_collections


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
  """`arg` is paper (default), quickstart or miniature; kd or mse."""
  size, variant = common.size_and_variant(arg, ("kd", "mse"))
  c = common.base(size)
  common.pairs(c)
  c.steps = 6_612
  c.data.batch_size, c.data.row_length = 256, 512
  c.data.query_length = c.data.document_length = 512
  c.data.rows_multiple = 64
  c.data.teacher = ""  # a folder made by nomic-jax teach
  c.loss = ml_collections.ConfigDict(
    dict(
      name="distill", kind="relational", temperature=1.0, chunk_tokens=16_384
    )
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
  if variant:
    c.loss.kind = variant
    c.loss.temperature = {"kd": 0.2, "mse": 1.0}[variant]
    c.encoder.pooling = "cls"
    # Every second layer of the teacher, which init_from names.
    c.init_as = "selection"
    c.encoder.layers //= 2
  if variant == "kd":
    c.encoder.projection = 0
    c.data.query_prompt = (
      "Represent this sentence for searching relevant passages: "
    )
    c.data.document_prompt = ""
  elif variant == "mse" and size == "paper":
    c.steps = 4_022  # one epoch of 1,029,632 rows, v2's fine-tuning set
    c.optimizer.warmup = "100 steps"
  return c


def sweep(add) -> None:
  """Adds the four losses."""
  for kind in ("relational", "mse", "kd", "towers"):
    add(**{"loss.kind": kind})
