# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Contrastive batches: pairs, their negatives, packed rows (Grain chain)."""

import functools
import hashlib
from typing import Sequence

import grain
import ml_collections
import numpy as np
import tokenizers

from nomic_jax.data import teacher
from nomic_jax.data.pack import pack
from nomic_jax.errors import UserError


def batches(
    source: Sequence[dict], tokenizer: tokenizers.Tokenizer,
    config: ml_collections.ConfigDict, seed: int, host: int, hosts: int,
) -> grain.IterDataset:
  """Endless batches for `losses.info_nce.InfoNCE`, for one host's devices.

  The order is that of `epoch_batches`: global batches, of which a host takes
  its share, so that any number of hosts sees the same ones.

  Args:
    source: rows with query, document and negatives.
    tokenizer: adds the special tokens itself.
    config: batch_size (pairs, all hosts), one_source (batches of one source
      each), row_length, slots (texts in a row),
      rows_multiple (rows are made up to a multiple of it; with several hosts
      a host has exactly so many), query_length, document_length (tokens,
      special ones included; the rest is cut), token_dropout (share of tokens
      left out at random, others each time: small data is learnt by heart
      later), query_prompt, document_prompt
      (text put in front), negatives (per query; drawn anew each epoch if a
      row has more), teacher (optional: see `teacher.load`).
    seed: of order and drawing.
    host: which of the hosts this is.
    hosts: how many there are.

  Returns:
    A dataset of dicts of arrays with a leading micro-batch axis of 1; all are
    int32 but `source`, text [1, pairs].

  Raises:
    UserError: if the batch is larger than the data or not divisible; from
      the iterator, if a host's texts need more rows than other hosts have.
  """
  size = config.batch_size
  if size % hosts:
    raise UserError(
        f"config.data.batch_size: {size} pairs do not divide over {hosts} "
        f"hosts; try {max(size // hosts, 1) * hosts}"
    )
  if size > len(source):
    raise UserError(
        f"config.data.batch_size: {size} is more than the {len(source)} rows "
        "of the data; every query of a batch must be another one"
    )
  vectors = {}
  if config.get("teacher"):
    vectors = teacher.load(config.teacher, config.split, len(source))
  share = size // hosts
  mine = slice(host * share, (host + 1) * share)

  sources = np.zeros(len(source), np.int32)
  if config.one_source:
    names = [source[i]["source"] for i in range(len(source))]
    sources = np.unique(names, return_inverse=True)[1]
  epoch_of = functools.lru_cache(2)(
      lambda epoch: epoch_batches(sources, size, seed, epoch)
  )

  def load(number: int) -> dict:
    epoch, at = divmod(int(number), len(source) // size)
    numbers = epoch_of(epoch)[at][mine]
    rows = [source[int(i)] for i in numbers]
    # One draw for the whole global batch, so that a host's negatives do not
    # depend on how many hosts there are.
    rng = np.random.default_rng((seed, number))
    keys = rng.random((size, max(config.negatives, 1)))[mine]
    batch = _collate(
        rows, keys, (seed, number), tokenizer, config, host, hosts
    )
    return batch | {
        k: v[numbers].astype(np.float32)[None] for k, v in vectors.items()}

  return (
      grain.MapDataset.range(2**40)  # as good as endless
      .map(load)
      .to_iter_dataset(grain.ReadOptions(num_threads=2,
                                         prefetch_buffer_size=4))
  )


def epoch_batches(
    sources: np.ndarray, size: int, seed: int, epoch: int
) -> np.ndarray:
  """Rows of every batch of an epoch, a function of (seed, epoch) alone.

  Rows are shuffled, put together by source, and cut: a batch is of one source
  but where one ends and the next begins, so that its negatives are hard for
  the right reason and no source is too small to be seen. What remains at the
  end of the cut, less than a batch, is other rows in every epoch.

  Args:
    sources: int32 [rows], which source a row is of; all equal mixes freely.
    size: rows in a batch.
    seed: of the run.
    epoch: from 0.

  Returns:
    int64 [batches, size], row numbers.
  """
  rng = np.random.default_rng((seed, epoch))
  order = rng.permutation(len(sources))
  place = rng.permutation(int(sources.max()) + 1)
  order = order[np.argsort(place[sources[order]], kind="stable")]
  order = np.roll(order, rng.integers(len(order)))
  batches = order[:len(order) // size * size].reshape(-1, size)
  return rng.permutation(batches)


def _collate(
    rows: list[dict], keys: np.ndarray, draw: tuple[int, int],
    tokenizer: tokenizers.Tokenizer, config: ml_collections.ConfigDict,
    host: int, hosts: int,
) -> dict[str, np.ndarray]:
  """Texts of one host's rows to packed arrays; see `batches`."""
  queries = [config.query_prompt + r["query"] for r in rows]
  documents = [config.document_prompt + r["document"] for r in rows]
  chosen = [_choose(r["negatives"], k) for r, k in zip(rows, keys)]
  if not config.negatives:
    chosen = [[] for _ in rows]
  documents += [config.document_prompt + t for c in chosen for t in c]
  tokens = [
      ids for texts, length in (
          (queries, config.query_length), (documents, config.document_length))
      for ids in _encode(tokenizer, texts, length, config.token_dropout, draw)
  ]
  packed = pack(
      tokens, config.row_length, config.slots, config.rows_multiple,
      tokenizer.token_to_id("[PAD]"),
  )
  # Hosts do not see each other's texts, but their rows form one array.
  if hosts > 1 and len(packed.ids) != config.rows_multiple:
    raise UserError(
        f"config.data.rows_multiple: {config.rows_multiple} rows do not hold "
        f"the {len(tokens)} texts of one of {hosts} hosts, which all must have "
        f"equally many; make it {len(packed.ids)} or more, or lower "
        "config.data.batch_size"
    )

  count, wanted = len(rows), config.negatives
  # A host's slots and candidates stand behind those of the hosts before it.
  slot_of = packed.slot_of + host * packed.ids.shape[0] * config.slots
  candidate = np.full(count * (1 + wanted), -1, np.int32)
  candidate[:count] = slot_of[count:2 * count]
  at = 2 * count
  for i, texts in enumerate(chosen):
    start = count + i * wanted
    candidate[start:start + len(texts)] = slot_of[at:at + len(texts)]
    at += len(texts)
  content = np.zeros(packed.ids.shape[0] * config.slots, np.int32)
  content[packed.slot_of] = [_identity(t) for t in queries + documents]
  batch = {
      "ids": packed.ids,
      "segment_ids": packed.segment_ids,
      "positions": packed.positions,
      "content": content.reshape(-1, config.slots),
      "query": slot_of[:count],
      "candidate": candidate,
      "positive": np.arange(count, dtype=np.int32) + host * len(candidate),
      "source": np.array([r["source"] for r in rows]),
  }
  return {k: v[None] for k, v in batch.items()}


def _choose(negatives: list[str], keys: np.ndarray) -> list[str]:
  """As many negatives as there are keys, at random without repeats."""
  if len(negatives) <= len(keys):
    return list(negatives)
  rng = np.random.default_rng(int(keys[0] * 2**53))
  picked = rng.choice(len(negatives), len(keys), replace=False)
  return [negatives[i] for i in picked]


def _encode(
    tokenizer: tokenizers.Tokenizer, texts: list[str], length: int,
    dropout: float, draw: tuple[int, int],
) -> list[list[int]]:
  """Token ids, cut to `length`; the special ones at both ends are kept."""
  encoded = []
  for text, encoding in zip(texts, tokenizer.encode_batch_fast(texts)):
    ids = encoding.ids
    if dropout:
      # Of the text and the batch alone, so that every number of hosts agrees.
      rng = np.random.default_rng((*draw, _identity(text)))
      kept = rng.random(len(ids)) >= dropout
      kept[[0, -1]] = True
      ids = [i for i, keep in zip(ids, kept) if keep]
    encoded.append(
        ids if len(ids) <= length else ids[:length - 1] + ids[-1:]
    )
  return encoded


def _identity(text: str) -> int:
  """A positive int32 that is the same for equal texts on every host."""
  digest = hashlib.blake2b(text.encode(), digest_size=4).digest()
  return int.from_bytes(digest, "little") >> 1 or 1
