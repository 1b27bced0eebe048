# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Collates rows of pairs into the packed arrays of one global batch."""

import collections
from collections.abc import Mapping
from collections.abc import Sequence
import functools
import hashlib
from typing import Any
from typing import cast
from typing import NamedTuple

import ml_collections
import numpy as np
import tokenizers

from nomic_jax.data import tokens as tokens_lib
from nomic_jax.data.pack import pack
from nomic_jax.data.pack import row_shape
from nomic_jax.text import special_tokens
from nomic_jax.text import words
from nomic_jax.text.shorten import shorten


def collate(
  rows: Sequence[dict],
  draw: tuple[int, int],
  tokenizer: tokenizers.Tokenizer,
  config: ml_collections.ConfigDict,
  prompts: Mapping[str, dict[str, str]],
  special: special_tokens.SpecialTokens | None = None,
  dtype: np.dtype | None = None,
) -> dict[str, np.ndarray]:
  """Collates rows into the packed arrays of one global batch.

  Texts are equal if they have the same token ids, compared with the prompt,
  after lower-casing and truncation and before token dropout. A text that occurs
  twice among the candidates is packed once and counts as one candidate. With
  `config.merge_copies` false, as in contrastors, each occurrence is a separate
  text, and a copy of a query's positive is a negative.

  Args:
    rows: N rows; texts may be the bytes of their ids, see `tokens`.
    draw: (seed, batch number), seeds the draw of negatives and dropout.
    tokenizer: see `pairs.batches`.
    config: see `pairs.batches`.
    prompts: by source, the prompts of its queries and documents.
    special: the tokenizer's special tokens; None: determined here.
    dtype: the dtype of the ids, if texts are bytes; None: chosen for the
      tokenizer.

  Returns:
    ids, segment_ids, positions [B, S]; content [B, slots]; query and positive
    [N]; candidate [N · (1 + negatives)]; see `losses.info_nce.InfoNCE`. Also
    the source of each pair [N], and one_source [N], 1 if all sources are equal.
    With `config.kind` "scores" also score float32 [N]; with "triplets" also
    text [N · (1 + negatives)], the slot of each candidate's text, including
    repeated ones.
  """
  prompt_of = [prompts[r["source"]] for r in rows]
  count, negatives = len(rows), config.negatives
  queries = [f["query"] + r["query"] for f, r in zip(prompt_of, rows)]
  candidates = {  # by position: positives, then each query's negatives
    i: f["document"] + r["document"]
    for i, (f, r) in enumerate(zip(prompt_of, rows))
  }
  if negatives:
    keys = np.random.default_rng(draw).random(count)
    for i, (f, r) in enumerate(zip(prompt_of, rows)):
      chosen = _choose(
        r["negatives"], negatives, config.get("sample_negatives", True), keys[i]
      )
      for at, text in enumerate(chosen, count + i * negatives):
        candidates[at] = f["document"] + text
  documents = list(dict.fromkeys(candidates.values()))
  special = special or special_tokens.of(tokenizer)
  if dtype is None and isinstance(queries[0], bytes):
    dtype = tokens_lib.dtype_of(tokenizer)
  encode = functools.partial(
    _encode, tokenizer, special, dtype, dropout=config.token_dropout, draw=draw
  )
  queries = encode(queries, length=config.query_length)
  documents = dict(
    zip(documents, encode(documents, length=config.document_length))
  )
  # The first candidate with each text, and the text of each candidate.
  merge = config.get("merge_copies", True)
  places: dict[bytes | int, int] = {}
  first = {
    at: places.setdefault(documents[text].identity if merge else at, at)
    for at, text in candidates.items()
  }
  positive = np.array([first[i] for i in range(count)], np.int32)
  texts = queries + [documents[candidates[at]] for at in places.values()]
  tokens = [t.ids for t in texts]
  length, slots = row_shape(
    [len(t) for t in tokens],
    config.row_length,
    config.slots,
    config.rows_multiple,
  )
  packed = pack(tokens, length, slots, config.rows_multiple, special.fill)
  candidate = np.full(count * (1 + negatives), -1, np.int32)
  candidate[list(places.values())] = packed.slot_of[count:]
  content = np.zeros(packed.ids.shape[0] * slots, np.int32)
  content[packed.slot_of] = (
    _identities(texts, positive, list(places.values()))
    if merge
    else np.arange(1, len(texts) + 1)
  )
  more = {}
  if config.get("kind") == "scores":
    more["score"] = np.array([r["score"] for r in rows], np.float32)
  elif config.get("kind") == "triplets":
    more["text"] = np.full(len(candidate), -1, np.int32)
    slot = dict(zip(places.values(), packed.slot_of[count:].tolist()))
    for at, place in first.items():
      more["text"][at] = slot[place]
  return more | {
    "ids": packed.ids,
    "segment_ids": packed.segment_ids,
    "positions": packed.positions,
    "content": content.reshape(-1, slots),
    "query": packed.slot_of[:count],
    "candidate": candidate,
    "positive": positive,
    "source": np.array([r["source"] for r in rows]),
    "one_source": np.full(
      count, len({r["source"] for r in rows}) == 1, np.int32
    ),
  }


