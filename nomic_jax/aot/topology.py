# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""TPU slices and GPU hosts that are not attached, as devices to compile for.

libtpu knows every slice and compiles for it on any machine. JAX's CUDA plugin
does so for a GPU that is described to it.
"""

import dataclasses
import functools
import importlib.util
import math
import os
import re

import jax
from jax.experimental import topologies
import numpy as np

from nomic_jax.errors import nearest
from nomic_jax.errors import UserError
from nomic_jax.mesh import compiler_flags
from nomic_jax.model import flops


@dataclasses.dataclass(frozen=True)
class Chip:
  """The published properties of a chip.

  Attributes:
    memory: bytes per device.
    peak: bfloat16 FLOP/s per device.
    clock: in Hz; peak / (2 · multipliers of its matrix units). None if times
      cannot be estimated, for the reason in `unestimated`.
    links: bytes/s to its neighbours, both directions, all axes.
    kernels: the instruction bundles of each attention kernel, by name and for
      each of `LENGTHS`: for one head of width 64 and a row that is one text, in
      bfloat16, with the blocks of nomic_jax/kernels/blocks.json. A bundle takes
      one cycle, or more if it waits for memory.
    windows: the bundles per token and head of each kernel, by name, in a layer
      with a window of 64 tokens to either side.
    cores: number of cores that share the rows.
    devices: number of JAX devices per chip.
    memory_share: fraction of the memory that a job reserves unless the
      environment sets another; None: all of it.
    unestimated: why times cannot be estimated.
  """

  memory: int
  peak: float
  clock: float | None = None
  links: float = math.nan
  kernels: dict[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
  windows: dict[str, float] = dataclasses.field(default_factory=dict)
  cores: int = 1
  devices: int = 1
  memory_share: float | None = None
  unestimated: str = ""

  def kernel_cycles(self, kernel: str, length: int) -> float:
    """Returns the cycles of an attention kernel per head and row.

    Interpolates between `LENGTHS` as a power of the length and extrapolates
    beyond the longest as its square. Shorter rows are padded to the shortest.
    With a window the cost is that of a window of 64, and grows as the length.
    """
    if kernel in self.windows:
      return self.windows[kernel] * max(length, LENGTHS[0]) / self.cores
    counts = self.kernels[kernel]
    cycles = math.exp(
      np.interp(math.log(length), np.log(LENGTHS), np.log(counts))
    )
    return cycles * max(length / LENGTHS[-1], 1) ** 2 / self.cores


LENGTHS = (128, 256, 512, 1024, 2048, 4096, 8192)

_GIB = 2**30
_gpu = functools.partial(
  Chip,
  memory_share=compiler_flags.GPU_MEMORY_SHARE,
  unestimated="XLA counts no cycles for GPUs",
)
CHIPS = {
  "v5e": Chip(
    16 * _GIB,
    flops.PEAKS["TPU v5 lite"],
    1.5e9,
    1.8e11,
    dict(
      flash_forward=(274, 538, 1178, 4526, 15864, 56884, 219464),
      flash_backward=(464, 868, 2174, 8232, 29926, 106790, 416262),
    ),
    dict(flash_forward_window=3.66, flash_backward_window=4.93),
  ),
  "v5p": Chip(
    95 * _GIB,
    flops.PEAKS["TPU v5"],
    1.75e9,
    5.4e11,
    dict(
      flash_forward=(340, 612, 1249, 4630, 16074, 56590, 217692),
      flash_backward=(550, 959, 2268, 8186, 29480, 104559, 407073),
    ),
    dict(flash_forward_window=3.98, flash_backward_window=4.95),
    cores=2,
  ),
  "v6e": Chip(
    32 * _GIB,
    flops.PEAKS["TPU v6 lite"],
    1.75e9,
    3.6e11,
    dict(
      flash_forward=(245, 432, 902, 2534, 9506, 35200, 135152),
      flash_backward=(398, 710, 1571, 4762, 17392, 65324, 253120),
    ),
    dict(flash_forward_window=2.86, flash_backward_window=3.60),
  ),
  "tpu7x": Chip(
    96 * _GIB,
    flops.PEAKS["TPU7x"],
    devices=2,
    unestimated="the clock of this chip is not published",
  ),
  "h100": _gpu(84_978_434_048, flops.PEAKS["NVIDIA H100"]),
  "h200": _gpu(150_754_820_096, flops.PEAKS["NVIDIA H200"]),
}
_FLAT = ("2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
_SOLID = (
  "2x2x1",
  "2x2x2",
  "2x2x4",
  "2x4x4",
  "4x4x4",
  "4x4x8",
  "4x8x8",
  "8x8x8",
  "8x8x16",
  "8x16x16",
)
# Possible numbers of GPUs, eight per host.
_GPUS = tuple(str(2**i) for i in range(10))
SLICES = {
  "v5e": _FLAT,
  "v5p": _SOLID,
  "v6e": _FLAT,
  "tpu7x": _SOLID,
  "h100": _GPUS,
  "h200": _GPUS,
}

# What XLA must know about a Hopper GPU, as the driver would report it.
_HOPPER = """
gpu_device_info {{
  cuda_compute_capability {{ major: 9 }}
  core_count: 132 fpus_per_core: 128 clock_rate_ghz: 1.98
  threads_per_warp: 32 threads_per_block_limit: 1024
  threads_per_core_limit: 2048 block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535 block_dim_limit_z: 65535
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  shared_memory_per_core: 233472 shared_memory_per_block: 49152
  shared_memory_per_block_optin: 232448 l2_cache_size: 52428800
  memory_bandwidth: {bandwidth} device_memory_size: {memory}
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 8 }}
device_description_str: "{name}"
"""
_TARGETS = {
  "h100": _HOPPER.format(
    name="NVIDIA H100 80GB HBM3",
    bandwidth=3_352_320_000_000,
    memory=CHIPS["h100"].memory,
  ),
  "h200": _HOPPER.format(
    name="NVIDIA H200", bandwidth=4_800_000_000_000, memory=CHIPS["h200"].memory
  ),
}

# Settings in place of what libtpu would ask the metadata server.
_ENVIRONMENT = {
  "TPU_SKIP_MDS_QUERY": "1",
  "TPU_WORKER_HOSTNAMES": "localhost",
  "TPU_ACCELERATOR_TYPE": "v5litepod-16",
  "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # otherwise a lock file prevents a second
}


def canonical(name: str) -> str:
  """Returns the name here of a TPU slice that is named as in Google Cloud.

  That is by a number of chips, such as v5e-8 or v5litepod-8 for v5e:2x4; for
  v5p, of TensorCores, two per chip. Other names are returned unchanged.
  """
  match = re.fullmatch(r"(v5e|v5litepod|v5p|v6e)-(\d+)", name)
  if not match:
    return name
  chip = "v5e" if match[1] == "v5litepod" else match[1]
  chips = int(match[2]) / (2 if chip == "v5p" else 1)
  for shape in SLICES[chip]:
    if math.prod(map(int, shape.split("x"))) == chips:
      return f"{chip}:{shape}"
  return name


def devices(name: str, num_slices: int = 1) -> list[jax.Device]:
  """Returns the devices of `num_slices` slices of a topology to compile for.

  Raises:
    UserError: for an unknown topology, or if its compiler is not installed.
  """
  chip, _, shape = name.partition(":")
  if chip not in SLICES or shape not in SLICES[chip]:
    raise UserError(
      f"--topology: no '{name}'; expected one of "
      + "; ".join(f"{c}:{'|'.join(s)}" for c, s in SLICES.items())
      + "."
      + nearest(name, [f"{c}:{s}" for c in SLICES for s in SLICES[c]])
    )
  if num_slices < 1:
    raise UserError(f"--num_slices: {num_slices}; expected 1 or more")
  compiler_flags.set_for("gpu" if chip in _TARGETS else chip)
  if chip in _TARGETS:
    return _gpus(chip, int(shape), num_slices)
  if not importlib.util.find_spec("libtpu"):
    raise UserError(
      "compiling for TPUs requires libtpu, which is not installed; on any "
      "Linux machine, run pip install 'nomic_jax[tpu-aot]'"
    )
  for variable, value in _ENVIRONMENT.items():
    os.environ.setdefault(variable, value)
  # One slice does not accept the field that asks for several.
  more = {"num_slices": num_slices} if num_slices > 1 else {}
  return list(
    topologies.get_topology_desc(
      platform="tpu", topology_name=name, **more
    ).devices
  )


def _gpus(chip: str, count: int, num_slices: int) -> list[jax.Device]:
  if num_slices > 1:
    raise UserError(
      f"--num_slices: {num_slices}; GPUs have no slices, so specify all of "
      f"them as --topology={chip}:N"
    )
  if not any(
    importlib.util.find_spec(f"jax_plugins.{name}")
    for name in ("xla_cuda12", "xla_cuda13")
    if importlib.util.find_spec("jax_plugins")
  ):
    raise UserError(
      "compiling for GPUs requires JAX's CUDA plugin, which is not installed; "
      "on any Linux machine, run pip install 'nomic_jax[gpu-aot]'"
    )
  # JAX searches for the plugin at start, and the plugin fails without a driver
  # unless another platform is selected.
  jax.config.update("jax_platforms", "cpu")
  os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # it warns at length
  jax.local_devices()
  return list(
    topologies.get_topology_desc(
      platform="cuda",
      topology_name=chip,
      target_config=_TARGETS[chip],
      topology=f"1x{max(count // 8, 1)}x{min(count, 8)}",
    ).devices
  )


def usable(chip: Chip) -> int:
  """Returns the bytes of a device's memory that a job reserves.

  On GPUs that is nine tenths, or XLA_PYTHON_CLIENT_MEM_FRACTION, as in
  training.
  """
  if chip.memory_share is None:
    return chip.memory
  share = float(
    os.environ.get(compiler_flags.MEMORY_FRACTION, chip.memory_share)
  )
  return int(share * chip.memory)
