# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Named shapes of attention, on which every implementation is tested."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Spec:
  """Rows of texts.

  Attributes:
    texts: for each row the lengths of its texts; the rest is padding.
    length: S, tokens in a row.
    heads: H.
    width: d, of a head.
    rotary: whether queries and keys are turned.
    window: as in `nomic_jax.kernels.attention.Attention`.
  """

  texts: tuple[tuple[int, ...], ...]
  length: int
  heads: int = 2
  width: int = 64
  rotary: bool = True
  window: int | None = None

  def segment_ids(self) -> np.ndarray:
    """int32 [B, S]: 1, 2, ... and 0 for padding."""
    ids = np.zeros((len(self.texts), self.length), np.int32)
    for row, lengths in zip(ids, self.texts):
      row[:sum(lengths)] = np.repeat(np.arange(len(lengths)) + 1, lengths)
    return ids

  def angles(self) -> tuple[np.ndarray, np.ndarray] | None:
    """cos and sin, float32 [B, S, d/2], of positions from 0 in each text."""
    if not self.rotary:
      return None
    positions = np.zeros((len(self.texts), self.length))
    for row, lengths in zip(positions, self.texts):
      row[:sum(lengths)] = np.concatenate([np.arange(n) for n in lengths] or
                                          [[]])
    frequency = 1000.0 ** -(np.arange(0, self.width, 2) / self.width)
    angle = positions[:, :, None] * frequency
    return np.cos(angle).astype("f"), np.sin(angle).astype("f")

  def qkv(self, seed: int = 0) -> np.ndarray:
    """float32 [B, S, 3 H d]."""
    shape = (len(self.texts), self.length, 3 * self.heads * self.width)
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


# Small enough for kernels run as Python on a CPU.
SPECS = {
    "full": Spec(((256,), (256,)), 256),
    "packed": Spec(((100, 60, 1, 200), (17,) * 22, (384,)), 384),
    "padded": Spec(((130,), (), (256,)), 256, heads=4),
    "uneven": Spec(((150, 37), (1,)), 200),  # S is no multiple of a block
    "wide": Spec(((200, 56), (90,)), 256, heads=1, width=128),
    "plain": Spec(((100, 156),), 256, rotary=False),
    "window": Spec(((300, 60), (384,)), 384, window=50),
}
