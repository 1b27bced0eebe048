# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Reports how much of its texts a training run reads."""

import ml_collections
import tokenizers

from nomic_jax.data import dataset
from nomic_jax.data import statistics
from nomic_jax.errors import UserError
from nomic_jax.text import prompts as prompts_lib
from nomic_jax.text.shorten import shorten

_LOOKED_AT = 500  # rows inspected


def fit(data: ml_collections.ConfigDict) -> str:
  """Raises `row_length` to the largest length limit of a text if it is smaller.

  Args:
    data: config.data, which is changed.

  Returns:
    A line that reports the change; "" if there is none.
  """
  names = [n for n in _lengths(data) if n != "row_length"]
  longest = max((data[n] for n in names), default=0)
  if not names or data.row_length >= longest:
    return ""
  before = data.row_length
  with data.unlocked():
    data.row_length = longest
  why = next(n for n in names if data[n] == longest)
  return (
    f"config.data.row_length: raised from {before} to {longest}, since "
    f"config.data.{why} is {longest}"
  )


def truncated(
  data: ml_collections.ConfigDict, tokenizer: tokenizers.Tokenizer
) -> str:
  """Returns a line with the fraction of texts truncated, from the first rows.

  Args:
    data: config.data with resolved prompts.
    tokenizer: the tokenizer of the model.

  Returns:
    The line; "" if no text is truncated, or text is packed across rows.
  """
  sides = {
    "query_length": "query",
    "document_length": "document",
    "text_length": "document",
  }
  names = [name for name in _lengths(data) if name in sides]
  if not names:
    return ""
  source = dataset.open_split(data.path, data.split, first=_LOOKED_AT)
  rows = source.__getitems__(range(min(len(source), _LOOKED_AT)))
  parts = []
  for name in names:
    side, limit = sides[name], data[name]
    front = "" if name == "text_length" else prompts_lib.of(data, side)
    texts = [front + row[side] for row in rows if row[side]]
    encoded = tokenizer.encode_batch_fast(shorten(tokenizer, texts, limit + 1))
    lengths = [len(e.ids) for e in encoded]
    share = sum(n > limit for n in lengths) / max(len(lengths), 1)
    if share:
      what = {"query": "queries", "document": "documents"}[side]
      if name == "text_length":
        what = "texts"
      parts.append(f"{share:.1%} of the {what}, at {limit} tokens ({name})")
  if not parts:
    return ""
  return (
    f"truncated: {', '.join(parts)}; raise config.data.{names[-1]} to keep more"
  )


def unknown(
  data: ml_collections.ConfigDict, tokenizer: tokenizers.Tokenizer
) -> str:
  """Returns a warning if many tokens of the first rows are unknown.

  Returns:
    The warning; "" if `prepare` would accept the share of unknown tokens.
  """
  source = dataset.open_split(data.path, data.split, True, _LOOKED_AT)
  rows = source.__getitems__(range(min(len(source), _LOOKED_AT)))
  rows = [row for row in rows if not row["ids"]]
  figures, _ = statistics.token_lengths(tokenizer, rows) if rows else ({}, {})
  try:
    statistics.check_known(figures, "")
  except UserError:
    worst = max(figures, key=lambda side: figures[side]["unk"])
    n = figures[worst]
    return (
      f"warning: for this model's tokenizer, {n['unk']:.1%} of the {worst} "
      f"tokens are [UNK], and {n['lost']:.1%} of the {worst} texts are mostly "
      "[UNK]; choose a model for these languages"
    )
  return ""


def _lengths(data: ml_collections.ConfigDict) -> list[str]:
  """Returns the names of the options that limit the tokens of a text."""
  if data.kind == "text":
    return []
  names = ("query_length", "document_length", "text_length")
  return [name for name in names if name in data]
