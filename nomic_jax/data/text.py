# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Masked-language-model batches: packed and masked documents (Grain)."""

from collections.abc import Callable
from collections.abc import Sequence
import functools

import grain
import ml_collections
import numpy as np
import tokenizers

from nomic_jax.data import stream
from nomic_jax.data import tokens
from nomic_jax.data.records import Row
from nomic_jax.data.records import Rows
from nomic_jax.data.records import rows_of
from nomic_jax.errors import one_of
from nomic_jax.errors import UserError
from nomic_jax.text import special_tokens

MASK_DRAWS = ("exact", "independent")
_COUNTED = 4096  # documents whose tokens are counted at a time


def batches(
  source: Rows | Sequence[Row],
  tokenizer: tokenizers.Tokenizer,
  config: ml_collections.ConfigDict,
  seed: int,
  host: int,
  hosts: int,
) -> grain.IterDataset:
  """Endless batches for `losses.mlm.MLM`, for one host's devices.

  Whole documents with their special tokens are concatenated; one that does not
  fit into a row continues in the next as a segment of its own, so no token is
  dropped and there is no padding. Tokens attend within their document. Every
  host computes where all rows begin and makes its own, so any number of hosts
  gives the same global batches (see `stream.py`). The lengths of texts are
  known without reading them only if `source` was tokenised ahead of time.

  Args:
    source: rows with query and document; the text is both, joined by a line
      break. Or rows of ids, special ones included, used as they are: a [CLS]
      starts a document, and rows of row_length tokens stay whole.
    tokenizer: adds the special tokens itself.
    config: batch_size (rows, all hosts), micro_batches (must divide it),
      row_length, mask_rate, mask_draw (exact, or independent: see
      `mask_tokens`), document_boundaries (false, as in contrastors: the
      tokens of a row attend to each other across documents, and positions run
      through the row).
    seed: the seed of order and masks.
    host: index of this host.
    hosts: number of hosts.

  Raises:
    UserError: if the batch size does not divide evenly over hosts and
    micro-batches,
      mask_rate is not between 0 and 1, or the tokenizer has no mask token.
  """
  parts = hosts * config.micro_batches
  if config.batch_size % parts:
    raise UserError(
      f"config.data.batch_size: {config.batch_size} rows do not divide evenly "
      f"over {hosts} hosts x {config.micro_batches} micro-batches; try "
      f"{max(config.batch_size // parts, 1) * parts}"
    )
  if not 0 < config.mask_rate < 1:
    raise UserError(
      f"config.data.mask_rate: {config.mask_rate}; expected the share of the "
      "tokens to mask, between 0 and 1, such as 0.3"
    )
  special = special_tokens.of(tokenizer)
  mask_id = special.require("mask", "masked-language-model training")
  specials = np.array(
    sorted(
      {
        special.fill,
        *special.head,
        *special.tail,
        # A model learns nothing from predicting an unknown token.
        *([] if special.unk is None else [special.unk]),
      }
    )
  )
  vocabulary = special_tokens.vocabulary_rows(tokenizer)
  share = config.batch_size // parts
  draw = config.get("mask_draw", "exact")
  one_of(draw, MASK_DRAWS, f"config.data.mask_draw: '{draw}' is unknown")

  # The rows of a batch that this host reads: its share of each micro-batch.
  size = config.batch_size // config.micro_batches
  mine = [
    range(m * size + host * share, m * size + (host + 1) * share)
    for m in range(config.micro_batches)
  ]
  numbers = np.concatenate(mine).tolist()

  def finish(batch: dict, rng: np.random.Generator) -> dict:
    key = int(rng.integers(2**62))  # one for all hosts
    rows = [
      mask_tokens(
        ids,
        np.random.default_rng((key, n)),
        config.mask_rate,
        mask_id,
        vocabulary,
        specials,
        draw,
      )
      for ids, n in zip(batch["ids"], numbers)
    ]
    segments = segments_of(batch["starts"])
    if not config.get("document_boundaries", True):
      segments = (
        np.ones_like(segments[0]),
        np.broadcast_to(
          np.arange(config.row_length, dtype=np.int32), segments[0].shape
        ),
      )
    arrays = {k: np.stack([row[k] for row in rows]) for k in rows[0]}
    arrays["segment_ids"], arrays["positions"] = segments
    shape = (config.micro_batches, share)
    return {k: v.reshape(*shape, *v.shape[1:]) for k, v in arrays.items()}

  rows = stream.Rows(
    stream.Cut(
      _reader(source, tokenizer, special),
      len(source),
      seed,
      config.batch_size,
      config.row_length,
      mine,
    )
  )
  return rows.seed(seed % 2**32).random_map(finish)


