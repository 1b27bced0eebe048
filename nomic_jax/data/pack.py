# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Packs several texts into a row, so that a batch has little padding."""

import bisect
from collections.abc import Callable
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nomic_jax.errors import UserError

Ids = Sequence[int] | np.ndarray  # the tokens of a text

_LONGEST = 8192  # tokens of a row for which the attention kernels are measured


class Packed(NamedTuple):
  """Packed rows, int32: B rows of S tokens, N texts.

  Attributes:
    ids: [B, S] token ids, `pad_id` where there is no text.
    segment_ids: [B, S]; 1, 2, ... for the texts of a row, 0 is padding.
    positions: [B, S], from 0 within each text.
    slot_of: [N] slots; text n is segment `slot_of[n] % slots + 1` of row
      `slot_of[n] // slots`.
  """

  ids: np.ndarray
  segment_ids: np.ndarray
  positions: np.ndarray
  slot_of: np.ndarray


def pack(
  texts: Sequence[Ids],
  row_length: int,
  slots: int,
  rows_multiple: int = 1,
  pad_id: int = 0,
) -> Packed:
  """Packs texts into rows, by best-fit decreasing.

  Args:
    texts: token ids of each text, none longer than a row.
    row_length: S.
    slots: the maximum number of texts in a row.
    rows_multiple: the number of rows is rounded up to a multiple of this, so
      that few shapes are compiled and rows divide evenly over devices.
    pad_id: fills the rest of a row.

  Raises:
    UserError: for a text longer than a row.
  """
  longest = max(map(len, texts), default=0)
  if longest > row_length:
    raise UserError(
      f"a text of {longest} tokens does not fit rows of {row_length}; raise "
      "data.row_length or lower the text lengths"
    )
  rows = [
    members
    for _, members in best_fit(
      [len(t) for t in texts], lambda _: row_length, lambda _: slots
    )
  ]
  count = max(-(-len(rows) // rows_multiple), 1) * rows_multiple
  packed = fill(texts, rows, count, row_length, pad_id)
  slot_of = np.zeros(len(texts), np.int32)
  for r, members in enumerate(rows):
    slot_of[members] = r * slots + np.arange(len(members))
  return packed._replace(slot_of=slot_of)


def row_shape(
  lengths: Sequence[int], row_length: int, slots: int, rows_multiple: int
) -> tuple[int, int]:
  """Returns a row length and slots with which a batch has little padding.

  Rounding the number of rows up to a multiple wastes more with longer rows. So
  if all texts fit, rows may be shorter, down to 1/8 of `row_length`: of the
  lengths whose batch is within 2 % of the smallest, the longest is chosen.
  Lengths up to 14/8 are tried too, since their number of rows may be closer to
  a multiple, and the best is chosen if it saves at least 5 %. Only a few
  lengths are tried, since each is compiled; all are multiples of 128, as the
  kernels require.

  Args:
    lengths: the lengths of the texts, in tokens.
    row_length: the maximum length of a text.
    slots: the maximum number of texts in a row of that length, scaled for
      others.
    rows_multiple: see `pack`.
  """
  longest, total = max(lengths, default=0), sum(lengths)

  def size(eighths: int) -> tuple[int, int]:
    return row_length * eighths // 8, max(slots * eighths // 8, 1)

  def tokens(shape: tuple[int, int]) -> int:
    length, most = shape
    # Allow for padding: a single further row costs `rows_multiple` rows.
    waste = 1.01 if length <= row_length else 1.02
    rows = max(waste * total / length, len(lengths) / most)
    return -int(-rows // rows_multiple) * rows_multiple * length

  shorter = [size(8)] + [
    (length, most)
    for length, most in map(size, (6, 4, 3, 2, 1))
    if length >= longest and length % 128 == 0
  ]
  longer = [
    (length, most)
    for length, most in map(size, range(9, 15))
    if length <= _LONGEST and length % 128 == 0
  ]
  least = min(map(tokens, shorter))
  best = next(s for s in shorter if tokens(s) <= 1.02 * least)
  if longer and min(map(tokens, longer)) <= 0.95 * least:
    best = min(longer, key=tokens)
  return best


def best_fit(
  lengths: Sequence[int],
  row_length: Callable[[int], int],
  slots: Callable[[int], int],
) -> list[tuple[int, list[int]]]:
  """Assigns texts to rows: best fit, longest first.

  Args:
    lengths: the lengths of the texts, in tokens.
    row_length: returns the length of a row opened for a text of so many tokens.
    slots: returns the maximum number of texts in a row of that length.

  Returns:
    The length and the texts (their indices) of each row.
  """
  rows: list[tuple[int, list[int]]] = []
  free: list[tuple[int, int]] = []  # (tokens left, row), sorted
  for n in sorted(range(len(lengths)), key=lambda n: -lengths[n]):
    at = bisect.bisect_left(free, (lengths[n], -1))
    if at == len(free):
      left, row = row_length(lengths[n]), len(rows)
      rows.append((left, []))
    else:
      left, row = free.pop(at)
    rows[row][1].append(n)
    left -= lengths[n]
    if left and len(rows[row][1]) < slots(rows[row][0]):
      bisect.insort(free, (left, row))
  return rows


def fill(
  texts: Sequence[Ids],
  rows: Sequence[Sequence[int]],
  count: int,
  row_length: int,
  pad_id: int = 0,
) -> Packed:
  """Makes `count` rows from lists of texts; rows beyond the lists are empty.

  The k-th text of a row is its segment k + 1; `slot_of` is left empty.
  """
  shape = count, row_length
  ids = np.full(shape, pad_id, np.int32)
  segment_ids, positions = np.zeros_like(ids), np.zeros_like(ids)
  order = [n for members in rows for n in members]
  if order:
    # All tokens at once, which is four times as fast as text by text.
    counts = np.array([len(members) for members in rows])
    firsts = np.cumsum(counts) - counts  # of each row, in `order`
    row_of = np.repeat(np.arange(len(rows)), counts)
    sizes = np.array([len(texts[n]) for n in order])
    begins = np.cumsum(sizes) - sizes
    starts = row_of * row_length + begins - begins[firsts[row_of]]
    within = np.arange(sizes.sum()) - np.repeat(begins, sizes)
    places = np.repeat(starts, sizes) + within
    ids.ravel()[places] = np.concatenate([texts[n] for n in order])
    segment = np.arange(len(order)) - firsts[row_of] + 1
    segment_ids.ravel()[places] = np.repeat(segment, sizes)
    positions.ravel()[places] = within
  return Packed(ids, segment_ids, positions, np.zeros(0, np.int32))