def _identities(
  texts: Sequence["_Text"], positive: np.ndarray, places: list[int]
) -> list[int]:
  """Returns a number from 1 for each text, equal for equal texts.

  Documents that answer the same queries are interchangeable and share a
  number: none is a negative where another is the positive.

  Args:
    texts: the N queries, then the candidates.
    positive: int32 [N], the position of each query's positive.
    places: the places of the candidates.
  """
  answered = collections.defaultdict(set)
  for query, place in zip(texts, positive.tolist()):
    answered[place].add(query.identity)
  numbers: dict[Any, int] = {}
  return [
    numbers.setdefault(key, len(numbers) + 1)
    for key in (
      *(t.identity for t in texts[: len(positive)]),
      *(
        frozenset(answered[place]) if place in answered else t.identity
        for t, place in zip(texts[len(positive) :], places)
      ),
    )
  ]


def _choose(negatives: list, wanted: int, sample: bool, key: float) -> list:
  """Returns `wanted` negatives: the first, or a sample without replacement."""
  if len(negatives) <= wanted or not sample:
    return negatives[:wanted]
  rng = np.random.default_rng(int(key * 2**53))
  picked = rng.choice(len(negatives), wanted, replace=False)
  return [negatives[i] for i in picked]


class _Text(NamedTuple):
  """A tokenised text.

  Attributes:
    ids: its tokens, after token dropout.
    identity: its tokens before dropout as bytes, equal for equal texts.
  """

  ids: np.ndarray
  identity: bytes


def _encode(
  tokenizer: tokenizers.Tokenizer,
  special: special_tokens.SpecialTokens,
  dtype: np.dtype | None,
  texts: list[str] | list[bytes],
  length: int,
  dropout: float,
  draw: tuple[int, int],
) -> list[_Text]:
  """Encodes texts, truncated to `length`; special tokens are kept."""
  ends = len(special.head), len(special.tail)
  if texts and isinstance(texts[0], bytes):
    assert dtype, "see `collate`"
    head, tail = (
      np.array(ids, dtype).tobytes() for ids in (special.head, special.tail)
    )
    room = None if dropout else max(length - sum(ends), 0) * dtype.itemsize
    encoded = [
      np.frombuffer(head + t[:room] + tail, dtype)
      for t in cast(list[bytes], texts)
    ]
  else:
    # Enough tokens must be left after dropout.
    short = shorten(
      tokenizer,
      cast(list[str], texts),
      2 * int(length / (1 - dropout)) + 64 if dropout else length,
    )
    if isinstance(tokenizer, words.Words):
      encoded = tokenizer.encode_ids(short)
    else:
      encoded = [
        np.array(e.ids, np.int32) for e in tokenizer.encode_batch_fast(short)
      ]
  encoded_texts = []
  for ids in encoded:
    identity = special.cut(ids, length).astype(np.int32).tobytes()
    if dropout and len(ids):
      # Seeded by the text and the batch alone, so it does not depend on the
      # number of hosts.
      seed = hashlib.blake2b(identity, digest_size=4).digest()
      rng = np.random.default_rng((*draw, int.from_bytes(seed, "little")))
      keep = rng.random(len(ids)) >= dropout
      keep[: ends[0]] = keep[len(keep) - ends[1] :] = True
      ids = ids[keep]
    encoded_texts.append(_Text(special.cut(ids, length), identity))
  return encoded_texts
