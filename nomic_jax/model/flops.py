# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Floating-point operations of a training step, by formula.

Counts what the model needs, not what a machine computes: recomputation is left
out, so that the share of the peak (MFU, Chowdhery et al. 2022, appendix B)
falls when activations are recomputed. A multiplication and addition count as
two operations; the backward pass counts twice the forward pass.
"""

from collections.abc import Mapping
import math

import jax
import numpy as np

from nomic_jax.model.architecture import Architecture
from nomic_jax.model.architecture import Attention
from nomic_jax.model.params import Batch

# Peak bfloat16 FLOP/s of a device as published by its maker, without sparsity,
# by prefix of `jax.Device.device_kind`; the first match counts.
PEAKS = {
  "TPU v4": 275e12,
  "TPU v5 lite": 197e12,
  "TPU v5": 459e12,
  "TPU v6 lite": 918e12,
  "TPU7x": 1153.5e12,  # per core; each of a chip's two cores is a device
  "NVIDIA A100": 312e12,
  "NVIDIA H100 PCIe": 756e12,
  "NVIDIA H100": 989e12,
  "NVIDIA H200": 989e12,
}


def peak_of(device_kind: str) -> float | None:
  """Returns the peak FLOP/s, or None for an unknown device."""
  return next((v for k, v in PEAKS.items() if device_kind.startswith(k)), None)


def _seen(attention: Attention, length: int) -> float:
  """Returns how many tokens of a text of `length` a token sees, on average."""
  window = length - 1
  if attention.window is not None:
    window = min(attention.window, window)
  one_side = window - window * (window + 1) / (2 * length)
  return 1 + one_side * (1 if attention.causal else 2)


def of_attention(a: Architecture, tokens: int, length: int) -> float:
  """Returns the forward FLOPs of scores and their product with the values."""
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
  """Returns the forward FLOPs of `tokens` tokens in texts of `length`."""
  matrices = a.embedding.width * a.width if a.embedding.width else 0
  for layer in a.layers:
    heads = 2 * (layer.attention.heads + layer.attention.kv_heads)
    matrices += a.width * (
      heads * layer.attention.width
      + (3 if layer.mlp.gated else 2) * layer.mlp.width
    )
  return 2.0 * matrices * tokens + of_attention(a, tokens, length)


def of_step(c: Architecture, shapes: Mapping[str, tuple[int, ...]]) -> float:
  """Returns the FLOPs of forward and backward of a batch and its micro-batches.

  Computed from shapes alone, assuming that each row is a single text that fills
  it, which is the most a batch can need. `of_batch` counts what a batch needs.

  Args:
    c: the encoder's architecture.
    shapes: the shapes of the batch's arrays; `masked` adds the product with the
      vocabulary, `candidate` that of queries and candidates.
  """
  *rows, length = shapes["ids"]
  forward = of_encoder(c, math.prod(rows) * length, length)
  if "masked" in shapes:
    head = c.table_width * (c.width + c.vocab_size)
    forward += 2.0 * math.prod(shapes["masked"]) * head
  if "candidate" in shapes:
    micro, candidates = shapes["candidate"]
    forward += 2.0 * micro * shapes["query"][1] * candidates * c.width
  return 3 * forward


def of_batch(c: Architecture, batch: Batch) -> float:
  """Returns the FLOPs of forward and backward of a global batch.

  Counts what its texts need: attention is within a text, padding needs nothing,
  and only existing labels are multiplied with the vocabulary. The shares of
  other hosts are assumed to need as much as this host's.
  """
  hosts = jax.process_count()
  segment_ids = batch["segment_ids"].reshape(-1, batch["segment_ids"].shape[-1])
  lengths = _lengths(segment_ids)
  forward = sum(
    of_encoder(c, int(length * count), int(length))
    for length, count in zip(*np.unique(lengths, return_counts=True))
  )
  if "masked" in batch:
    head = c.table_width * (c.width + c.vocab_size)
    forward += 2.0 * int((batch["labels"] >= 0).sum()) * head
  forward *= hosts
  if "candidate" in batch:
    queries, candidates = (
      hosts * int((batch[k] >= 0).sum()) for k in ("query", "candidate")
    )
    forward += 2.0 * queries * candidates * c.width
  return 3 * forward


def _lengths(segment_ids: np.ndarray) -> np.ndarray:
  """Returns the number of tokens of each text of rows [B, S]."""
  texts = segment_ids.astype(np.int64)
  texts += np.arange(len(texts))[:, None] * (texts.max(initial=0) + 1)
  _, lengths = np.unique(texts[segment_ids > 0], return_counts=True)
  return lengths
