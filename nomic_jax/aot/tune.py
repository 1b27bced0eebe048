# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Finds the block sizes of attention for a device and adds them to blocks.json.

    python -m nomic_jax.aot.tune                     # the local device
    python -m nomic_jax.aot.tune --chips=v5e,v6e     # TPUs; needs no TPU

Compiles each pair of sizes for heads of width 64. On the local device it is
timed. Otherwise its cost is the number of bundles that the compiler lists
(requires pip install 'nomic_jax[tpu-aot]'). Half of the rows are one text and
half are eight texts, since large blocks are faster and small ones skip more. A
pair that fails is recorded with the reason.
"""

import argparse
from collections.abc import Iterator
import itertools
import json
import os
import time

import jax
import jax.numpy as jnp
import numpy as np

from nomic_jax.aot import bundles
from nomic_jax.aot import topology
from nomic_jax.errors import UserError
from nomic_jax.kernels import blocks
from nomic_jax.kernels import common
from nomic_jax.kernels.attention import Backend
from nomic_jax.kernels.layout import Layout
from nomic_jax.kernels.layout import Need
from nomic_jax.kernels.layout import Reach
from nomic_jax.storage.files import replacing
from nomic_jax.storage.values import JsonObject

Record = JsonObject

_SIZES = {
  "pallas_tpu": (128, 256, 512, 1024, 2048),
  "pallas_gpu": (16, 32, 64, 128),
}
_HEADS = 12
_WIDTH = 64
_RUNS = 20


def main() -> None:
  """Runs the command."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument(
    "--chips", default="", help="TPUs to compile for, such as v5e,v6e"
  )
  parser.add_argument(
    "--lengths", default="512,2048,8192", help="tokens in a row"
  )
  parser.add_argument("--dtype", default="bfloat16")
  parser.add_argument("--output", default=str(blocks.TABLE))
  flags = parser.parse_args()
  chips = [c for c in flags.chips.split(",") if c]
  lengths = [int(n) for n in flags.lengths.split(",")]
  for chip in chips:
    if chip not in topology.SLICES:
      raise SystemExit(
        f"--chips: no '{chip}'; expected {', '.join(topology.SLICES)}"
      )
  try:
    if chips:
      folder = bundles.start()
      for chip in chips:
        device = topology.devices(f"{chip}:{topology.SLICES[chip][0]}")[0]
        for length in lengths:
          add(flags.output, list(listed(device, length, flags.dtype, folder)))
    else:
      device = jax.local_devices()[0]
      for length in lengths:
        add(flags.output, list(timed(device, length, flags.dtype)))
  except UserError as e:
    raise SystemExit(str(e)) from None


