# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""How large the blocks of a kernel are, by device and length of a row."""

from typing import Any

from jax.experimental.pallas import tpu as pltpu

from nomic_jax.errors import UserError

# VMEM that a kernel may take, MiB, by `jax.Device.device_kind`; the first
# letters decide. The compiler reserves the rest.
_VMEM = {"TPU v4": 16, "TPU v5 lite": 100, "TPU v5": 80, "TPU v6": 100,
         "TPU7": 56}
# Tokens in a block: queries and keys forward, queries and keys backward.
_TPU = (1024, 256, 512, 512)


def find(kernel: str, options: Any, length: int) -> tuple[int, ...]:
  """Tokens in a block: queries and keys forward, then backward.

  Args:
    kernel: an implementation.
    options: its `Attention`; `blocks` there are taken as they are.
    length: S, before it is rounded up to a multiple of 128.

  Raises:
    UserError: for blocks given that do not divide the row.
  """
  length += -length % 128
  if options.blocks is None:
    return tuple(_divisor(length, wanted) for wanted in _TPU)
  for block in options.blocks:
    if block < 128 or block % 128 or length % block:
      raise UserError(
          f"{kernel}: a block of {block} tokens does not divide rows of "
          f"{length} (rounded up to a multiple of 128); expected a multiple "
          "of 128 that does"
      )
  return options.blocks


def tpu_params(options: Any, semantics: tuple[str, ...]) -> Any:
  """How Mosaic is to compile for `options.device`."""
  size = [v for k, v in _VMEM.items() if options.device.startswith(k)]
  return pltpu.CompilerParams(
      dimension_semantics=semantics,
      vmem_limit_bytes=size[0] << 20 if size else None,
  )


def check_tpu_memory(options: Any, length: int, itemsize: int) -> None:
  """Raises UserError if a row of `length` tokens does not fit in VMEM."""
  size = [v for k, v in _VMEM.items() if options.device.startswith(k)]
  # Of flash_tpu_backward: blocks of 128 lanes in the inputs' type and in
  # float32, a few lines, and what the compiler spills.
  need = lambda n: (n * (24 * 128 * itemsize + 608) >> 20) + 4
  if size and need(length) > size[0]:
    fits = max(n for n in range(0, length, 128) if need(n) <= size[0])
    raise UserError(
        f"compute.attention: pallas_tpu has room for rows of {fits} tokens on "
        f"a {options.device}, not {length}; shorten them or set it to reference"
    )


def _divisor(length: int, wanted: int) -> int:
  """The largest multiple of 128 up to `wanted` that divides `length`."""
  return next(b for b in range(wanted, 0, -128) if length % b == 0)
