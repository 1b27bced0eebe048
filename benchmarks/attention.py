# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Cost of attention on TPUs as counted by the compiler, without a TPU.

    pip install -e '.[tpu-aot]'
    python benchmarks/attention.py [--chips=v5e:2x2,v6e:2x2] [--lengths=2048]

Compiles our kernels and JAX's flash_attention and splash_attention for rows of
one text and of eight (`--texts`), in bfloat16 with heads of width 64, and
counts bundles per head (see nomic_jax/aot/bundles.py). JAX's kernels mask by
segment but skip no blocks. The transposes to [B, H, S, d] that they need are
not counted. They use the best of several block sizes, ours the block sizes of
its table, which `python -m nomic_jax.aot.tune` writes.
"""

import argparse
import functools
import itertools
import os
import re

os.environ |= dict(
  TPU_SKIP_MDS_QUERY="1",
  TPU_WORKER_HOSTNAMES="localhost",
  TPU_ACCELERATOR_TYPE="v5litepod-16",
  JAX_PLATFORMS="cpu",
  ALLOW_MULTIPLE_LIBTPU_LOAD="1",
)

import jax  # noqa: E402
from jax.experimental import topologies  # noqa: E402
from jax.experimental.pallas.ops.tpu import flash_attention  # noqa: E402
from jax.experimental.pallas.ops.tpu import splash_attention  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from nomic_jax.aot import bundles  # noqa: E402
from nomic_jax.kernels import blocks  # noqa: E402
from nomic_jax.kernels import common  # noqa: E402
from nomic_jax.kernels.attention import Backend  # noqa: E402
from nomic_jax.kernels.layout import Call  # noqa: E402
from nomic_jax.kernels.layout import Layout  # noqa: E402
from nomic_jax.kernels.layout import Need  # noqa: E402
from nomic_jax.kernels.layout import Reach  # noqa: E402

_LISTINGS = bundles.start()
# Heads times tokens, too many to fit in VMEM, as in training: copies from VMEM
# would be counted as bundles.
_SIZE = 2**20
_HEADS = 16
_BLOCKS = ((256, 256), (512, 512), (1024, 512), (512, 1024), (1024, 1024))


def main() -> None:
  parser = argparse.ArgumentParser()
  parser.add_argument("--chips", default="v5e:2x2,v6e:2x2")
  parser.add_argument("--lengths", default="2048")
  parser.add_argument("--texts", default="1,8", help="of equal length, a row")
  flags = parser.parse_args()
  names = list(SYSTEMS)
  print("Thousands of bundles a head (blocks), ours over the better of jax's:")
  for line in (
    [
      "chip",
      "tokens",
      "texts",
      *(
        f"{way}: {n}" if n == "ours" else n
        for way in ("forward", "backward")
        for n in (*names, "ratio")
      ),
    ],
    ["---"] * 11,
  ):
    print("| " + " | ".join(line) + " |")
  for chip, length, texts in itertools.product(
    flags.chips.split(","),
    map(int, flags.lengths.split(",")),
    map(int, flags.texts.split(",")),
  ):
    best = [_best(make, chip, length, texts) for make in SYSTEMS.values()]
    line = [chip.partition(":")[0], f"{length:,}", str(texts)]
    for way in (0, 1):
      ours, *others = (b[way] for b in best)
      line += [
        f"{cycles / 1e3:.2f} ({block[0]}/{block[1]})"
        for cycles, block in (ours, *others)
      ]
      line.append(f"{ours[0] / min(cycles for cycles, _ in others):.2f}")
    print("| " + " | ".join(line) + " |", flush=True)


def _best(make, chip, length, texts):
  """Returns the smallest bundles, forward and backward, with their blocks."""
  tried = []
  for block in _BLOCKS:
    # Our kernel takes its blocks from its table.
    if length % max(block) == 0 and (make is not _ours or not tried):
      kernels, count = _kernels(make, chip, length, block)
      forward, backward, *sizes = (
        count(kernels, texts) if kernels else (float("inf"),) * 2
      )
      tried.append((forward, backward, sizes[0] if sizes else (block, block)))
  return [min((t[n], t[2][n]) for t in tried) for n in (0, 1)]


@functools.cache
def _kernels(make, chip, length, block):
  """Returns the listed kernels and a function that counts; None if it fails."""
  try:
    function, shapes, count = make(length, block)
    text = _compile(function, shapes, chip, length)
    return dict(bundles.kernels(text, _LISTINGS)), count
  except Exception as e:  # for example, blocks too large for VMEM
    print(
      f"  {chip} {length} {block}: {type(e).__name__} "
      f"{str(e).splitlines()[0][:150]}",
      flush=True,
    )
    return None, None


def _compile(function, shapes, chip, length):
  device = topologies.get_topology_desc(
    platform="tpu", topology_name=chip
  ).devices[0]
  at = jax.sharding.SingleDeviceSharding(device)
  args = [jax.ShapeDtypeStruct(s, t, sharding=at) for s, t in shapes]

  def both(*args):
    out, back = jax.vjp(functools.partial(function, device), *args)
    return back(out)

  with jax.set_mesh(jax.sharding.Mesh(np.array([device]), ("x",))):
    return jax.jit(both).lower(*args).compile().as_text()


def _ours(length, block):
  del block
  sizes, rows = [], _SIZE // (_HEADS * length)

  def attend(device, qkv):
    layout = Layout(_HEADS, _HEADS, 64)
    sizes[:] = blocks.find(
      "pallas_tpu", Call(layout, device=device.device_kind), length, qkv.dtype
    )
    a = Backend("pallas_tpu", device=device.device_kind)
    angle = jnp.ones((rows, length, 32))
    prepared = a.prepare(
      jnp.ones((rows, length), jnp.int32),
      (angle, angle),
      qkv.dtype,
      Need(layout),
    )
    return a.attend(qkv, prepared, Need(layout))

  def count(kernels, texts):
    queries, keys, back_queries, back_keys = sizes
    ids = 1 + np.arange(length)[None] * texts // length
    visits = [
      float(np.diff(common.ranges(ids, *pair, Reach()), axis=1).sum())
      for pair in ((queries, keys), (back_keys, back_queries))
    ]
    found = bundles.of_flash_tpu(kernels, length, tuple(sizes), visits)
    return (
      found.forward / 2,
      found.backward / 2,
      (  # two heads share a block of lanes
        tuple(sizes[:2]),
        tuple(sizes[2:]),
      ),
    )

  return attend, [((rows, length, 3 * _HEADS * 64), jnp.bfloat16)], count


def _flat(kernels, names, length, block):
  """Returns the bundles of kernels without inner loops.

  The longest run of bundles without a branch is executed in each grid step. The
  other bundles, which start and end a row of blocks, count once per row.
  """
  own = [k for k in kernels if re.search(names, k)]
  assert own, list(kernels)
  rows, columns = (length // b for b in block)
  cycles = 0
  for k in own:
    (grid,) = kernels[k].inner
    cycles += grid.longest * rows * columns
    cycles += (grid.bundles - grid.longest) * min(rows, columns)
  return cycles


def _flash(length, block):
  q, k = block
  sizes = flash_attention.BlockSizes(
    block_q=q,
    block_k_major=k,
    block_k=k,
    block_b=1,
    block_q_major_dkv=q,
    block_k_major_dkv=k,
    block_k_dkv=k,
    block_q_dkv=q,
    block_k_major_dq=k,
    block_k_dq=k,
    block_q_dq=q,
  )

  def attend(device, q, k, v):
    ids = jnp.ones((1, length), jnp.int32)
    return flash_attention.flash_attention(
      q,
      k,
      v,
      segment_ids=flash_attention.SegmentIds(ids, ids),
      block_sizes=sizes,
    )

  count = lambda kernels, texts: (
    _flat(kernels, "^(?!.*(dkv|dq|bwd)).*$", length, block),
    _flat(kernels, "dkv|dq|bwd", length, block),
  )
  return attend, [((1, _SIZE // length, length, 64), jnp.bfloat16)] * 3, count


def _splash(length, block):
  q, k = block
  module = splash_attention
  sizes = module.BlockSizes(
    block_q=q,
    block_kv=k,
    block_kv_compute=k,
    block_q_dkv=q,
    block_kv_dkv=k,
    block_kv_dkv_compute=k,
    use_fused_bwd_kernel=True,
  )
  mask = module.MultiHeadMask(
    [module.FullMask((length, length))] * (_SIZE // length)
  )
  kernel = module.make_splash_mha(
    mask, block_sizes=sizes, head_shards=1, q_seq_shards=1
  )

  def attend(device, q, k, v):
    ids = jnp.ones((length,), jnp.int32)
    return kernel(q, k, v, segment_ids=module.SegmentIds(ids, ids))

  count = lambda kernels, texts: (
    _flat(kernels, "fwd", length, block),
    _flat(kernels, "bwd|dkv|dq", length, block),
  )
  return attend, [((_SIZE // length, length, 64), jnp.bfloat16)] * 3, count


SYSTEMS = {"ours": _ours, "jax flash": _flash, "jax splash": _splash}

if __name__ == "__main__":
  main()
