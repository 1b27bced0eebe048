# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Shapes of global batches, computed without data."""

import ml_collections
import numpy as np

from nomic_jax.errors import UserError

Shapes = dict[str, tuple[int, ...]]


def of(config: ml_collections.ConfigDict) -> Shapes:
  """Returns the shapes of the int32 arrays of a global batch.

  Pairs are assumed to be of full length, which gives the largest number of
  rows that a batch can have.

  Args:
    config: the group config.data.

  Raises:
    UserError: for a kind of data whose shapes depend on the data.
  """
  if config.kind not in ("text", "pairs") or config.get("teacher"):
    raise UserError(
      "config.data: shapes of batches are known without data only for text and "
      "for pairs without a teacher; compile one of those"
    )
  return _text(config) if config.kind == "text" else _pairs(config)


def _text(config: ml_collections.ConfigDict) -> Shapes:
  micro = config.micro_batches
  rows = (micro, config.batch_size // micro)
  places = int(np.ceil(config.mask_rate * config.row_length))
  tokens = (*rows, config.row_length)
  return {
    "ids": tokens,
    "segment_ids": tokens,
    "positions": tokens,
    "masked": (*rows, places),
    "labels": (*rows, places),
  }


def _pairs(config: ml_collections.ConfigDict) -> Shapes:
  queries = config.batch_size
  candidates = queries * (1 + config.negatives)
  rows = sum(
    -(-texts // min(config.row_length // length, config.slots))
    for texts, length in (
      (queries, config.query_length),
      (candidates, config.document_length),
    )
  )
  rows = -(-rows // config.rows_multiple) * config.rows_multiple
  tokens = (1, rows, config.row_length)
  return {
    "ids": tokens,
    "segment_ids": tokens,
    "positions": tokens,
    "content": (1, rows, config.slots),
    "query": (1, queries),
    "candidate": (1, candidates),
    "positive": (1, queries),
    "one_source": (1, queries),
  }
