# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Sizes of a training run, chosen from its data, its model and the device.

Each function states its rule. The results are reasonable first choices; any of
them can be set in the config instead.
"""

from collections.abc import Sequence
import math
import pathlib
from typing import NamedTuple

import jax
import numpy as np

from nomic_jax.data import pack
from nomic_jax.errors import UserError
from nomic_jax.model import flops
from nomic_jax.model.architecture import Architecture

# Parameters, gradient, Adam's two moments, and the copy that is evaluated.
_COPIES = 5
# Floats that a layer saves per token for the backward pass, in units of the
# width: Korthikanti et al. 2022, section 4.1, without dropout and in float32.
_KEPT = 24
_EVALUATIONS = 10  # of a training run
# Tokens of a row that are tried on a CPU, in eighths of the longest text.
_EIGHTHS = (8, 10, 12, 16)
# Of a CPU: FLOPs of products in the time that a step takes to compile, and how
# many times slower it computes those of attention, with its softmax.
_COMPILE, _SLOWER = 1e12, 5
_CHUNK = (1024, 32_768)  # minimum and maximum, in tokens


class Lengths(NamedTuple):
  """Tokens of queries or documents.

  Attributes:
    limit: where texts are truncated.
    longest: tokens of the longest text given.
    truncated: fraction of the texts given that are longer than the limit.
  """

  limit: int
  longest: int
  truncated: float


def text_length(tokens: Sequence[int], most: int) -> Lengths:
  """Returns a length that fits 98 % of the texts, a multiple of 8.

  Rows are packed, so a limit that few texts reach costs little.

  Args:
    tokens: number of tokens in each text, including special ones.
    most: the number that the model reads.
  """
  ordered = sorted(tokens)
  enough = ordered[math.ceil(0.98 * len(ordered)) - 1]
  limit = min(-(-enough // 8) * 8, most)
  longer = sum(n > limit for n in tokens)
  return Lengths(limit, ordered[-1], longer / len(tokens))


class Rows(NamedTuple):
  """The shape of a batch's packed rows, and how much of it is empty.

  Attributes:
    row_length: tokens of a row.
    slots: maximum number of texts in it.
    rows_multiple: the number of rows is rounded up to a multiple of it.
    empty: share of the token slots without a token.
  """

  row_length: int
  slots: int
  rows_multiple: int
  empty: float


def rows_on_cpu(
  architecture: Architecture,
  batches: Sequence[Sequence[int]],
  longest: int,
  steps: int,
  devices: int = 1,
) -> Rows:
  """The rows with which a training run takes a CPU the least time.

  Short rows have little attention, whose time in plain JAX grows with the
  square of a row's length, and long ones are easily filled. Each number of rows
  is compiled, which takes as long as several steps, and rounding it up leaves
  rows empty. The sum of all three decides; a training run of many steps affords
  more shapes.

  Args:
    architecture: the encoder's.
    batches: lengths of the texts of some batches, in tokens.
    longest: the maximum length of a text.
    steps: number of training steps.
    devices: over which rows are divided.
  """
  used = sum(map(sum, batches))
  best, least = None, math.inf
  for length in sorted({-(-longest * e // 128) * 16 for e in _EIGHTHS}):
    slots = max(length // 4, 1)
    counts = np.array([_count(batch, length, slots) for batch in batches])
    each = flops.of_encoder(architecture, length, length)
    each += (_SLOWER - 1) * flops.of_attention(architecture, length, length)
    most = math.ceil(counts.max() / devices)
    for multiple in {devices * -(-most // parts) for parts in range(1, 33)}:
      made = -(-counts // multiple) * multiple
      time = 3 * steps * made.mean() * each + _COMPILE * len(np.unique(made))
      if time < least:
        empty = float(1 - used / (made.sum() * length))
        best, least = Rows(length, slots, multiple, empty), time
  assert best is not None
  return best


def _count(lengths: Sequence[int], row_length: int, slots: int) -> int:
  """Returns the number of rows that texts of these lengths fill."""
  return len(pack.best_fit(lengths, lambda _: row_length, lambda _: slots))


def batch_size(rows: int, accelerator: bool, devices: int = 1) -> int:
  """Returns a power of two near rows / 30, for about 30 steps in an epoch.

  On a CPU it is between 16 and 64, since a step takes time in proportion;
  elsewhere up to 512, since more in-batch negatives cost little. The result is
  a multiple of the number of devices.
  """
  most = 512 if accelerator else 64
  wanted = min(max(rows // 30, 16), most)
  size = 1 << (wanted.bit_length() - 1)
  return max(size // devices, 1) * devices


def epochs(rows: int, batch: int, accelerator: bool) -> float:
  """Returns the number of epochs in about 400 steps, between 1 and 10.

  On a CPU, it is the number in about 150 steps, to limit the time.
  """
  steps = 400 if accelerator else 150
  return float(min(max(round(steps * batch / rows), 1), 10))


def evaluate_every(steps: int) -> int:
  """Returns the interval for ten evaluations, at least one step."""
  return max(round(steps / _EVALUATIONS), 1)


def chunk_tokens(architecture: Architecture, memory: int) -> int:
  """Returns the tokens whose activations fill a quarter of the memory."""
  each = 4 * _KEPT * architecture.width * len(architecture.layers)
  fewest, most = _CHUNK
  wanted = min(max(memory // 4 // each, fewest), most)
  return 1 << (int(wanted).bit_length() - 1)


def memory() -> int:
  """Returns the bytes of the device's memory; on a CPU, those available."""
  stats = jax.local_devices()[0].memory_stats() or {}
  if "bytes_limit" in stats:
    return int(stats["bytes_limit"])
  file = pathlib.Path("/proc/meminfo")
  if not file.is_file():
    return 8 << 30
  lines = dict(line.split(":", 1) for line in file.read_text().splitlines())
  return int(lines["MemAvailable"].split()[0]) * 1024


def check_fits(directory: pathlib.Path, available: int) -> None:
  """Raises UserError for a model whose training does not fit in memory.

  Args:
    directory: the directory of the model.
    available: bytes.
  """
  weights = sum(f.stat().st_size for f in directory.glob("*.safetensors"))
  needed = _COPIES * weights
  if needed > available:
    raise UserError(
      f"{directory}: its {weights / 1e9:.2f} GB of weights take "
      f"{needed / 1e9:.1f} GB to train (with gradient, optimizer and a copy "
      f"to evaluate), and {available / 1e9:.1f} GB are available; choose a "
      "smaller model or a machine with more memory"
    )
