# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The endless stream of documents from which rows of text are cut.

Documents are concatenated in a shuffled order, epoch after epoch, and their
tokens are cut into rows of fixed length. The lengths of the documents
determine which of them a row holds: every host computes the same cuts, and
reads only the documents that overlap its rows.
"""

from collections.abc import Callable
from collections.abc import Sequence
from typing import NamedTuple

import grain
import numpy as np

from nomic_jax.data import order
from nomic_jax.errors import UserError
from nomic_jax.storage.values import JsonObject

_FEWEST, _MOST = 64, 4096  # documents in a block
# Block size of an earlier data chain, whose saved states count blocks.
_OLD_BLOCK = 64


class Block(NamedTuple):
  """Consecutive documents of the stream.

  Attributes:
    lengths: int64 [N], tokens of each document, special ones included.
    read: maps (first, last) to the concatenated tokens of documents first, ...,
      last - 1, int [T], and int8 [T], 1 where a document starts.
  """

  lengths: np.ndarray
  read: Callable[[int, int], tuple[np.ndarray, np.ndarray]]


class Cut(NamedTuple):
  """What rows are cut from, and which of them to return.

  Attributes:
    block_of: maps N row numbers of the data, int64 [N], to a block of them.
    documents: number of documents of the data.
    seed: the seed of their order.
    rows: the number of rows of a batch.
    length: tokens of a row.
    wanted: the rows of a batch that are returned.
  """

  block_of: Callable[[np.ndarray], Block]
  documents: int
  seed: int
  rows: int
  length: int
  wanted: Sequence[range]


class Rows(grain.IterDataset):
  """Endless batches of rows: {"ids": int32 [K, S], "starts": int8 [K, S]}.

  K is the number of wanted rows, S their length; `starts` is 1 where a document
  starts. A batch begins where the one before it ended: no token is dropped, and
  there is no padding.
  """

  def __init__(self, cut: Cut):
    super().__init__()
    self._cut = cut

  def __iter__(self) -> grain.DatasetIterator:
    return _Iterator(self._cut)


class _Iterator(grain.DatasetIterator):
  """Iterates over batches.

  Its state is the document of the last token returned, and the number of tokens
  of that document returned so far, independent of block boundaries.
  """

  def __init__(self, cut: Cut):
    super().__init__()
    self._cut = cut
    self.set_state({"document": 0, "token": 0})

  def get_state(self) -> dict[str, int]:
    """Returns the state; see the class."""
    return dict(self._state)

  def set_state(self, state: JsonObject) -> None:
    """Sets the state, also one saved by an earlier data chain."""
    if "parent_state" in state:
      state = _from_concat_then_split(state, self._cut.length)
    self._state = dict(state)
    self._number = state["document"]  # of the first document of the blocks
    self._begin = state["token"]  # tokens in the blocks before the next batch
    self._blocks: list[Block] = []

  def __next__(self) -> dict[str, np.ndarray]:
    length = self._cut.length
    size = self._cut.rows * length
    ends = np.cumsum(self._lengths_up_to(self._begin + size))
    parts = [
      self._tokens(ends, self._begin + r.start * length, len(r) * length)
      for r in self._cut.wanted
    ]
    ids, starts = (np.concatenate(p).reshape(-1, length) for p in zip(*parts))
    self._begin += size
    last = int(np.searchsorted(ends, self._begin))
    self._state = {
      "document": self._number + last,
      "token": self._begin - (int(ends[last - 1]) if last else 0),
    }
    while self._blocks and len(self._blocks[0].lengths) <= last:
      done = self._blocks.pop(0).lengths
      last -= len(done)
      self._number += len(done)
      self._begin -= int(done.sum())
    return {"ids": ids, "starts": starts}

  def _lengths_up_to(self, tokens: int) -> np.ndarray:
    """Adds blocks until they hold `tokens` tokens; returns document lengths."""
    lengths = [b.lengths for b in self._blocks]
    held, number = (
      sum(int(n.sum()) for n in lengths),
      self._number + sum(map(len, lengths)),
    )
    while held < tokens:
      mean = max(float(lengths[-1].mean()), 1.0) if lengths else tokens
      count = int(np.clip((tokens - held) / mean * 1.02, _FEWEST, _MOST))
      block = self._cut.block_of(self._indices(number, count))
      self._blocks.append(block)
      lengths.append(block.lengths)
      held, number = held + int(block.lengths.sum()), number + count
      if not held and number - self._number > self._cut.documents:
        raise UserError(
          "config.data.path: its texts have no tokens; prepare other data, or "
          "check the tokenizer"
        )
    return np.concatenate(lengths)

  def _indices(self, number: int, count: int) -> np.ndarray:
    """Returns row numbers of `count` documents, from `number` of the stream."""
    size, seed = self._cut.documents, self._cut.seed
    epochs, places = np.divmod(number + np.arange(count), size)
    return np.concatenate(
      [
        order.permute(places[epochs == e], size, seed, e)
        for e in np.unique(epochs).tolist()
      ]
    )

  def _tokens(
    self, ends: np.ndarray, begin: int, count: int
  ) -> tuple[np.ndarray, np.ndarray]:
    """Returns `count` tokens of the blocks from `begin` on, and starts."""
    first = int(np.searchsorted(ends, begin, side="right"))
    last = int(np.searchsorted(ends, begin + count)) + 1
    parts, before = [], 0
    for block in self._blocks:
      size = len(block.lengths)
      here = max(first - before, 0), min(last - before, size)
      if here[0] < here[1]:
        parts.append(block.read(*here))
      before += size
    skipped = begin - (int(ends[first - 1]) if first else 0)
    ids, starts = (
      np.concatenate(x)[skipped : skipped + count] for x in zip(*parts)
    )
    return ids.astype(np.int32), starts.astype(np.int8)


def _from_concat_then_split(state: JsonObject, length: int) -> dict:
  """Converts a state saved by Grain's ConcatThenSplitIterDataset.

  Its elements were blocks of documents. It saved the current block, the
  remaining part of it, and the number of rows returned since.
  """
  token = max(state["remainder_slices"]["ids"][0], 0)
  returned = state["elements_from_buffer_after_checkpoint"]
  return {
    "document": state["parent_state"]["next_index"] * _OLD_BLOCK,
    "token": token + returned * length,
  }