def count_tokens(
  source: Rows | Sequence[Row], tokenizer: tokenizers.Tokenizer
) -> int:
  """Returns the number of tokens of all documents, special ones included."""
  read = _reader(source, tokenizer, special_tokens.of(tokenizer))
  return sum(
    int(read(indices).lengths.sum())
    for indices in np.array_split(
      np.arange(len(source)), -(-len(source) // _COUNTED)
    )
  )


def _reader(
  source: Rows | Sequence[Row],
  tokenizer: tokenizers.Tokenizer,
  special: special_tokens.SpecialTokens,
) -> Callable[[np.ndarray], stream.Block]:
  """Returns a function that reads the documents of some rows."""
  if isinstance(source, tokens.Source):
    return functools.partial(_ahead, source, special)
  return functools.partial(_now, source, tokenizer, special)


def _ahead(
  source: tokens.Source,
  special: special_tokens.SpecialTokens,
  indices: np.ndarray,
) -> stream.Block:
  """Returns documents that were tokenised ahead; their lengths are stored."""
  ends = ((), ()) if source.packed else (special.head, special.tail)
  head, tail = (np.array(ids, source.dtype).tobytes() for ids in ends)
  bounds = source.bounds(indices)
  lengths = bounds[:, 1] - bounds[:, 0] + sum(map(len, ends))

  def read(first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    ids = np.frombuffer(
      b"".join(
        head + text + tail for text in source.between(bounds[first:last])
      ),
      source.dtype,
    )
    return ids, _starts(lengths[first:last], ids, source.packed, special)

  return stream.Block(lengths, read)


def _now(
  source: Rows | Sequence[Row],
  tokenizer: tokenizers.Tokenizer,
  special: special_tokens.SpecialTokens,
  indices: np.ndarray,
) -> stream.Block:
  """Returns documents that are tokenised now, or rows of ids."""
  rows = rows_of(source).__getitems__(indices.tolist())
  texts = [
    f"{r['query']}\n{r['document']}" if r["query"] else r["document"]
    for r in rows
  ]
  # Many at once, since the library uses all cores.
  ids = [
    np.array(r.get("ids") or e.ids, np.int32)
    for r, e in zip(rows, tokenizer.encode_batch_fast(texts))
  ]
  lengths = np.array([len(i) for i in ids], np.int64)
  packed = bool(rows[0].get("ids"))

  def read(first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    joined = np.concatenate(ids[first:last])
    return joined, _starts(lengths[first:last], joined, packed, special)

  return stream.Block(lengths, read)


def _starts(
  lengths: np.ndarray,
  ids: np.ndarray,
  packed: bool,
  special: special_tokens.SpecialTokens,
) -> np.ndarray:
  """Returns int8, 1 where a document starts.

  That is each row's first token and, in rows whose source has token ids, which
  may hold several documents, each [CLS].
  """
  starts = np.zeros(len(ids), np.int8)
  starts[(np.cumsum(lengths) - lengths)[lengths > 0]] = 1
  if packed and special.head:
    starts[ids == special.head[0]] = 1
  return starts


def segments_of(starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Returns segment ids from 1, and positions from 0 in each segment.

  Args:
    starts: [B, S], 1 where a document starts.

  Returns:
    int32 [B, S] twice.
  """
  starts = starts.astype(bool)
  starts[:, 0] = True  # also a document continued from the previous row
  at = np.arange(starts.shape[1], dtype=np.int32)
  begins = np.maximum.accumulate(np.where(starts, at, 0), axis=1)
  return np.cumsum(starts, axis=1, dtype=np.int32), at - begins


def mask_tokens(
  ids: np.ndarray,
  rng: np.random.Generator,
  rate: float,
  mask_id: int,
  vocabulary: int,
  specials: np.ndarray,
  draw: str = "exact",
) -> dict[str, np.ndarray]:
  """Masks tokens of a row: 80 % mask token, 10 % random token, 10 % kept.

  With the draw "exact", the number of chosen tokens is `rate` of those that are
  not special, rounded up or down at random, so M = ceil(rate · S) always
  suffices. With "independent", each token is chosen with probability `rate`, as
  in transformers' collator. M is then larger by six standard deviations; tokens
  beyond it, in about one row of 10^9, are left out.

  Args:
    ids: int32 [S].
    rng: the random generator for the choice.
    rate: share of the tokens to predict.
    mask_id: id of the mask token.
    vocabulary: random tokens are below this.
    specials: ids that are never chosen.
    draw: one of MASK_DRAWS.

  Returns:
    ids [S], the input; masked [M], the positions of chosen tokens; labels [M],
    their true ids, or -1 where unused. M is as described, at most S.
  """
  eligible = np.flatnonzero(~np.isin(ids, specials))
  if draw == "independent":
    spread = np.sqrt(len(ids) * rate * (1 - rate))
    places = min(int(np.ceil(rate * len(ids) + 6 * spread)), len(ids))
    chosen = eligible[rng.random(len(eligible)) < rate][:places]
    count = len(chosen)
  else:
    places = int(np.ceil(rate * len(ids)))
    count = min(int(rate * len(eligible) + rng.random()), places)
    chosen = rng.choice(eligible, count, replace=False)
  masked = np.zeros(places, np.int32)
  labels = np.full(places, -1, np.int32)
  masked[:count], labels[:count] = chosen, ids[chosen]
  ids = ids.copy()
  fate = rng.random(count)
  ids[chosen[fate < 0.8]] = mask_id
  random = chosen[(fate >= 0.8) & (fate < 0.9)]
  ids[random] = rng.integers(0, vocabulary, len(random))
  return {"ids": ids, "masked": masked, "labels": labels}
