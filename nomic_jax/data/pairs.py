# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Contrastive batches: pairs, their negatives, packed rows (Grain chain).

A global batch is a function of (seed, number) alone. Every host makes all of
it and keeps its share of the rows: so copies of a text are found wherever
they are, texts are packed as tightly as if there were one host, and any
number of hosts gives the same arrays. What that costs is in benchmarks/.
"""

import collections
import functools
import hashlib
import os
from typing import Any, Mapping, NamedTuple, Sequence

from absl import flags
import grain
import ml_collections
import numpy as np
import tokenizers

from nomic_jax.data import order
from nomic_jax.data import sources
from nomic_jax.data import teacher
from nomic_jax.data import tokens as tokens_lib
from nomic_jax.data.pack import pack
from nomic_jax.data.pack import row_shape
from nomic_jax.errors import UserError
from nomic_jax.text import prompts as prompts_lib
from nomic_jax.text import special_tokens
from nomic_jax.text import words
from nomic_jax.text.shorten import shorten


def batches(
    source: Sequence[dict], tokenizer: tokenizers.Tokenizer,
    config: ml_collections.ConfigDict, seed: int, host: int, hosts: int,
) -> grain.IterDataset:
  """Endless batches for `losses.info_nce.InfoNCE`, for one host's devices.

  Args:
    source: rows with query, document, negatives and source; a
      `dataset.Source` or `tokens.Source` also knows its sources' prompts.
    tokenizer: adds the special tokens itself.
    config: batch_size (pairs, all hosts); one_source, source_alpha,
      source_weights and order (see `order.make`); row_length, slots (texts in
      a row; a batch's rows may have another length, see `pack.row_shape`),
      rows_multiple (rows of all hosts are made up to a multiple of it);
      query_length, document_length (tokens, special ones included; the rest
      is cut); token_dropout (share of tokens left out at random, others each
      time: small data is learnt by heart later); query_prompt,
      document_prompt (text put in front, where the source has no prompts of
      its own); negatives (per query), sample_negatives (drawn anew each epoch
      if a row has more, else the first ones); merge_copies (see `collate`);
      teacher (optional: see `teacher.load`); workers (processes; 0 is two
      threads).
    seed: of order and drawing.
    host: which of the hosts this is.
    hosts: how many there are.

  Returns:
    A dataset of dicts of arrays with a leading micro-batch axis of 1; all are
    int32 but `source`, text [1, pairs].

  Raises:
    UserError: if the batch is larger than the data or not divisible.
  """
  size = config.batch_size
  _check_hosts(config, hosts)
  if size > len(source):
    raise UserError(
        f"config.data.batch_size: {size} is more than the {len(source)} rows "
        "of the data; every query of a batch must be another one"
    )
  rows = order.make(
      _layout(source), size, seed, one_source=config.one_source,
      alpha=config.get("source_alpha", 1.0),
      weights=config.get("source_weights", {}),
      order=config.get("order", "shuffled"),
  )
  load = _Load(source, tokenizer, config, seed, rows, (host, hosts))
  dataset = (
      grain.MapDataset.range(2**40)  # as good as endless
      .map(load)
      .to_iter_dataset(grain.ReadOptions(num_threads=2,
                                         prefetch_buffer_size=4))
  )
  workers = config.get("workers", 0)
  if not workers:
    return dataset
  # Grain's processes alone read flags of absl's, and raise an error where the
  # program has not parsed any.
  if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()
  return dataset.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers))


def one_pass(
    source: Sequence[dict], tokenizer: tokenizers.Tokenizer,
    config: ml_collections.ConfigDict, seed: int, host: int, hosts: int,
) -> grain.IterDataset:
  """Batches in which each row comes once, for what is measured.

  The last has what is left and is filled up with queries of -1, which do not
  count; of fewer rows than a batch has, all are smaller. With a teacher, whose
  losses count all rows, what is left is left out.

  Arguments, batches and errors are those of `batches`, but a batch may be
  larger than the data.
  """
  _check_hosts(config, hosts)
  multiple = config.rows_multiple
  size = min(config.batch_size, -(-len(source) // multiple) * multiple)
  if config.get("teacher") and size > len(source):
    size = len(source) // multiple * multiple
    if not size:
      raise UserError(
          f"{config.path}: split '{config.split}' has {len(source)} rows, "
          f"fewer than config.data.rows_multiple={multiple}; lower that")
  rows = order.Once(_layout(source), size, seed, config.one_source)
  load = _Load(source, tokenizer, config, seed, rows, (host, hosts))
  count = len(source) // size if config.get("teacher") else len(rows)
  return (
      grain.MapDataset.range(count)
      .map(functools.partial(load, size=size))
      .to_iter_dataset(grain.ReadOptions(num_threads=2,
                                         prefetch_buffer_size=4))
  )


def _check_hosts(config: ml_collections.ConfigDict, hosts: int) -> None:
  for name in ("batch_size", "rows_multiple"):
    if config[name] % hosts:
      raise UserError(
          f"config.data.{name}: {config[name]} "
          f"{'pairs' if name == 'batch_size' else 'rows'} do not divide over "
          f"{hosts} hosts; try {max(config[name] // hosts, 1) * hosts}"
      )


def _layout(source: Sequence[dict]) -> sources.Layout:
  runs = getattr(source, "runs", None) or [[r["source"], 1] for r in source]
  return sources.layout(runs)


_FEW_CORES = 4


class _Load:
  """Makes batch `number`; can be sent to a process of its own."""

  def __init__(self, source, tokenizer, config, seed, rows, place):
    # The library's threads are many times faster where cores are many and this
    # is the only process; a core for itself is better used by remembering.
    if config.get("workers", 0) or (os.cpu_count() or 1) <= _FEW_CORES:
      tokenizer = words.remembering(tokenizer)
    self._source, self._tokenizer, self._config = source, tokenizer, config
    self._special = special_tokens.of(tokenizer)
    self._dtype = getattr(source, "dtype", None)
    self._seed, self._rows, self._place = seed, rows, place
    self._vectors = teacher.load(
        config.teacher, config.split, len(source), config.path,
    ) if config.get("teacher") else {}
    encode = getattr(source, "encode", lambda text: text)
    default = {side: encode(prompts_lib.of(config, side))
               for side in ("query", "document")}
    self._prompts = collections.defaultdict(
        functools.partial(dict, default), getattr(source, "prompts", {}))

  def __call__(self, number: int, size: int = 0) -> dict[str, np.ndarray]:
    """Batch `number`, filled up to `size` pairs."""
    number = int(number)
    indices = self._rows.rows(number).tolist()
    many = getattr(self._source, "__getitems__", None)
    rows = many(indices) if many else [self._source[i] for i in indices]
    batch = collate(
        rows, (self._seed, number), self._tokenizer, self._config,
        self._prompts, self._special, self._dtype)
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
    host, hosts = self._place
    return {
        k: v[len(v) // hosts * host:len(v) // hosts * (host + 1)][None]
        for k, v in batch.items()
    }


def _filled(
    batch: dict[str, np.ndarray], size: int
) -> dict[str, np.ndarray]:
  """A batch filled up to `size` pairs with queries and candidates of -1."""
  count = len(batch["query"])
  filled = dict(batch)
  more = size - count
  for name, absent in (
      ("query", -1), ("positive", 0), ("source", batch["source"][0]),
      ("one_source", batch["one_source"][0])):
    filled[name] = np.append(batch[name], [absent] * more).astype(
        batch[name].dtype)
  # Positives, then each query's negatives.
  own, others = batch["candidate"][:count], batch["candidate"][count:]
  filled["candidate"] = np.concatenate([
      own, np.full(more, -1, np.int32), others,
      np.full(more * len(others) // count, -1, np.int32)])
  return filled


def collate(
    rows: Sequence[dict], draw: tuple[int, int],
    tokenizer: tokenizers.Tokenizer, config: ml_collections.ConfigDict,
    prompts: Mapping[str, dict[str, str]],
    special: special_tokens.SpecialTokens | None = None,
    dtype: np.dtype | None = None,
) -> dict[str, np.ndarray]:
  """Rows to the packed arrays of one global batch.

  Texts are the same if the encoder is given the same ids for them: prompt
  included, after lower-casing and cutting, before token dropout. One that is
  a candidate twice is packed once and a candidate once, so that it weighs no
  more than another. Not so with `config.merge_copies` false, contrastors' way:
  then each text differs from all others, and a copy of a query's positive is a
  negative of it.

  Args:
    rows: N rows; texts may be the bytes of their ids, see `tokens`.
    draw: (seed, batch number), of negatives and dropout.
    tokenizer: see `batches`.
    config: likewise.
    prompts: by source, what stands before its queries and documents.
    special: the tokenizer's special tokens; found out if None.
    dtype: of the ids, if texts are bytes; the tokenizer's if None.

  Returns:
    ids, segment_ids, positions [B, S]; content [B, slots]; query and positive
    [N]; candidate [N · (1 + negatives)]; see `losses.info_nce.InfoNCE`. Of
    each pair also its source, and one_source, whether all are of the same.
  """
  front = [prompts[r["source"]] for r in rows]
  count, wanted = len(rows), config.negatives
  queries = [f["query"] + r["query"] for f, r in zip(front, rows)]
  candidates = {  # by their place
      i: f["document"] + r["document"]
      for i, (f, r) in enumerate(zip(front, rows))}
  if wanted:
    keys = np.random.default_rng(draw).random(count)
    for i, (f, r) in enumerate(zip(front, rows)):
      chosen = _choose(
          r["negatives"], wanted, config.get("sample_negatives", True), keys[i])
      for at, text in enumerate(chosen, count + i * wanted):
        candidates[at] = f["document"] + text
  documents = list(dict.fromkeys(candidates.values()))
  special = special or special_tokens.of(tokenizer)
  if dtype is None and isinstance(queries[0], bytes):
    dtype = tokens_lib.dtype_of(tokenizer)
  encode = functools.partial(
      _encode, tokenizer, special, dtype, dropout=config.token_dropout,
      draw=draw)
  queries = encode(queries, length=config.query_length)
  documents = dict(zip(
      documents, encode(documents, length=config.document_length)))
  # The first candidate of each text, and which text each candidate is.
  merge = config.get("merge_copies", True)
  places: dict[bytes | int, int] = {}
  first = {
      at: places.setdefault(documents[text].identity if merge else at, at)
      for at, text in candidates.items()}
  positive = np.array([first[i] for i in range(count)], np.int32)
  texts = queries + [documents[candidates[at]] for at in places.values()]
  tokens = [t.ids for t in texts]
  length, slots = row_shape(
      [len(t) for t in tokens], config.row_length, config.slots,
      config.rows_multiple)
  packed = pack(
      tokens, length, slots, config.rows_multiple, special.fill)
  candidate = np.full(count * (1 + wanted), -1, np.int32)
  candidate[list(places.values())] = packed.slot_of[count:]
  content = np.zeros(packed.ids.shape[0] * slots, np.int32)
  content[packed.slot_of] = (
      _identities(texts, positive, list(places.values())) if merge
      else np.arange(1, len(texts) + 1))
  return {
      "ids": packed.ids,
      "segment_ids": packed.segment_ids,
      "positions": packed.positions,
      "content": content.reshape(-1, slots),
      "query": packed.slot_of[:count],
      "candidate": candidate,
      "positive": positive,
      "source": np.array([r["source"] for r in rows]),
      "one_source": np.full(
          count, len({r["source"] for r in rows}) == 1, np.int32),
  }


def _identities(
    texts: Sequence["_Text"], positive: np.ndarray, places: list[int]
) -> list[int]:
  """Numbers texts from 1, equal ones alike.

  Documents that answer the same queries are interchangeable, none a negative
  where another is the positive, and share a number.

  Args:
    texts: the N queries, then the candidates.
    positive: int32 [N], the place of each query's positive.
    places: of the candidates.
  """
  answered = collections.defaultdict(set)
  for query, place in zip(texts, positive.tolist()):
    answered[place].add(query.identity)
  numbers: dict[Any, int] = {}
  return [
      numbers.setdefault(key, len(numbers) + 1) for key in (
          *(t.identity for t in texts[:len(positive)]),
          *(frozenset(answered[place]) if place in answered else t.identity
            for t, place in zip(texts[len(positive):], places)))]


def _choose(negatives: list, wanted: int, sample: bool, key: float) -> list:
  """`wanted` of the negatives: the first, or at random without repeats."""
  if len(negatives) <= wanted or not sample:
    return negatives[:wanted]
  rng = np.random.default_rng(int(key * 2**53))
  picked = rng.choice(len(negatives), wanted, replace=False)
  return [negatives[i] for i in picked]


class _Text(NamedTuple):
  """A text as the encoder is given it.

  Attributes:
    ids: its tokens, after token dropout.
    identity: bytes, equal for texts of equal tokens; before token dropout.
  """

  ids: np.ndarray
  identity: bytes


def _encode(
    tokenizer: tokenizers.Tokenizer, special: special_tokens.SpecialTokens,
    dtype: np.dtype | None, texts: list[str] | list[bytes], length: int,
    dropout: float, draw: tuple[int, int],
) -> list[_Text]:
  """Token ids, cut to `length`; the special ones around a text are kept."""
  ends = len(special.head), len(special.tail)
  if texts and isinstance(texts[0], str):
    # Of what dropout leaves, there must still be enough.
    texts = shorten(
        tokenizer, texts,
        2 * int(length / (1 - dropout)) + 64 if dropout else length)
  if texts and isinstance(texts[0], bytes):
    head, tail = (
        np.array(ids, dtype).tobytes() for ids in (special.head, special.tail))
    room = None if dropout else max(length - sum(ends), 0) * dtype.itemsize
    encoded = [np.frombuffer(head + t[:room] + tail, dtype) for t in texts]
  elif isinstance(tokenizer, words.Words):
    encoded = tokenizer.encode_ids(texts)
  else:
    encoded = [
        np.array(e.ids, np.int32) for e in tokenizer.encode_batch_fast(texts)]
  found = []
  for ids in encoded:
    identity = special.cut(ids, length).astype(np.int32).tobytes()
    if dropout and len(ids):
      # Of the text and the batch alone, so that every number of hosts agrees.
      seed = hashlib.blake2b(identity, digest_size=4).digest()
      rng = np.random.default_rng((*draw, int.from_bytes(seed, "little")))
      kept = rng.random(len(ids)) >= dropout
      kept[:ends[0]] = kept[len(kept) - ends[1]:] = True
      ids = ids[kept]
    found.append(_Text(special.cut(ids, length), identity))
  return found
