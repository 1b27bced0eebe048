# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Chooses the compute dtype for the devices."""

import pathlib
import re
from typing import Any

import jax

from nomic_jax.errors import check_choice

DTYPES = ("float32", "bfloat16")

# CPU flags, of x86 and Arm, for instructions that multiply bfloat16. A CPU
# without them emulates it, slower than float32.
_INSTRUCTIONS = re.compile(r"\b(avx512_bf16|amx_bf16|bf16|svebf16)\b")


def choose(name: str, platform: str) -> str:
  """Returns the compute dtype, and prints it if `name` is auto.

  Args:
    name: one of DTYPES, or auto: bfloat16 if the hardware multiplies it, else
      float32.
    platform: the platform of the devices, such as cpu or tpu.

  Raises:
    OptionError: for an unknown name.
  """
  if name == "auto":
    fast = platform != "cpu" or _cpu_multiplies_bfloat16()
    chosen = "bfloat16" if fast else "float32"
    print(f"dtype: {chosen}, for this {platform}")
    return chosen
  check_choice("dtype", name, ("auto", *DTYPES))
  return name


def is_multiplied(path: tuple[Any, ...]) -> bool:
  """Returns whether a parameter is a matrix of the stack of layers.

  Such matrices are used only in the compute dtype.
  """
  keys = jax.tree_util.keystr(path, simple=True, separator="/").split("/")
  return keys[-1] == "kernel" and any(k.startswith("layers") for k in keys)


def _cpu_multiplies_bfloat16(
  cpuinfo: pathlib.Path = pathlib.Path("/proc/cpuinfo"),
) -> bool:
  """Returns whether the CPU's flags include them; False except on Linux."""
  try:
    return bool(_INSTRUCTIONS.search(cpuinfo.read_text(errors="replace")))
  except OSError:
    return False
