# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""TPU slices that are not there, as devices to compile for.

libtpu knows every slice there is and compiles for it on any machine.
"""

import dataclasses
import importlib.util
import os

import jax
from jax.experimental import topologies

from nomic_jax import flops
from nomic_jax.errors import nearest
from nomic_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Chip:
  """What a chip can do, as published.

  Attributes:
    memory: bytes.
    peak: bfloat16 FLOP/s.
    clock: Hz; peak / (2 · multipliers of its matrix units).
    links: bytes/s to its neighbours, both directions, all axes.
    kernels: by name the cycles of an attention kernel for one head in a row
      of n tokens, as (a, b) of a·n² + b·n: a line through the bundles that
      benchmarks/attention.py counts at 2,048 and 4,096 tokens for heads 64
      wide, 2 % below what it counts at 1,024. A bundle takes a cycle, or more
      where it waits for memory. Halved for v5p, whose two cores share the rows.
  """

  memory: int
  peak: float
  clock: float
  links: float
  kernels: dict[str, tuple[float, float]]


_GIB = 2**30
CHIPS = {
    "v5e": Chip(
        16 * _GIB, flops.PEAKS["TPU v5 lite"], 1.5e9, 1.8e11,
        {"flash_forward": (3.77e-3, 1.27), "flash_backward": (6.26e-3, 3.54)}),
    "v5p": Chip(
        95 * _GIB, flops.PEAKS["TPU v5"], 1.75e9, 5.4e11,
        {"flash_forward": (1.85e-3, 0.65), "flash_backward": (3.11e-3, 1.58)}),
    "v6e": Chip(
        32 * _GIB, flops.PEAKS["TPU v6 lite"], 1.75e9, 3.6e11,
        {"flash_forward": (2.36e-3, 1.10), "flash_backward": (4.33e-3, 3.07)}),
}
_FLAT = ("2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
_SOLID = ("2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8",
          "8x8x8", "8x8x16", "8x16x16")
SLICES = {"v5e": _FLAT, "v5p": _SOLID, "v6e": _FLAT}

# What libtpu asks the machine about, where there is no TPU to answer.
_ENVIRONMENT = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-16",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # else a lock file stops a second one
}


def devices(name: str, num_slices: int = 1) -> list[jax.Device]:
  """Devices of `num_slices` slices of the topology, to compile for.

  Raises:
    UserError: for a topology that does not exist, or without libtpu.
  """
  chip, _, shape = name.partition(":")
  if chip not in SLICES or shape not in SLICES[chip]:
    raise UserError(
        f"--topology: no '{name}'; expected one of " + "; ".join(
            f"{c}:{'|'.join(s)}" for c, s in SLICES.items())
        + ", all of them TPUs."
        + nearest(name, [f"{c}:{s}" for c in SLICES for s in SLICES[c]])
    )
  if num_slices < 1:
    raise UserError(f"--num_slices: {num_slices}; expected 1 or more")
  if not importlib.util.find_spec("libtpu"):
    raise UserError(
        "libtpu is not installed, which compiles for TPUs on any Linux "
        "machine; pip install 'nomic_jax[tpu-aot]' brings it"
    )
  for variable, value in _ENVIRONMENT.items():
    os.environ.setdefault(variable, value)
  # Two slices are asked for by a field that one slice does not take.
  more = {"num_slices": num_slices} if num_slices > 1 else {}
  return list(topologies.get_topology_desc(
      platform="tpu", topology_name=name, **more).devices)
