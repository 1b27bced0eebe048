# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Floating-point operations of a training step, by formula.

What the model needs and not what a machine does: no recomputation, so that
its share of the peak (MFU, Chowdhery et al. 2022, appendix B) falls when
activations are computed twice. Two operations for a multiplication and
addition; the backward pass counts twice the forward.
"""

import math
from typing import Any, Mapping

import jax

from nomic_jax.model.config import EncoderConfig

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
  return next(
      (v for k, v in PEAKS.items() if device_kind.startswith(k)), None)


def of_attention(c: EncoderConfig, tokens: int, length: int) -> float:
  """Forward, scores and their product with the values, all layers."""
  return 4.0 * c.layers * c.width * tokens * length


def of_encoder(c: EncoderConfig, tokens: int, length: int) -> float:
  """Forward, for `tokens` in rows of `length` that attend to all of a row."""
  block = 4 * c.width**2 + (3 if c.gated else 2) * c.width * c.mlp_width
  return 2.0 * c.layers * block * tokens + of_attention(c, tokens, length)


def of_step(c: EncoderConfig, shapes: Mapping[str, tuple[int, ...]]) -> float:
  """Forward and backward of a whole batch over all its micro-batches.

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


def of_batch(c: EncoderConfig, batch: Mapping[str, Any]) -> float:
  """`of_step` of a global batch, of which each host holds as many rows."""
  hosts = jax.process_count()
  shapes = {k: (len(x), hosts * x.shape[1], *x.shape[2:])
            for k, x in batch.items()}
  return of_step(c, shapes)
