# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Test cases for every implementation of attention, and float64 results."""

import dataclasses

import numpy as np

from nomic_jax.kernels.layout import Layout
from nomic_jax.kernels.layout import Need


@dataclasses.dataclass(frozen=True)
class Case:
  """Rows of texts.

  Attributes:
    texts: for each row the lengths of its texts; the rest is padding.
    length: S, tokens in a row.
    heads: H.
    kv_heads: K; 0 means H.
    width: d, the width of a head.
    rotary: whether queries and keys are rotated.
    window: tokens to either side that a token sees; None: its text.
    causal: whether a token sees none after itself.
  """

  texts: tuple[tuple[int, ...], ...]
  length: int
  heads: int = 2
  kv_heads: int = 0
  width: int = 64
  rotary: bool = True
  window: int | None = None
  causal: bool = False

  @property
  def layout(self) -> Layout:
    return Layout(self.heads, self.kv_heads or self.heads, self.width)

  @property
  def need(self) -> Need:
    """What `Backend`'s methods are to compute."""
    return Need(self.layout, self.window, self.causal)

  def segment_ids(self) -> np.ndarray:
    """int32 [B, S]: 1, 2, ... and 0 for padding."""
    ids = np.zeros((len(self.texts), self.length), np.int32)
    for row, lengths in zip(ids, self.texts):
      row[: sum(lengths)] = np.repeat(np.arange(len(lengths)) + 1, lengths)
    return ids

  def angles(self) -> tuple[np.ndarray, np.ndarray] | None:
    """cos and sin, float32 [B, S, d/2], of positions from 0 in each text."""
    if not self.rotary:
      return None
    positions = np.zeros((len(self.texts), self.length))
    for row, lengths in zip(positions, self.texts):
      row[: sum(lengths)] = np.concatenate(
        [np.arange(n) for n in lengths] or [[]]
      )
    frequency = 1000.0 ** -(np.arange(0, self.width, 2) / self.width)
    angle = positions[:, :, None] * frequency
    return np.cos(angle).astype("f"), np.sin(angle).astype("f")

  def qkv(self, seed: int = 0) -> np.ndarray:
    """float32 [B, S, (H + 2 K) d]."""
    shape = (len(self.texts), self.length, self.layout.columns)
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)

  def weight(self, seed: int = 1) -> np.ndarray:
    """The gradient of the output, float32 [B, S, H d]."""
    shape = (len(self.texts), self.length, self.heads * self.width)
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


# Small enough for kernels in interpret mode on a CPU.
CASES = {
  "full": Case(((256,), (256,)), 256),
  "packed": Case(((100, 60, 1, 200), (17,) * 22, (384,)), 384),
  "padded": Case(((130,), (), (256,)), 256, heads=4),
  "uneven": Case(((150, 37), (1,)), 200),  # S is no multiple of a block
  "wide": Case(((200, 56), (90,)), 256, heads=1, width=128),
  "plain": Case(((100, 156),), 256, rotary=False),
  "window": Case(((300, 60), (384,)), 384, window=50),
  "causal": Case(((300, 60), (384,)), 384, causal=True),
  "sliding": Case(((200, 50),), 384, heads=4, window=70, causal=True),
  "grouped": Case(((200, 90), (140, 1)), 300, heads=12, kv_heads=4),
  "shared": Case(((200, 50),), 256, heads=4, kv_heads=1, causal=True),
  "wide pairs": Case(
    ((180, 50),), 256, heads=4, kv_heads=2, width=128, window=40
  ),
  "broad": Case(((150, 37), (60,)), 200, heads=1, width=256),
  "broad shared": Case(
    ((200, 50),), 256, heads=4, kv_heads=1, width=256, rotary=False, causal=True
  ),
}


def exact(
  qkv: np.ndarray,
  weight: np.ndarray,
  ids: np.ndarray,
  angle: np.ndarray | None,
  layout: Layout,
  window: int | None = None,
  causal: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
  """Attention and the gradient of its weighted sum, written out in float64.

  Args:
    qkv: [S, (H + 2 K) d].
    weight: [S, H d].
    ids: segments, [S].
    angle: rotation of pairs as cos + i sin, [S, d/2]; None: no rotation.
    layout: of the columns.
    window: see `Case`.
    causal: see `Case`.
  """
  heads, shared, d = dataclasses.astuple(layout)
  split = lambda x: np.asarray(x, "d").reshape(len(ids), -1, d).swapaxes(0, 1)
  q, k, v = np.split(split(qkv), [heads, heads + shared])
  k, v = (np.repeat(x, heads // shared, 0) for x in (k, v))
  do = split(weight)
  turn = np.ones((len(ids), d // 2), "D") if angle is None else angle
  to_complex = lambda x: x[..., : d // 2] + 1j * x[..., d // 2 :]
  to_real = lambda z: np.concatenate([z.real, z.imag], -1)
  q, k = (to_real(to_complex(x) * turn) for x in (q, k))
  seen = (ids[:, None] == ids) & (ids > 0)
  at = np.arange(len(ids))
  if window is not None:
    seen &= abs(at[:, None] - at) <= window
  if causal:
    seen &= at <= at[:, None]
  scores = np.where(seen, q @ k.swapaxes(1, 2) / d**0.5, -np.inf)
  top = scores.max(-1, keepdims=True, initial=-1e30)
  p = np.exp(scores - top)
  p /= np.maximum(p.sum(-1, keepdims=True), 1e-300)
  out = p @ v
  ds = p * (do @ v.swapaxes(1, 2) - (do * out).sum(-1, keepdims=True))
  ds /= d**0.5
  dq, dk = (
    to_real(to_complex(x) / turn) for x in (ds @ k, ds.swapaxes(1, 2) @ q)
  )
  dk, dv = (
    x.reshape(shared, -1, len(ids), d).sum(1)
    for x in (dk, p.swapaxes(1, 2) @ do)
  )
  flat = lambda *x: np.concatenate(x).swapaxes(0, 1).reshape(len(ids), -1)
  return flat(out), flat(dq, dk, dv)


def exact_of(
  case: Case, qkv: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """`exact` of each row of a case, [B, S, ...]."""
  angles = case.angles()
  turns = (
    [None] * len(qkv)
    if angles is None
    else (np.asarray(angles[0], "d") + 1j * np.asarray(angles[1], "d"))
  )
  rows = [
    exact(*row, *case.need[:3])
    for row in zip(qkv, weight, case.segment_ids(), turns)
  ]
  return tuple(np.stack(x) for x in zip(*rows))
