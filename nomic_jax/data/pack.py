# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Several texts in one row, so that little of a batch is padding."""

import bisect
from typing import NamedTuple, Sequence

import numpy as np

from nomic_jax.errors import UserError


class Packed(NamedTuple):
  """Rows of texts. int32; B rows of S tokens, N texts.

  Attributes:
    ids: [B, S] token ids, `pad_id` where there is no text.
    segment_ids: [B, S]; 1, 2, ... for the texts of a row, 0 is padding.
    positions: [B, S], from 0 within each text.
    slot_of: [N]; text n is segment `slot_of[n] % slots + 1` of row
      `slot_of[n] // slots`.
  """

  ids: np.ndarray
  segment_ids: np.ndarray
  positions: np.ndarray
  slot_of: np.ndarray


def pack(
    texts: Sequence[Sequence[int]], row_length: int, slots: int,
    rows_multiple: int = 1, pad_id: int = 0,
) -> Packed:
  """Packs texts into as few rows as best-fit-decreasing finds.

  Args:
    texts: token ids of each text, none longer than a row.
    row_length: S.
    slots: the most texts in a row.
    rows_multiple: the number of rows is rounded up to a multiple of this, so
      that few shapes are compiled and rows divide over devices.
    pad_id: fills what is left over.

  Raises:
    UserError: for a text longer than a row.
  """
  order = sorted(range(len(texts)), key=lambda n: -len(texts[n]))
  if order and len(texts[order[0]]) > row_length:
    raise UserError(
        f"a text of {len(texts[order[0]])} tokens does not fit rows of "
        f"{row_length}; raise data.row_length or lower the text lengths"
    )
  rows: list[list[int]] = []
  free: list[tuple[int, int]] = []  # (tokens left, row), sorted
  for n in order:
    at = bisect.bisect_left(free, (len(texts[n]), -1))
    if at == len(free):
      rows.append([])
      left, row = row_length, len(rows) - 1
    else:
      left, row = free.pop(at)
    rows[row].append(n)
    left -= len(texts[n])
    if left and len(rows[row]) < slots:
      bisect.insort(free, (left, row))

  count = max(-(-len(rows) // rows_multiple), 1) * rows_multiple
  ids = np.full((count, row_length), pad_id, np.int32)
  segment_ids = np.zeros_like(ids)
  positions = np.zeros_like(ids)
  slot_of = np.zeros(len(texts), np.int32)
  for r, members in enumerate(rows):
    start = 0
    for slot, n in enumerate(members):
      end = start + len(texts[n])
      ids[r, start:end] = texts[n]
      segment_ids[r, start:end] = slot + 1
      positions[r, start:end] = np.arange(end - start)
      slot_of[n] = r * slots + slot
      start = end
  return Packed(ids, segment_ids, positions, slot_of)
