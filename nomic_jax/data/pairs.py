# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Contrastive batches: pairs with negatives in packed rows (Grain).

A global batch is a function of (seed, number) alone. Every host makes all of
it and keeps its share of the rows. So copies of a text are found in the whole
batch, texts are packed as tightly as on a single host, and any number of hosts
gives the same arrays. benchmarks/README.md reports the cost.
"""

import collections
from collections.abc import Sequence
import functools
import os

from absl import flags
import grain
import ml_collections
import numpy as np
import tokenizers

from nomic_jax.data import hosts as hosts_lib
from nomic_jax.data import order
from nomic_jax.data import teacher
from nomic_jax.data.collate import collate
from nomic_jax.data.records import Row
from nomic_jax.data.records import Rows
from nomic_jax.data.records import rows_of
from nomic_jax.errors import UserError
from nomic_jax.text import prompts as prompts_lib
from nomic_jax.text import special_tokens
from nomic_jax.text import words

# The kinds of rows that have a query and a document.
KINDS = ("pairs", "scores", "triplets")


def batches(
  source: Rows | Sequence[Row],
  tokenizer: tokenizers.Tokenizer,
  config: ml_collections.ConfigDict,
  seed: int,
  host: int,
  hosts: int,
) -> grain.IterDataset:
  """Endless batches for `losses.info_nce.InfoNCE`, for one host's devices.

  Args:
    source: rows with query, document, negatives and source; a
      `dataset.Source` or `tokens.Source` also knows the prompts of its sources.
    tokenizer: adds the special tokens itself.
    config: kind (pairs, scores or triplets, see `collate`); batch_size (pairs,
      all hosts); one_source, source_alpha, source_weights and order (see
      `order.make`); row_length, slots (texts per row; a batch's rows may have
      another length, see `pack.row_shape`), rows_multiple (the number of packed
      rows, over all hosts, is rounded up to a multiple of it); query_length,
      document_length (tokens, special ones included; longer texts are
      truncated); token_dropout (share of tokens dropped at random, differently
      in each epoch, so that small data is memorized later); query_prompt,
      document_prompt (put in front of texts whose source has no prompts of its
      own); negatives (per query), sample_negatives (if a row has more, sample
      them in each epoch instead of taking the first); merge_copies (see
      `collate`); teacher (optional: see `teacher.load`); workers (processes; 0
      is two threads).
    seed: the seed of order and sampling.
    host: index of this host.
    hosts: number of hosts.

  Returns:
    A dataset of dicts of arrays with a leading micro-batch axis of 1; all are
    int32 except `source`, text [1, pairs], and `score`, float32.

  Raises:
    UserError: if the batch size exceeds the data or does not divide evenly over
    hosts.
  """
  source, size = rows_of(source), config.batch_size
  hosts_lib.check(config, hosts, "pairs")
  if size > len(source):
    raise UserError(
      f"config.data.batch_size: {size} is more than the {len(source)} rows "
      "of the data; the queries of a batch must be different rows"
    )
  rows = order.make(
    source.layout(),
    size,
    seed,
    one_source=config.one_source,
    alpha=config.get("source_alpha", 1.0),
    weights=config.get("source_weights", {}),
    order=config.get("order", "shuffled"),
  )
  load = _Load(source, tokenizer, config, seed, rows, (host, hosts))
  dataset = hosts_lib.stream(load)
  workers = config.get("workers", 0)
  if not workers:
    return dataset
  # Only Grain's worker processes read absl's flags, which raise an error if
  # the program has not parsed any.
  if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()
  return dataset.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers))


def one_pass(
  source: Rows | Sequence[Row],
  tokenizer: tokenizers.Tokenizer,
  config: ml_collections.ConfigDict,
  seed: int,
  host: int,
  hosts: int,
) -> grain.IterDataset:
  """Returns batches in which each row occurs once, for evaluation.

  The last batch has the remaining rows and is padded with queries of -1, which
  do not count. If there are fewer rows than a batch has, batches are smaller.
  With a teacher, whose losses count all rows, the remaining rows are dropped.

  Arguments, batches and errors are those of `batches`, but a batch may be
  larger than the data.
  """
  source = rows_of(source)
  hosts_lib.check(config, hosts, "pairs")
  multiple = config.rows_multiple
  size = min(config.batch_size, -(-len(source) // multiple) * multiple)
  if config.get("teacher") and size > len(source):
    size = len(source) // multiple * multiple
    if not size:
      raise UserError(
        f"{config.path}: split '{config.split}' has {len(source)} rows, "
        f"fewer than config.data.rows_multiple={multiple}; lower that"
      )
  rows = order.Once(source.layout(), size, seed, config.one_source)
  load = _Load(source, tokenizer, config, seed, rows, (host, hosts))
  count = len(source) // size if config.get("teacher") else len(rows)
  return hosts_lib.stream(functools.partial(load, size=size), count)


_FEW_CORES = 4


class _Load:
  """Makes batch `number`; can be pickled and sent to another process."""

  def __init__(self, source, tokenizer, config, seed, rows, host_and_count):
    # In a single process with many cores, the library's threads are many times
    # faster; with one core per process, caching words is faster.
    if config.get("workers", 0) or (os.cpu_count() or 1) <= _FEW_CORES:
      tokenizer = words.cached(tokenizer)
    self._source, self._tokenizer, self._config = source, tokenizer, config
    self._special = special_tokens.of(tokenizer)
    self._seed, self._rows, self._host = seed, rows, host_and_count
    self._vectors = (
      teacher.load(config.teacher, config.split, len(source), config.path)
      if config.get("teacher")
      else {}
    )
    default = {
      side: source.encode(prompts_lib.of(config, side))
      for side in ("query", "document")
    }
    self._prompts = collections.defaultdict(
      functools.partial(dict, default), source.prompts
    )

  def __call__(self, number: int, size: int = 0) -> dict[str, np.ndarray]:
    """Returns batch `number`, padded to `size` pairs."""
    number = int(number)
    indices = self._rows.rows(number).tolist()
    rows = self._source.__getitems__(indices)
    batch = collate(
      rows,
      (self._seed, number),
      self._tokenizer,
      self._config,
      self._prompts,
      self._special,
      self._source.dtype,
    )
    for name, vectors in self._vectors.items():
      batch[name] = vectors[indices].astype(np.float32)
      bad = np.flatnonzero(~np.isfinite(batch[name]).all(1))
      if len(bad):
        raise UserError(
          f"{self._config.teacher}: {name}: the vector of row "
          f"{indices[bad[0]]} is not finite; make the teacher's vectors again"
        )
    if len(rows) < size:
      batch = _filled(batch, size)
    return hosts_lib.share(batch, *self._host)


def _filled(batch: dict[str, np.ndarray], size: int) -> dict[str, np.ndarray]:
  """Pads a batch to `size` pairs with queries and candidates of -1."""
  count = len(batch["query"])
  filled = dict(batch)
  more = size - count
  for name, absent in (
    ("query", -1),
    ("positive", 0),
    ("source", batch["source"][0]),
    ("one_source", batch["one_source"][0]),
  ):
    filled[name] = np.append(batch[name], [absent] * more).astype(
      batch[name].dtype
    )
  if "score" in batch:
    filled["score"] = np.append(batch["score"], np.zeros(more, np.float32))
  # Positives, then each query's negatives.
  for name in batch.keys() & {"candidate", "text"}:
    own, others = batch[name][:count], batch[name][count:]
    filled[name] = np.concatenate(
      [
        own,
        np.full(more, -1, np.int32),
        others,
        np.full(more * len(others) // count, -1, np.int32),
      ]
    )
  return filled
