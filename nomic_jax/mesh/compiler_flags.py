# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Flags of libtpu and XLA that jobs set, each with its reason.

They are environment variables that are read when the accelerator's backend
starts, so set them before creating the first array. A flag that the user has
already set is kept. Gains are estimates by the compiler; none has been timed on
a TPU.

Nothing is set for multislice. MaxText sets xla_tpu_enable_data_parallel_all_
reduce_opt and xla_tpu_data_parallel_opt_different_sized_ops for exchanges over
the data centre's network. libtpu 0.0.42 accepts both and compiles a
data-parallel step for two slices into the same program with and without them:
it already reduces within each slice, exchanges shards between slices, and
gathers within each slice.
"""

from collections.abc import Mapping
import os
import pathlib
from typing import NamedTuple

from nomic_jax.mesh import host_memory

TPUS = ("v2", "v3", "v4", "v5e", "v5p", "v6e", "tpu7x")
# By default JAX reserves three quarters of a GPU's memory. NCCL and the CUDA
# context need the last tenth; NVIDIA calls 0.8 to 0.9 typical.
MEMORY_FRACTION = "XLA_PYTHON_CLIENT_MEM_FRACTION"
GPU_MEMORY_SHARE = 0.9


class Flag(NamedTuple):
  """A compiler flag.

  Attributes:
    variable: the environment variable that holds the compiler's flags.
    name: with its dashes.
    value: the value of the flag.
    chips: the chips it applies to.
    reason: what it does and what that gains.
  """

  variable: str
  name: str
  value: str
  chips: tuple[str, ...]
  reason: str


FLAGS = (
  Flag(
    "LIBTPU_INIT_ARGS",
    "--xla_tpu_scoped_vmem_limit_kib",
    "32768",
    ("v5e", "v5p", "v6e", "tpu7x"),
    "A fusion may use 32 MiB of VMEM instead of 16, so matrix products have "
    "larger tiles: 12 layers forward and backward take 1 to 3 % fewer cycles "
    "on v5e. With 64 MiB there is no further gain, and v6e takes 3 % more "
    "(configs/mlm.py with compute.unroll=1, 64 chips). v5e and v6e have 128 "
    "MiB, v5p and TPU7x 64, and cores before v5 have 16.",
  ),
  Flag(
    "XLA_FLAGS",
    "--xla_gpu_enable_latency_hiding_scheduler",
    "true",
    ("gpu",),
    "Gradients are summed while the rest of the backward pass computes; "
    "otherwise collectives and matrix products alternate. NVIDIA's JAX images "
    "set it.",
  ),
)

_GOOGLE = "0x1ae0"
_TPU_OF = {  # by PCI device id, as in JAX
  "0x0027": "v3",
  "0x005e": "v4",
  "0x0062": "v5p",
  "0x0063": "v5e",
  "0x006f": "v6e",
  "0x0076": "tpu7x",
}
_NVIDIA = ("dev/nvidia0", "dev/nvidiactl", "dev/dxg")


def variables(chip: str, environment: Mapping[str, str]) -> dict[str, str]:
  """Returns the environment variables to set, with their new values.

  Args:
    chip: one of TPUS, "gpu", or anything else, which has no flags.
    environment: the current environment, with the user's settings.
  """
  updates: dict[str, str] = {}
  for flag in FLAGS:
    given = updates.get(flag.variable, environment.get(flag.variable, ""))
    names = [word.partition("=")[0] for word in given.split()]
    if chip in flag.chips and flag.name not in names:
      updates[flag.variable] = f"{flag.name}={flag.value} {given}".strip()
  if chip == "gpu" and not environment.get(MEMORY_FRACTION):
    updates[MEMORY_FRACTION] = str(GPU_MEMORY_SHARE)
  return updates


def set_for(chip: str) -> None:
  """Sets the flags of `chip` in this process; see `variables`."""
  os.environ.update(variables(chip, os.environ))


def set_for_this_machine() -> None:
  """Sets what suits the accelerator of this machine or, without one, its CPU.

  Call it before the first array is created.
  """
  chip = chip_here()
  set_for(chip)
  if not chip:
    host_memory.keep_freed()


def chip_here(root: str = "/") -> str:
  """Returns the accelerator of this machine: one of TPUS, "gpu", or "".

  Does not use JAX or a driver, which would start the backend.
  """
  for vendor in pathlib.Path(root).glob("sys/bus/pci/devices/*/vendor"):
    device = vendor.with_name("device")
    if vendor.read_text().strip() == _GOOGLE and device.is_file():
      if chip := _TPU_OF.get(device.read_text().strip(), ""):
        return chip
  return (
    "gpu" if any((pathlib.Path(root) / p).exists() for p in _NVIDIA) else ""
  )
