# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Masked-language-model batches: documents packed and masked (Grain chain)."""

from typing import Sequence

import grain
import grain.experimental
import ml_collections
import numpy as np
import tokenizers

from nomic_jax.data import order
from nomic_jax.errors import nearest
from nomic_jax.errors import UserError
from nomic_jax.text import special_tokens

MASK_DRAWS = ("exact", "independent")

_TOGETHER = 64  # documents tokenised at once


def batches(
    source: Sequence[dict], tokenizer: tokenizers.Tokenizer,
    config: ml_collections.ConfigDict, seed: int, host: int, hosts: int,
) -> grain.IterDataset:
  """Endless batches for `losses.mlm.MLM`, for one host's devices.

  Whole documents with their special tokens, one after another; one that does not fit
  the rest of a row goes on in the next row as a segment of its own, so no
  token is dropped and none is padding. Tokens attend within their document.
  Every host packs all rows and keeps its share, so that any number of hosts
  sees the same global batches.

  Args:
    source: rows with query and document; the text is the two, one under the
      other. Or rows of ids, special ones included, taken as they are: a [CLS]
      starts a document, and rows of row_length tokens stay whole.
    tokenizer: adds the special tokens itself.
    config: batch_size (rows, all hosts), micro_batches (must divide it),
      row_length, mask_rate, mask_draw (exact, or independent: see
      `mask_tokens`), document_boundaries (false, as the reference
      does: the tokens of a row attend to each other across documents, and
      positions run through the row).
    seed: of order and masks.
    host: which of the hosts this is.
    hosts: how many there are.

  Raises:
    UserError: if the batch is not divisible, mask_rate is no share, or the
      tokenizer has no mask token.
  """
  parts = hosts * config.micro_batches
  if config.batch_size % parts:
    raise UserError(
        f"config.data.batch_size: {config.batch_size} rows do not divide over "
        f"{hosts} hosts x {config.micro_batches} micro-batches; try "
        f"{max(config.batch_size // parts, 1) * parts}"
    )
  if not 0 < config.mask_rate < 1:
    raise UserError(
        f"config.data.mask_rate: {config.mask_rate} is no share of the tokens; "
        "expected a number between 0 and 1, such as 0.3"
    )
  special = special_tokens.of(tokenizer)
  mask_id = special.require("mask", "masked-language-model training")
  specials = np.array(sorted({
      special.fill, *special.head, *special.tail,
      # To predict that a word is unknown is no task.
      *([] if special.unk is None else [special.unk])}))
  vocabulary = special_tokens.vocabulary_rows(tokenizer)
  share = config.batch_size // parts
  mine = slice(host * share, (host + 1) * share)

  draw = config.get("mask_draw", "exact")
  if draw not in MASK_DRAWS:
    raise UserError(
        f"config.data.mask_draw: '{draw}' is unknown; expected one of "
        f"{', '.join(MASK_DRAWS)}.{nearest(draw, MASK_DRAWS)}"
    )

  def finish(batch: dict, rng: np.random.Generator) -> dict:
    key = int(rng.integers(2**62))  # one for all hosts, which keep part of it
    split = lambda x: x.reshape(config.micro_batches, -1, *x.shape[1:])[:, mine]
    numbers = split(np.arange(config.batch_size)).ravel()
    rows = [
        mask_tokens(
            batch["ids"][n], np.random.default_rng((key, n)), config.mask_rate,
            mask_id, vocabulary, specials, draw)
        for n in numbers.tolist()]
    segments = segments_of(batch["starts"][numbers])
    if not config.get("document_boundaries", True):
      segments = np.ones_like(segments[0]), np.broadcast_to(
          np.arange(config.row_length, dtype=np.int32), segments[0].shape)
    arrays = {k: np.stack([row[k] for row in rows]) for k in rows[0]}
    arrays["segment_ids"], arrays["positions"] = segments
    shape = (config.micro_batches, share)
    return {k: v.reshape(*shape, *v.shape[1:]) for k, v in arrays.items()}

  documents = (
      grain.MapDataset.range(2**40)  # as good as endless
      .map(_Documents(source, tokenizer, seed))
      .to_iter_dataset(grain.ReadOptions(num_threads=2,
                                         prefetch_buffer_size=8))
  )
  rows = grain.experimental.ConcatThenSplitIterDataset(
      documents,
      length_struct={"ids": config.row_length, "starts": config.row_length})
  return (
      rows.map(lambda row: {k: row[k] for k in ("ids", "starts")})
      .batch(config.batch_size, drop_remainder=True)
      .seed(seed % 2**32).random_map(finish)
  )


