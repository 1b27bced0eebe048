# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Batches of texts, or pairs of texts, with labels, in packed rows (Grain)."""

from collections.abc import Iterator
from collections.abc import Sequence
import functools

import grain
import ml_collections
import numpy as np
import tokenizers

from nomic_jax.data import hosts as hosts_lib
from nomic_jax.data.pack import pack
from nomic_jax.data.records import Row
from nomic_jax.data.records import Rows
from nomic_jax.data.records import rows_of
from nomic_jax.errors import UserError
from nomic_jax.text import special_tokens
from nomic_jax.text.shorten import shorten

_TOGETHER = 1024  # rows read at once


def batches(
  source: Rows | Sequence[Row],
  tokenizer: tokenizers.Tokenizer,
  config: ml_collections.ConfigDict,
  seed: int,
  host: int,
  hosts: int,
) -> grain.IterDataset:
  """Endless batches for `losses.classification`, for one host's devices.

  A row in which both query and document have text is a pair; the tokenizer may
  give the second text another type (`types`; BERT's tokenizers do). Each epoch
  has its own order, a function of (seed, epoch), which is divided into global
  batches; each host takes its share of a batch.

  Args:
    source: rows with query, document and labels.
    tokenizer: adds the special tokens itself.
    config: batch_size (rows, all hosts), row_length, slots (texts per row),
      rows_multiple (the number of packed rows is rounded up to a multiple of
      it), text_length (tokens, special ones included; longer texts are
      truncated at the end, and of a pair the longer text first, token by
      token), labels (the maximum number of labels of a text), classes (labels
      are 0 to classes - 1; 0: any numbers).
    seed: the seed of the order.
    host: index of this host.
    hosts: number of hosts.

  Returns:
    A dataset of dicts of arrays with a leading micro-batch axis of 1.

  Raises:
    UserError: if the data is tokenised, the batch size exceeds the data or
      does not divide evenly over hosts, or a label is out of range, naming the
      row.
  """
  if config.get("tokenised"):
    raise UserError(
      "config.data.tokenised: rows with labels are read as texts, since pairs "
      "are tokenised together; set it to false"
    )
  source, size = rows_of(source), config.batch_size
  fill = special_tokens.of(tokenizer).fill
  tokenizer = _truncating(tokenizer, config)
  hosts_lib.check(config, hosts)
  if size > len(source):
    raise UserError(
      f"config.data.batch_size: {size} is more than the {len(source)} rows "
      "of the data"
    )
  _check_labels(source, config)
  order_of = functools.lru_cache(2)(
    lambda epoch: np.random.default_rng((seed, epoch)).permutation(len(source))
  )

  def load(number: int) -> dict:
    epoch, at = divmod(int(number), len(source) // size)
    order = order_of(epoch)[at * size : (at + 1) * size]
    batch = _collate(
      source.__getitems__(order.tolist()), tokenizer, config, fill
    )
    return hosts_lib.share(batch, host, hosts)

  return hosts_lib.stream(load)


def one_pass(
  source: Rows | Sequence[Row],
  tokenizer: tokenizers.Tokenizer,
  config: ml_collections.ConfigDict,
  host: int,
  hosts: int,
) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray]]:
  """Yields all rows once, in order; the last batch is padded.

  Padding rows have no labels. Yields a host's share of each batch, and the
  labels [N, config.labels] of the whole batch. For arguments, see `batches`.
  """
  fill = special_tokens.of(tokenizer).fill
  tokenizer = _truncating(tokenizer, config)
  hosts_lib.check(config, hosts)
  for start in range(0, len(source), config.batch_size):
    stop = min(start + config.batch_size, len(source))
    rows = [source[i] for i in range(start, stop)]
    rows += [{**rows[-1], "labels": []}] * (config.batch_size - len(rows))
    batch = _collate(rows, tokenizer, config, fill)
    yield hosts_lib.share(batch, host, hosts), batch["labels"]


def _check_labels(source: Rows, config: ml_collections.ConfigDict) -> None:
  """Checks the labels of all rows, so that training does not fail later."""
  for start in range(0, len(source), _TOGETHER):
    for row in source.__getitems__(
      range(start, min(start + _TOGETHER, len(source)))
    ):
      _labels(row, config)


def _truncating(
  tokenizer: tokenizers.Tokenizer, config: ml_collections.ConfigDict
) -> tokenizers.Tokenizer:
  """Returns a copy that truncates to `text_length`, the longer of a pair first.

  So neither text of a pair is lost entirely. transformers' tokenizers do the
  same with `truncation=True`, as does contrastors for GLUE.

  Raises:
    UserError: if there is no room for a token of either text.
  """
  least = tokenizer.num_special_tokens_to_add(True) + 2
  if config.text_length < least:
    raise UserError(
      f"config.data.text_length: {config.text_length} tokens cannot hold a "
      f"pair of texts; expected {least} or more"
    )
  copy = tokenizers.Tokenizer.from_str(tokenizer.to_str())
  copy.enable_truncation(config.text_length, strategy="longest_first")
  return copy


def _collate(
  rows: list[Row],
  tokenizer: tokenizers.Tokenizer,
  config: ml_collections.ConfigDict,
  fill: int,
) -> dict[str, np.ndarray]:
  """Collates the texts and labels of rows into arrays; see `batches`."""
  texts = [tuple(filter(None, (r["query"], r["document"]))) for r in rows]
  texts = [pair if len(pair) == 2 else pair[0] for pair in texts]
  # Which text of a pair is truncated depends on both lengths.
  texts = [
    t
    if isinstance(t, tuple)
    else shorten(tokenizer, [t], config.text_length)[0]
    for t in texts
  ]
  encoded = tokenizer.encode_batch_fast(texts)
  pack_rows = functools.partial(
    pack,
    row_length=config.row_length,
    slots=config.slots,
    rows_multiple=config.rows_multiple,
  )
  packed = pack_rows([e.ids for e in encoded], pad_id=fill)
  types = pack_rows([e.type_ids for e in encoded])  # at the same positions
  content = np.zeros(len(packed.ids) * config.slots, np.int32)
  content[packed.slot_of] = 1
  return {
    "ids": packed.ids,
    "segment_ids": packed.segment_ids,
    "positions": packed.positions,
    "types": types.ids,
    "content": content.reshape(-1, config.slots),
    "text": packed.slot_of,
    "labels": np.stack([_labels(row, config) for row in rows]),
  }


def _labels(row: Row, config: ml_collections.ConfigDict) -> np.ndarray:
  """Returns the labels of a row, padded with NaN.

  Raises:
    UserError: for too many labels, or labels not finite or out of range.
  """
  labels, classes = row["labels"], config.classes
  where = row["location"] or f"the row {row['query'] or row['document']!r:.40}"
  if len(labels) > config.labels:
    raise UserError(
      f"{where}: {len(labels)} labels, more than config.data.labels="
      f"{config.labels}; raise that or correct the row"
    )
  if not np.isfinite(labels).all():
    raise UserError(f"{where}: a label is not finite; expected numbers")
  wrong = [x for x in labels if classes and x not in range(classes)]
  if wrong:
    raise UserError(
      f"{where}: label {wrong[0]:g}; expected a whole number from 0 to "
      f"{classes - 1} (config.data.classes={classes}); correct the row or "
      "raise config.data.classes and config.loss.labels"
    )
  return np.pad(
    np.array(labels, np.float32),
    (0, config.labels - len(labels)),
    constant_values=np.nan,
  )