def pairs(kernel: str, length: int) -> Iterator[tuple[int, int]]:
  """Yields the sizes to try for rows of `length` tokens."""
  sizes = [n for n in _SIZES[kernel] if length % n == 0]
  for first, second in itertools.product(sizes, sizes):
    # On TPUs, small blocks have too little work in long rows, and large ones
    # take minutes to compile or do not fit.
    if kernel == "pallas_gpu" or (
      min(first, second) >= min(length // 8, 256) and first * second <= 2**20
    ):
      yield first, second


def listed(
  device: jax.Device, length: int, dtype: str, folder: str
) -> Iterator[Record]:
  """Yields costs of a TPU's kernels for a row, in bundles per head."""
  for pair in pairs("pallas_tpu", length):
    sizes = (*pair, *pair)
    backend = Backend("pallas_tpu", device=device.device_kind, blocks=sizes)
    try:
      # Enough rows to exceed VMEM: see `bundles.of_flash_tpu`.
      text = _compiled(
        backend, device, length, dtype, _HEADS, 2**16 // length
      ).as_text()
      assert text, "TPU programs have HLO text"
      cost = bundles.of_flash_tpu(
        dict(bundles.kernels(text, folder)),
        length,
        sizes,
        visits(length, sizes),
      )
      costs = {
        way: round(of_way * _WIDTH / 128)
        for way, of_way in cost._asdict().items()
      }
    except Exception as e:  # a result like any other: it did not fit
      costs = {"forward": e, "backward": e}
    for way, cost in costs.items():
      yield _record(backend, length, dtype, way, pair, "bundles a head", cost)


def segment_ids(rows: int, length: int) -> np.ndarray:
  """Returns int32 [rows, S]: one text in even rows, eight in odd ones."""
  ids = np.ones((rows, length), np.int32)
  ids[1::2] = 1 + np.arange(length) * 8 // length
  return ids


def visits(
  length: int, sizes: tuple[int, int, int, int]
) -> tuple[float, float]:
  """Returns the pairs of blocks that a row visits, forward and backward."""
  queries, keys, back_queries, back_keys = sizes

  def count(first: int, second: int) -> float:
    ids = jnp.asarray(segment_ids(2, length))
    ranges = common.ranges(ids, first, second, Reach())
    return float(np.diff(ranges, axis=1).sum() / 2)

  return count(queries, keys), count(back_keys, back_queries)


def timed(device: jax.Device, length: int, dtype: str) -> Iterator[Record]:
  """Yields costs of this device's kernels, in microseconds per head."""
  kernel = {"tpu": "pallas_tpu", "gpu": "pallas_gpu"}.get(device.platform)
  if kernel is None:
    raise UserError(
      f"there is no kernel for {device.platform}; use --chips to tune for TPUs "
      "without having one"
    )
  rows = max(2**15 // length, 2)
  for pair in pairs(kernel, length):
    backend = Backend(kernel, device=device.device_kind, blocks=(*pair, *pair))
    both, forward = (
      _seconds(backend, device, length, dtype, rows, gradient)
      for gradient in (True, False)
    )
    for way, cost in (("forward", forward), ("backward", both)):
      if (
        way == "backward"
        and isinstance(forward, float)
        and (isinstance(both, float))
      ):
        cost = both - forward
      if isinstance(cost, float):
        cost = round(cost * 1e6 / (rows * _HEADS), 3)
      yield _record(
        backend, length, dtype, way, pair, "microseconds a head", cost
      )


def _seconds(backend, device, length, dtype, rows, gradient):
  """Returns the median of several runs, or the exception if one fails."""
  try:
    run = _compiled(backend, device, length, dtype, _HEADS, rows, gradient)
    args: list[jax.Array | np.ndarray] = [
      jnp.ones(s.shape, s.dtype) for s in _shapes(length, dtype, _HEADS, rows)
    ]
    args[1] = segment_ids(rows, length)
    args = jax.device_put(args, device)
    jax.block_until_ready(run(*args))
    seconds = []
    for _ in range(_RUNS):
      began = time.perf_counter()
      jax.block_until_ready(run(*args))
      seconds.append(time.perf_counter() - began)
    return float(np.median(seconds))
  except Exception as e:
    return e


def _shapes(length, dtype, heads, rows):
  angle = jax.ShapeDtypeStruct((rows, length, _WIDTH // 2), jnp.float32)
  return (
    jax.ShapeDtypeStruct((rows, length, 3 * heads * _WIDTH), dtype),
    jax.ShapeDtypeStruct((rows, length), jnp.int32),
    angle,
    angle,
  )


def _compiled(backend, device, length, dtype, heads, rows, gradient=True):
  def run(qkv, ids, cos, sin):
    layout = Layout(heads, heads, _WIDTH)
    prepared = backend.prepare(ids, (cos, sin), qkv.dtype, Need(layout))
    attend = lambda x: backend.attend(x, prepared, Need(layout))
    if not gradient:
      return attend(qkv)
    out, back = jax.vjp(attend, qkv)
    return back(out)

  at = jax.sharding.SingleDeviceSharding(device)
  args = [
    jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=at)
    for s in _shapes(length, dtype, heads, rows)
  ]
  with jax.set_mesh(jax.sharding.Mesh(np.array([device]), ("x",))):
    return jax.jit(run).lower(*args).compile()


def _record(backend, length, dtype, way, pair, unit, result) -> Record:
  record = {
    "kernel": backend.implementation,
    "device": backend.device,
    "dtype": dtype,
    "length": length,
    "pass": way,
    "blocks": pair,
  }
  if isinstance(result, Exception):
    lines = str(result).splitlines() or [""]
    return record | {"failed": f"{type(result).__name__}: {lines[0][:160]}"}
  return record | {"cost": result, "unit": unit}


def add(path: str, records: list[Record]) -> None:
  """Adds records to the table, replacing those of the same kind."""
  kind = lambda r: (r["kernel"], r["device"], r["dtype"], r["length"])
  table = []
  if os.path.exists(path):
    with open(path) as f:
      table = json.load(f)
  new = {kind(r) for r in records}
  table = [r for r in table if kind(r) not in new] + records
  lines = ",\n".join(json.dumps(r) for r in table)
  with replacing(path) as temporary:
    temporary.write_text(f"[\n{lines}\n]\n")
  best = {}
  for r in records:
    if (
      "cost" in r
      and r["cost"] < best.get(r["pass"], {"cost": float("inf")})["cost"]
    ):
      best[r["pass"]] = r
  for r in best.values():
    print(
      f"{r['device']}, {r['length']} tokens, {r['pass']}: blocks of "
      f"{r['blocks'][0]} and {r['blocks'][1]}, {r['cost']} {r['unit']}",
      flush=True,
    )


if __name__ == "__main__":
  main()
