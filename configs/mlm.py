# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
r"""Masked-language-model pre-training (Nomic Embed, section 4.1).

nomic-jax train --config=configs/mlm.py --workdir=runs/mlm \
  --config.data.path=data/text

On two CPU cores: --config=configs/mlm.py:quickstart

ModernBERT (Warner et al. 2024, section 2.2 and appendix A): `:modernbert` or
`:modernbert-large`, with a tokenizer of its vocabulary, and then, with
--config.init_from=runs/mlm, `:modernbert-8192` or `:modernbert-large-8192`.
"""

import common
import ml_collections

MODERNBERT = (
  "modernbert",
  "modernbert-large",
  "modernbert-8192",
  "modernbert-large-8192",
)


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
  """`arg` is paper (default), quickstart or miniature; or of MODERNBERT."""
  size, variant = common.size_and_variant(arg, MODERNBERT)
  c = common.base(size)
  c.steps = 100_000
  c.data.kind = "text"
  c.data.batch_size = 4096  # rows, over all devices and micro-batches
  # Four rows on each of 256 chips, without recomputation. Layers are unrolled,
  # since a loop would copy the activations it saves. With fewer chips, use more
  # micro-batches.
  c.data.micro_batches = 4
  if size == "paper":
    c.compute.unroll = c.encoder.layers
  # Number of first steps over which the batch grows from one micro-batch to
  # all.
  c.data.batch_warmup = 0
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
  if variant:
    modernbert(c, variant, size)
  return c


def modernbert(c: ml_collections.ConfigDict, variant: str, size: str) -> None:
  """The paper's recipe, in steps of its batches."""
  large, long = "large" in variant, "8192" in variant
  c.encoder.family = "modernbert"
  # One base for all layers; the extension changes that of the global ones.
  c.encoder.rotary_base = 160_000.0 if long else 10_000.0
  c.compute.dropout = 0.1  # after attention's output alone
  c.optimizer.name = "stable_adamw"
  c.optimizer.weight_decay = 1e-6 if large and long else 1e-5
  if long:
    c.optimizer.schedule, c.optimizer.warmup = "wsd_sqrt", "0 steps"
    c.optimizer.learning_rate = 5e-5 if large else 3e-4
  else:
    c.optimizer.schedule = "constant"
    c.optimizer.learning_rate = 5e-4 if large else 8e-4
  if size != "paper":
    return
  c.encoder.update(
    dict(width=1024, layers=28, heads=16, mlp_width=2624)
    if large
    else dict(width=768, layers=22, heads=12, mlp_width=1152)
  )
  c.compute.unroll = c.encoder.layers
  # The logits of a micro-batch fit in memory, and each further chunk would read
  # the word embeddings and their gradient again.
  c.loss.chunks = 1
  if long:  # 300e9 tokens; the rate falls during the last 50e9
    c.data.row_length = 8192
    c.data.batch_size, c.data.micro_batches = (616, 1) if large else (576, 1)
    c.steps = 59_450 if large else 63_578
    c.optimizer.cooldown = "50e9 tokens"
  else:
    c.data.row_length = 1024
    # From 448 rows to 4,928 over 10e9 tokens, 900e9 in all; or from 768 to
    # 4,608 over 50e9, 1,719e9 in all. The rate rises over 2e9 or 3e9.
    c.data.batch_size, c.data.micro_batches = (4928, 11) if large else (4608, 6)
    c.data.batch_warmup = 4_000 if large else 21_200
    c.steps = 180_400 if large else 374_900
    c.optimizer.warmup = "1700 steps" if large else "3800 steps"


def sweep(add) -> None:
  """Adds learning rates around the paper's."""
  for rate in (2.5e-4, 5e-4, 1e-3):
    add(**{"optimizer.learning_rate": rate})
