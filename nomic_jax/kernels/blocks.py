# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Block sizes of kernels, by device and length of a row.

`python -m nomic_jax.aot.tune` writes blocks.json: every pair of sizes tried,
with its cost or the reason why it failed.
"""

import functools
import json
import math
import pathlib
from typing import Literal

from jax.experimental.pallas import tpu as pltpu
import jax.numpy as jnp
from jax.typing import DTypeLike

from nomic_jax.errors import UserError
from nomic_jax.kernels import tpu_rows
from nomic_jax.kernels.layout import Call
from nomic_jax.storage.values import JsonObject

TABLE = pathlib.Path(__file__).with_name("blocks.json")
# Rows are rounded up to this many tokens.
MULTIPLE = {"pallas_tpu": 128, "pallas_gpu": 64}
# Defaults where the table has no entry: kernel, prefix of the device kind,
# dtypes and sizes. Sizes are of queries and keys forward, then of queries and
# keys backward (TPU) or of own and visited tokens backward (GPU). Those for
# GPUs spill few registers or none.
_DEFAULT = (
  ("pallas_tpu", "", ("float32", "bfloat16"), (1024, 256, 512, 512)),
  ("pallas_gpu", "NVIDIA H", ("bfloat16",), (128, 64, 64, 64)),
  ("pallas_gpu", "", ("bfloat16",), (128, 32, 32, 32)),
  ("pallas_gpu", "", ("float32",), (64, 32, 32, 32)),
)
# VMEM available to a kernel in MiB, by prefix of `jax.Device.device_kind`. The
# compiler reserves the rest.
_VMEM = {
  "TPU v4": 16,
  "TPU v5 lite": 100,
  "TPU v5": 62,
  "TPU v6": 100,
  "TPU7": 56,
}


def find(
  kernel: str, call: Call, length: int, dtype: DTypeLike
) -> tuple[int, int, int, int]:
  """Returns block sizes in tokens: two forward, then two backward.

  Args:
    kernel: an implementation.
    call: its `blocks`, if given, are used unchanged.
    length: S, before rounding up to a multiple of `MULTIPLE`.
    dtype: the dtype of the operands.

  Raises:
    UserError: for given blocks that do not divide the row.
  """
  length += -length % MULTIPLE[kernel]
  if call.blocks is not None:
    for block in call.blocks:
      check(kernel, block, length)
    return call.blocks
  dtype = jnp.dtype(dtype).name
  default = next(
    sizes
    for k, device, dtypes, sizes in _DEFAULT
    if k == kernel and call.device.startswith(device) and dtype in dtypes
  )
  wanted = (
    *(tuned(kernel, call.device, length, dtype, "forward") or default[:2]),
    *(tuned(kernel, call.device, length, dtype, "backward") or default[2:]),
  )
  if kernel == "pallas_tpu" and call.reach.widest is not None:
    # A larger block would visit blocks entirely outside its window.
    near = max(128, 2 ** (max(call.reach.widest, 1) - 1).bit_length())
    at_once = tpu_rows.span(call.reach, 2 * near, length)
    limits = (2 * near, near, 2 * near, 2 * near if at_once else near)
    wanted = tuple(map(min, wanted, limits))
  if kernel == "pallas_gpu" and call.layout.width > 128:
    wanted = (max(size // 2, 16) for size in wanted)  # limited by registers
  a, b, c, d = (_divisor(kernel, length, size) for size in wanted)
  return a, b, c, d


def check(kernel: str, block: int, length: int) -> None:
  """Raises UserError for a block size that a kernel does not support."""
  if kernel == "pallas_tpu":
    good, rule = block > 0 and block % 128 == 0, "a multiple of 128"
  else:
    good, rule = (
      block >= 16 and math.log2(block) % 1 == 0,
      ("a power of two, at least 16"),
    )
  if not good or length % block:
    raise UserError(
      f"{kernel}: a block of {block} tokens does not divide rows of "
      f"{length} (rounded up to a multiple of {MULTIPLE[kernel]}); expected "
      f"{rule} that does"
    )


def tuned(
  kernel: str, device: str, length: int, dtype: str, way: str
) -> tuple[int, int] | None:
  """Returns the cheapest pair, for the next longer (or longest) length."""
  records = [
    r
    for r in _table()
    if (r["kernel"], r["device"], r["dtype"], r["pass"])
    == (kernel, device, dtype, way)
    and "cost" in r
  ]
  if not records:
    return None
  lengths = sorted({r["length"] for r in records})
  at = next((n for n in lengths if n >= length), lengths[-1])
  best = min((r for r in records if r["length"] == at), key=lambda r: r["cost"])
  first, second = best["blocks"]
  return first, second


@functools.cache
def _table() -> list[JsonObject]:
  return json.loads(TABLE.read_text()) if TABLE.exists() else []


def tpu_params(
  call: Call, semantics: tuple[Literal["parallel", "arbitrary"], ...]
) -> pltpu.CompilerParams:
  """Returns the compiler parameters of Mosaic for `call.device`."""
  size = _vmem(call.device)
  return pltpu.CompilerParams(
    dimension_semantics=semantics, vmem_limit_bytes=size << 20 if size else None
  )


def tpu_tile(call: Call) -> int:
  """Returns the number of rows and columns of the device's matrix unit."""
  return 256 if call.device.startswith(("TPU v6", "TPU7")) else 128


def tpu_room(call: Call, itemsize: int) -> float:
  """Returns how many tokens of a row fit in VMEM; infinity if unknown."""
  size = _vmem(call.device)
  if size is None:
    return math.inf
  # Blocks of 128 lanes, or as wide as a head, and the table, all in the inputs'
  # type; float32 rows; and what the compiler spills.
  wide = max(call.layout.width, 128)
  blocks, lines, spilled = (
    (7, 0, 6) if call.forward_only else (19, 4 * wide + 96, 2 * itemsize)
  )
  if call.layout.group > 1 and not call.forward_only:
    blocks, lines = blocks + 1, lines + 8 * wide  # sums over the group
  each = (blocks * wide + 32 + wide) * itemsize + lines
  return ((size - spilled << 20) + 2**20 - 1) // each // 128 * 128


def _vmem(device: str) -> int | None:
  return next((v for k, v in _VMEM.items() if device.startswith(k)), None)


def _divisor(kernel: str, length: int, wanted: int) -> int:
  """Returns the largest block up to `wanted` that divides `length`."""
  if kernel == "pallas_tpu":
    return next(b for b in range(wanted, 0, -128) if length % b == 0)
  return math.gcd(length, wanted)  # a power of two, since `wanted` is one
