# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Floating-point operations of a training step, by formula.

What the model needs and not what a machine does: no recomputation, so that
its share of the peak (MFU, Chowdhery et al. 2022, appendix B) falls when
activations are computed twice. Two operations for a multiplication and
addition; the backward pass counts twice the forward.
"""

from collections.abc import Mapping
import math
from typing import Any

import jax
import numpy as np

from nomic_jax.model.architecture import Architecture
from nomic_jax.model.architecture import Attention

# bfloat16 FLOP/s of a device as its maker publishes them, without sparsity, by
# the start of `jax.Device.device_kind`; the first that fits counts.
PEAKS = {
  "TPU v4": 275e12,
  "TPU v5 lite": 197e12,
  "TPU v5": 459e12,
  "TPU v6 lite": 918e12,
  "TPU7x": 1153.5e12,  # a core of two, each of which is a device
  "NVIDIA A100": 312e12,
  "NVIDIA H100 PCIe": 756e12,
  "NVIDIA H100": 989e12,
  "NVIDIA H200": 989e12,
}


def peak_of(device_kind: str) -> float | None:
  """FLOP/s, or None for a device that is not known."""
  return next((v for k, v in PEAKS.items() if device_kind.startswith(k)), None)


def _seen(attention: Attention, length: int) -> float:
  """How many tokens of a text of `length` one sees, on average."""
  window = length - 1
  if attention.window is not None:
    window = min(attention.window, window)
  one_side = window - window * (window + 1) / (2 * length)
  return 1 + one_side * (1 if attention.causal else 2)


def of_attention(a: Architecture, tokens: int, length: int) -> float:
  """Forward, scores and their product with the values, all layers."""
  return (
    4.0
    * tokens
    * sum(
      layer.attention.heads
      * layer.attention.width
      * _seen(layer.attention, length)
      for layer in a.layers
    )
  )


def of_encoder(a: Architecture, tokens: int, length: int) -> float:
  """Forward, for `tokens` in texts of `length`."""
  matrices = 0
  for layer in a.layers:
    heads = 2 * (layer.attention.heads + layer.attention.kv_heads)
    matrices += a.width * (
      heads * layer.attention.width
      + (3 if layer.mlp.gated else 2) * layer.mlp.width
    )
  return 2.0 * matrices * tokens + of_attention(a, tokens, length)


def of_step(c: Architecture, shapes: Mapping[str, tuple[int, ...]]) -> float:
  """Forward and backward of a whole batch over all its micro-batches.

  Of shapes alone: each row is taken to be one text that fills it, which is the
  most a batch can need. `of_batch` counts what a batch needs.

  Args:
    c: the encoder's architecture.
    shapes: of the batch's arrays; `masked` adds the vocabulary's matmul,
      `candidate` that of queries and candidates.
  """
  *rows, length = shapes["ids"]
  forward = of_encoder(c, math.prod(rows) * length, length)
  if "masked" in shapes:
    head = c.width**2 + c.width * c.vocab_size
    forward += 2.0 * math.prod(shapes["masked"]) * head
  if "candidate" in shapes:
    micro, candidates = shapes["candidate"]
    forward += 2.0 * micro * shapes["query"][1] * candidates * c.width
  return 3 * forward


def of_batch(c: Architecture, batch: Mapping[str, Any]) -> float:
  """Forward and backward of a global batch, of which a host has its share.

  What its texts need: attention is within a text, padding needs nothing, and
  only labels that are there meet the vocabulary. The other hosts' shares are
  taken to need as much.
  """
  hosts = jax.process_count()
  segment_ids = batch["segment_ids"].reshape(-1, batch["segment_ids"].shape[-1])
  lengths = _lengths(segment_ids)
  forward = sum(
    of_encoder(c, int(length * count), int(length))
    for length, count in zip(*np.unique(lengths, return_counts=True))
  )
  if "masked" in batch:
    head = c.width**2 + c.width * c.vocab_size
    forward += 2.0 * int((batch["labels"] >= 0).sum()) * head
  forward *= hosts
  if "candidate" in batch:
    queries, candidates = (
      hosts * int((batch[k] >= 0).sum()) for k in ("query", "candidate")
    )
    forward += 2.0 * queries * candidates * c.width
  return 3 * forward


def _lengths(segment_ids: np.ndarray) -> np.ndarray:
  """Tokens of each text of rows [B, S]."""
  texts = segment_ids.astype(np.int64)
  texts += np.arange(len(texts))[:, None] * (texts.max(initial=0) + 1)
  _, lengths = np.unique(texts[segment_ids > 0], return_counts=True)
  return lengths
