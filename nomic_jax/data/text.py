# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Masked-language-model batches: documents packed and masked (Grain chain)."""

from typing import Sequence

import grain
import grain.experimental
import ml_collections
import numpy as np
import tokenizers

from nomic_jax.errors import UserError


def batches(
    source: Sequence[dict], tokenizer: tokenizers.Tokenizer,
    config: ml_collections.ConfigDict, seed: int, host: int, hosts: int,
) -> grain.IterDataset:
  """Endless batches for `losses.mlm.MLM`, for one host's devices.

  Whole documents, [CLS] ... [SEP], one after another; one that does not fit
  the rest of a row goes on in the next row as a segment of its own, so no
  token is dropped and none is padding. Tokens attend within their document.

  Args:
    source: rows with query and document; the text is the two, one under the
      other.
    tokenizer: adds the special tokens itself.
    config: batch_size (rows, all hosts), micro_batches (must divide it),
      row_length, mask_rate.
    seed: of order and masks.
    host: which of the hosts this is; it reads every hosts-th document.
    hosts: how many there are.

  Raises:
    UserError: if the batch is not divisible, or mask_rate is no share.
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
  specials = np.array(
      [tokenizer.token_to_id(t) for t in ("[PAD]", "[CLS]", "[SEP]")]
  )
  mask_id = tokenizer.token_to_id("[MASK]")
  vocabulary = tokenizer.get_vocab_size()

  def tokenise(row: dict) -> dict:
    text = row["query"] + "\n" + row["document"]
    return {"ids": np.array(tokenizer.encode(text).ids, np.int32)}

  def mask(row: dict, rng: np.random.Generator) -> dict:
    masked = mask_tokens(
        row["ids"], rng, config.mask_rate, mask_id, vocabulary, specials
    )
    return {
        **masked,
        "segment_ids": row["ids_segment_ids"].astype(np.int32),
        "positions": row["ids_positions"].astype(np.int32),
    }

  documents = (
      grain.MapDataset.source(source).seed(seed).shuffle().repeat()
      [host::hosts].map(tokenise)
      .to_iter_dataset(grain.ReadOptions(num_threads=2,
                                         prefetch_buffer_size=128))
  )
  rows = grain.experimental.ConcatThenSplitIterDataset(
      documents, length_struct={"ids": config.row_length}
  )
  split = lambda x: x.reshape(config.micro_batches, -1, *x.shape[1:])
  return (
      rows.seed((seed + host) % 2**32).random_map(mask)
      .batch(config.batch_size // hosts, drop_remainder=True)
      .map(lambda batch: {k: split(v) for k, v in batch.items()})
  )


def mask_tokens(
    ids: np.ndarray, rng: np.random.Generator, rate: float, mask_id: int,
    vocabulary: int, specials: np.ndarray,
) -> dict[str, np.ndarray]:
  """Dynamic masking of one row: 80 % [MASK], 10 % random, 10 % as it was.

  The number chosen is `rate` of the tokens that are not special, rounded up
  or down at random; it does not vary more than that, so that ceil(rate · S)
  places hold it exactly.

  Args:
    ids: int32 [S].
    rng: of the choice.
    rate: share of the tokens to predict.
    mask_id: id of [MASK].
    vocabulary: random tokens are below this.
    specials: ids never chosen.

  Returns:
    ids [S] to feed in; masked [M] places and labels [M] true ids, M =
    ceil(rate · S), where a label of -1 is an unused place.
  """
  places = int(np.ceil(rate * len(ids)))
  eligible = np.flatnonzero(~np.isin(ids, specials))
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
