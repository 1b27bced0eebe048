# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Token ids to pooled vectors, on all devices of this process.

Texts are packed into rows of a few lengths and rows into blocks of a few sizes,
so there is little padding and few programs are compiled. The rows of a block
are sharded over the devices, each of which holds the whole model.
"""

import collections
from collections.abc import Sequence
import functools
import itertools
import os
from typing import NamedTuple

import jax
from jax.sharding import Mesh
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec
import numpy as np

from nomic_jax.data import pack
from nomic_jax.errors import UserError
from nomic_jax.kernels import attention
from nomic_jax.mesh import partition
from nomic_jax.model import dtypes
from nomic_jax.model.architecture import Architecture
from nomic_jax.model.encoder import Encoder

DTYPES = ("float32", "bfloat16")
# Tokens of a block per device: enough to keep it busy, few enough to keep the
# scores of attention small. On a CPU activations should stay in the cache:
# 8,192 tokens take a quarter longer there.
_BLOCK_TOKENS = {"cpu": 1024}
_MOST_BLOCK_TOKENS = 8192
_FEW = 4  # remaining rows use blocks smaller by this factor
_SHORTEST_ROW = 64
_LONG_ROW = 512
_TOKENS_PER_SLOT = 4
_MOST_SLOTS = 128


@functools.cache
def _home() -> int:
  """Returns the process that first used a device; forks inherit the value."""
  return os.getpid()


class Block(NamedTuple):
  """Rows that are embedded together.

  Attributes:
    tokens: the encoder's inputs, int32 [B, S].
    slots: the largest number of texts in a row.
    texts: [K] indices of the texts.
    slot_of: [K] position of each among the B * slots vectors.
  """

  tokens: dict[str, np.ndarray]
  slots: int
  texts: np.ndarray
  slot_of: np.ndarray


class Embedder:
  """An encoder replicated over devices.

  Attributes:
    params: its parameters, on every device.
    longest: the largest number of tokens of a text.
  """

  def __init__(
    self,
    architecture: Architecture,
    params: dict,
    dtype: str = "float32",
    devices: Sequence[jax.Device] | None = None,
    longest: int | None = None,
  ):
    """Puts the parameters on the devices.

    Args:
      architecture: the architecture of the encoder.
      params: the encoder's parameters.
      dtype: the dtype of activations and matmuls; with bfloat16, matrices are
        stored in it too.
      devices: the devices to use; default: all local ones.
      longest: the largest number of tokens of a text; default:
        `architecture.max_length`.

    Raises:
      UserError: for an unknown dtype.
    """
    if dtype not in DTYPES:
      raise UserError(
        f"dtype '{dtype}' is unknown; expected {' or '.join(DTYPES)}"
      )
    self._process = _home()
    self.check_process()
    devices = list(devices or jax.local_devices())
    self._devices = len(devices)
    self._block_tokens = _BLOCK_TOKENS.get(
      devices[0].platform, _MOST_BLOCK_TOKENS
    )
    self._on_cpu = devices[0].platform == "cpu"
    a = architecture
    self._width, self._pad = a.output_width, a.pad_token_id
    self.longest = max(longest or a.max_length, _SHORTEST_ROW)
    mesh = Mesh(np.array(devices), ("rows",))
    everywhere = NamedSharding(mesh, PartitionSpec())
    shared = NamedSharding(mesh, PartitionSpec("rows"))
    self.params = jax.device_put(_matrices_as(params, dtype), everywhere)
    attends = attention.choose(
      "auto",
      mesh,
      ("rows",),
      a.needs,
      forward_only=True,
      longest=self.longest,
      dtype=dtype,
      quiet=True,
    )
    # On CPUs a scan in bfloat16 would keep float32 copies of all layers.
    unroll = dtype == "bfloat16" and self._on_cpu
    encoder = Encoder(
      a, dtype=dtype, attention=attends, unroll=len(a.layers) if unroll else 1
    )
    vectors = lambda *args: encoder.embed(*args).vectors
    self._embed = jax.jit(
      partition.in_mesh(vectors, mesh),
      static_argnums=2,
      in_shardings=(everywhere, shared),
      out_shardings=shared,
    )

  def check_process(self) -> None:
    """Refuses to run in a fork, where JAX would wait for missing threads.

    Raises:
      UserError: in a process forked from the one that first loaded a model.
    """
    if os.getpid() != self._process:
      raise UserError(
        "this process was forked from one that had loaded a model, and JAX's "
        "threads do not survive a fork; start workers with "
        "multiprocessing.get_context('spawn'), or load models only in workers"
      )

  def plan(self, ids: Sequence[pack.Ids]) -> list[Block]:
    """Packs texts, each at most `longest` tokens, into blocks."""
    rows = pack.best_fit([len(i) for i in ids], self._row_length, _slots)
    by_length = collections.defaultdict(list)
    for length, texts in rows:
      by_length[length].append(texts)
    blocks = []
    for length, rows in sorted(by_length.items()):
      many = max(self._block_tokens // length, 1)
      few = max(many // _FEW, 1)
      needed, sizes = -(-len(rows) // self._devices), (many, few, 1)
      if self._on_cpu and needed > many:
        # Compiling a third size takes longer than computing a few empty rows.
        sizes = many, few
      start = 0
      for size in _split(needed, sizes):
        count = size * self._devices
        part = rows[start : start + count]
        blocks.append(self._block(ids, part, count, length))
        start += count
    return blocks

  def run(self, blocks: Sequence[Block], count: int) -> np.ndarray:
    """Returns vectors of the `count` texts in `blocks`, float32 [count, D]."""
    width = self._width
    out = np.zeros((count, width), np.float32)
    waiting = collections.deque()
    # At most two blocks are queued, since a CPU computes all queued blocks at
    # once, which takes the memory of all.
    for block in itertools.chain(blocks, (None,)):
      if block:
        pooled = self._embed(self.params, block.tokens, block.slots)
        waiting.append((block, pooled))
      if waiting and (len(waiting) > 1 or not block):
        done, pooled = waiting.popleft()
        out[done.texts] = np.asarray(pooled).reshape(-1, width)[done.slot_of]
    return out

  def _row_length(self, tokens: int) -> int:
    """Returns the row length: 64, 128, 192, 256, 384, 512, ... or `longest`.

    On a CPU, where long rows are slow, 512 is followed by 576, 640, ... 1,024,
    1,152, ...: less padding, but more shapes to compile.
    """
    length = _SHORTEST_ROW
    while length < tokens:
      length *= 2
    if length > 2 * _SHORTEST_ROW:
      step = length // (16 if self._on_cpu and length > _LONG_ROW else 4)
      length = -(-tokens // step) * step
    return min(length, self.longest)

  def _block(
    self, ids: Sequence, rows: Sequence, count: int, length: int
  ) -> Block:
    packed = pack.fill(ids, rows, count, length, self._pad)
    slots = _slots(length)
    tokens = {
      "ids": packed.ids,
      "segment_ids": packed.segment_ids,
      "positions": packed.positions,
    }
    slot_of = [
      r * slots + k for r, texts in enumerate(rows) for k in range(len(texts))
    ]
    texts = np.fromiter(itertools.chain.from_iterable(rows), np.int64)
    return Block(tokens, slots, texts, np.array(slot_of, np.int64))


def _slots(row_length: int) -> int:
  return min(row_length // _TOKENS_PER_SLOT, _MOST_SLOTS)


def _split(rows: int, sizes: Sequence[int]) -> list[int]:
  """Splits `rows` into blocks of two or three decreasing sizes.

  A block may be up to a quarter empty, and a small block even emptier, since
  several smaller blocks would take longer.
  """
  blocks = []
  for size, spare in zip(sizes, (4 / 3, 4, 1)):
    spare = size + 1 if size == sizes[-1] else spare  # no row is left over
    while rows >= size or rows * spare > size:
      blocks.append(size)
      rows = max(rows - size, 0)
  return blocks


def _matrices_as(params: dict, dtype: str) -> dict:
  """Casts the matrices of the layers to a dtype, and nothing else."""
  if dtype == "float32":
    return params

  return jax.tree_util.tree_map_with_path(
    lambda path, leaf: (
      leaf.astype(dtype) if dtypes.is_multiplied(path) else leaf
    ),
    params,
  )