class _Documents:
  """Makes the tokens of some documents, block after block of all epochs."""

  def __init__(
      self, source: Sequence[dict], tokenizer: tokenizers.Tokenizer, seed: int
  ):
    self._source, self._tokenizer, self._seed = source, tokenizer, seed
    self._special = special_tokens.of(tokenizer)

  def __call__(self, block: int) -> dict[str, np.ndarray]:
    """ids of block's documents in a row, and 1 in `starts` where one starts."""
    epochs, places = np.divmod(
        int(block) * _TOGETHER + np.arange(_TOGETHER), len(self._source))
    indices = np.concatenate([
        order.permute(places[epochs == e], len(self._source), self._seed, e)
        for e in np.unique(epochs).tolist()]).tolist()
    many = getattr(self._source, "__getitems__", None)
    rows = many(indices) if many else [self._source[i] for i in indices]
    if isinstance(rows[0]["document"], bytes):
      ids = self._around([r["query"] + r["document"] for r in rows])
    else:
      texts = [
          f"{r['query']}\n{r['document']}" if r["query"] else r["document"]
          for r in rows]
      # Many at once: the library spreads them over all cores.
      ids = [
          r.get("ids") or e.ids for r, e in
          zip(rows, self._tokenizer.encode_batch_fast(texts))]
    joined = np.concatenate(ids, dtype=np.int32)
    starts = np.zeros(len(joined), np.int8)
    if any(r.get("ids") for r in rows) and self._special.head:
      starts[joined == self._special.head[0]] = 1
    starts[np.cumsum([0] + [len(i) for i in ids[:-1]])] = 1
    return {"ids": joined, "starts": starts}

  def _around(self, texts: list[bytes]) -> list[np.ndarray]:
    """ids of texts that are tokenised already, special ones around them."""
    dtype = self._source.dtype
    head, tail = (
        np.array(ids, dtype).tobytes()
        for ids in (self._special.head, self._special.tail))
    return [np.frombuffer(head + t + tail, dtype) for t in texts]


def segments_of(starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Segment ids from 1, and positions from 0 in each, of rows of documents.

  Args:
    starts: [B, S], 1 where a document starts.

  Returns:
    int32 [B, S] twice.
  """
  starts = starts.astype(bool)
  starts[:, 0] = True  # what goes on from the row before is a segment too
  at = np.arange(starts.shape[1], dtype=np.int32)
  begins = np.maximum.accumulate(np.where(starts, at, 0), axis=1)
  return np.cumsum(starts, axis=1, dtype=np.int32), at - begins


def mask_tokens(
    ids: np.ndarray, rng: np.random.Generator, rate: float, mask_id: int,
    vocabulary: int, specials: np.ndarray, draw: str = "exact",
) -> dict[str, np.ndarray]:
  """Dynamic masking of one row: 80 % mask token, 10 % random, 10 % as it was.

  By the draw "exact" the number chosen is `rate` of the tokens that are not
  special, rounded up or down at random; it does not vary more than that, so
  that ceil(rate · S) places hold it exactly. By "independent" each of them is
  chosen with probability `rate`, as transformers' collator does; there is room
  for six standard deviations more, and what exceeds it, in one row of 10^9, is
  left out.

  Args:
    ids: int32 [S].
    rng: of the choice.
    rate: share of the tokens to predict.
    mask_id: id of the mask token.
    vocabulary: random tokens are below this.
    specials: ids never chosen.
    draw: of MASK_DRAWS.

  Returns:
    ids [S] to feed in; masked [M] places and labels [M] true ids, M as
    said and at most S, where a label of -1 is an unused place.
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
