# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Attention on TPU by the compiler's own count, without a TPU.

    pip install -e .[tpu-aot]
    python benchmarks/attention.py [--chips=v5e:2x2,v6e:2x2] [--lengths=2048]

Compiles our kernels and jax's flash_attention and splash_attention for one
full row, bfloat16, heads of 64, and counts the bundles that a head takes: what
is within a loop times its turns. A bundle is at best a cycle; memory traffic,
stalls and what lies around a kernel (jax's want [B, H, S, d], so transposes)
are not in it. Each system takes the best of some block sizes.
"""

import argparse
import functools
import glob
import os
import re
import tempfile

_DUMP = tempfile.mkdtemp()
os.environ |= dict(
    TPU_SKIP_MDS_QUERY="1", TPU_WORKER_HOSTNAMES="localhost",
    TPU_ACCELERATOR_TYPE="v5litepod-16", JAX_PLATFORMS="cpu",
    ALLOW_MULTIPLE_LIBTPU_LOAD="1",
    LIBTPU_INIT_ARGS=(
        f"--xla_jf_dump_to={_DUMP} --xla_jf_dump_llo_text=true "
        "--xla_jf_dump_llo_pass_label_regex=.*final.* "
        "--xla_tpu_check_llo_types=false"),
)

import jax  # noqa: E402
from jax.experimental import topologies  # noqa: E402
from jax.experimental.pallas.ops.tpu import flash_attention  # noqa: E402
from jax.experimental.pallas.ops.tpu import splash_attention  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from nomic_jax.kernels.attention import Attention  # noqa: E402

_HEADS = 2
_BLOCKS = (
    (1024, 256), (256, 1024), (512, 512), (1024, 512), (512, 1024),
    (1024, 1024))


def main() -> None:
  parser = argparse.ArgumentParser()
  parser.add_argument("--chips", default="v5e:2x2,v6e:2x2")
  parser.add_argument("--lengths", default="2048")
  flags = parser.parse_args()
  print("| chip | tokens | system | forward, k bundles a head | backward |")
  print("|---|---|---|---|---|")
  for chip in flags.chips.split(","):
    for length in map(int, flags.lengths.split(",")):
      for name, make in SYSTEMS.items():
        tried = []
        for block in _BLOCKS:
          if length % max(block) == 0:
            tried.append(_try(make, chip, length, block))
        forward, backward = (
            min((t[n], t[2]) for t in tried) for n in (0, 1))
        print(f"| {chip} | {length} | {name} | {_show(*forward)} | "
              f"{_show(*backward)} |", flush=True)


def _show(cycles: float, block: tuple[int, int]) -> str:
  return f"{cycles / 1e3:.1f} ({block[0]}/{block[1]})"


def _try(make, chip, length, block):
  """Bundles a head, forward and backward; infinite where it fails."""
  try:
    function, width, count = make(length, block)
    text = _compile(function, width, chip, length)
    return *count(dict(_kernels(text))), block
  except Exception as e:  # a failure is a result: blocks too large for VMEM
    print(f"  {chip} {length} {block}: {type(e).__name__} "
          f"{str(e).splitlines()[0][:150]}", flush=True)
    return float("inf"), float("inf"), block


def _compile(function, shapes, chip, length):
  device = topologies.get_topology_desc(
      platform="tpu", topology_name=chip).devices[0]
  at = jax.sharding.SingleDeviceSharding(device)
  args = [jax.ShapeDtypeStruct(s, t, sharding=at) for s, t in shapes]

  def both(*args):
    out, back = jax.vjp(functools.partial(function, device), *args)
    return back(out)

  with jax.set_mesh(jax.sharding.Mesh(np.array([device]), ("x",))):
    return jax.jit(both).lower(*args).compile().as_text()


def _kernels(text):
  """(name, [(depth of loop, bundles), ...]) of each kernel of a program."""
  for name in re.findall(r"%(\S+) = .*custom-call\(.*tpu_custom_call", text):
    files = sorted(glob.glob(f"{_DUMP}/*-{name}-*final_bundles.txt"))
    runs = []
    for line in open(files[-1]):
      bundle = re.match(r"\s*(?:0x[0-9a-f]+|0)\s.*?:\s*(>*)\s*\{", line)
      if bundle:
        depth = len(bundle[1])
        if runs and runs[-1][0] == depth and "LB:" not in bundle[0]:
          runs[-1][1] += 1
        else:
          runs.append([depth, 1])
    yield re.sub(r"[.\d]+$", "", name), runs


def _ours(length, block):
  queries, keys = block

  def attend(device, qkv):
    a = Attention("pallas_tpu", device=device.device_kind, blocks=block * 2)
    rows = a.prepare(
        jnp.ones((1, length), jnp.int32),
        (jnp.ones((1, length, 32)), jnp.zeros((1, length, 32))), qkv.dtype)
    return a(qkv, rows, _HEADS)

  def count(kernels):
    steps, visits = length // queries, length // queries * (length // keys)
    # Loops in the order in which they are written; the rest is a few bundles.
    once, loops = _by_loop(kernels["flash_forward"])
    prepare, *visit = loops[2]
    forward = once * steps + prepare * length / 128 + sum(visit) * visits
    once, loops = _by_loop(kernels["flash_backward"])
    prepare, *around, finish = loops[2]
    backward = (once * 3 + (prepare + finish) * length / 128
                + sum(around) * length / keys + sum(loops[3]) * visits)
    return forward / _HEADS, backward / _HEADS

  return attend, [((1, length, 3 * _HEADS * 64), jnp.bfloat16)], count


def _by_loop(runs):
  """Bundles outside of inner loops, and {depth: those of each loop there}."""
  loops = {2: [], 3: []}
  for depth, bundles in runs:
    if depth > 1 and bundles > 20:
      loops[depth].append(bundles)
  return sum(n for d, n in runs if d <= 1), loops


def _flat(kernels, names, length, block):
  """Bundles of kernels without loops of their own.

  The longest stretch is done in each step of the grid; the rest, which starts
  and ends a row of blocks, counts once for that row.
  """
  own = [k for k in kernels if re.search(names, k)]
  assert own, list(kernels)
  rows, columns = (length // b for b in block)
  cycles = 0
  for k in own:
    body = max(n for _, n in kernels[k])
    cycles += body * rows * columns
    cycles += (sum(n for _, n in kernels[k]) - body) * min(rows, columns)
  return cycles


def _flash(length, block):
  q, k = block
  sizes = flash_attention.BlockSizes(
      block_q=q, block_k_major=k, block_k=k, block_b=1, block_q_major_dkv=q,
      block_k_major_dkv=k, block_k_dkv=k, block_q_dkv=q, block_k_major_dq=k,
      block_k_dq=k, block_q_dq=q)

  def attend(device, q, k, v):
    ids = jnp.ones((1, length), jnp.int32)
    return flash_attention.flash_attention(
        q, k, v, segment_ids=flash_attention.SegmentIds(ids, ids),
        block_sizes=sizes)

  count = lambda kernels: (
      _flat(kernels, "^(?!.*(dkv|dq|bwd)).*$", length, block),
      _flat(kernels, "dkv|dq|bwd", length, block))
  return attend, [((1, _HEADS, length, 64), jnp.bfloat16)] * 3, count


def _splash(length, block):
  q, k = block
  module = splash_attention
  sizes = module.BlockSizes(
      block_q=q, block_kv=k, block_kv_compute=k, block_q_dkv=q,
      block_kv_dkv=k, block_kv_dkv_compute=k, use_fused_bwd_kernel=True)
  mask = module.MultiHeadMask([module.FullMask((length, length))] * _HEADS)
  kernel = module.make_splash_mha(
      mask, block_sizes=sizes, head_shards=1, q_seq_shards=1)

  def attend(device, q, k, v):
    ids = jnp.ones((length,), jnp.int32)
    return kernel(q, k, v, segment_ids=module.SegmentIds(ids, ids))

  count = lambda kernels: (
      _flat(kernels, "fwd", length, block),
      _flat(kernels, "bwd|dkv|dq", length, block))
  return attend, [((_HEADS, length, 64), jnp.bfloat16)] * 3, count


SYSTEMS = {"ours": _ours, "jax flash": _flash, "jax splash": _splash}

if __name__ == "__main__":
  main()
