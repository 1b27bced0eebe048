# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Estimated time of the encoder's blocks on TPUs, by cause, without a TPU.

    pip install -e '.[tpu-aot]'
    PYTHONPATH=. python benchmarks/encoder_block.py [--chip=v5e] [--rows=4]

Compiles forward and gradient of nomic-bert-2048's 12 blocks in bfloat16, for
one device's full rows as in configs/mlm.py (`--unroll=1 --remat=full --rows=16`
recomputes layers in a loop). Sums, by cause and in millions of cycles, the
compiler's estimate for each fusion and, for the attention kernels, the bundles
that it lists. A fusion with a matrix product also does other work. Its time
beyond that of the product at the chip's peak is reported separately and not as
matmul, although part of it is inefficiency of the product.
"""

import argparse
import collections
import os
import re

os.environ["JAX_PLATFORMS"] = "cpu"

from flax.linen import meta  # noqa: E402
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from nomic_jax.aot import bundles  # noqa: E402
from nomic_jax.aot import hlo  # noqa: E402
from nomic_jax.aot import topology  # noqa: E402
from nomic_jax.kernels import blocks  # noqa: E402
from nomic_jax.kernels.attention import Backend  # noqa: E402
from nomic_jax.kernels.layout import Call  # noqa: E402
from nomic_jax.model import flops  # noqa: E402
from nomic_jax.model.config import EncoderConfig  # noqa: E402
from nomic_jax.model.encoder import Encoder  # noqa: E402

_LISTINGS = bundles.start()
_CAUSES = (
  "matmul, at peak",
  "matmul, beyond",
  "attention",
  "norms",
  "kept for the gradient",
  "other",
)


def main() -> None:
  parser = argparse.ArgumentParser()
  parser.add_argument("--chip", default="v5e")
  parser.add_argument("--rows", type=int, default=4)
  parser.add_argument("--length", type=int, default=2048)
  parser.add_argument("--remat", default="none", help="of config.compute")
  parser.add_argument(
    "--unroll",
    type=int,
    default=12,
    help="layers per iteration; all: no loop, so that embeddings and their "
    "gradient are counted too",
  )
  flags = parser.parse_args()
  device = topology.devices(f"{flags.chip}:2x2")[0]
  attention = Backend("pallas_tpu", device=device.device_kind)
  encoder = Encoder(
    EncoderConfig().architecture,
    dtype="bfloat16",
    attention=attention,
    remat=flags.remat,
    unroll=flags.unroll,
  )
  compiled = _compile(encoder, device, flags.rows, flags.length)
  text = compiled.as_text()
  unrolled = flags.unroll >= len(encoder.architecture.layers)
  cycles = _by_cause(text, unrolled)

  passes = 4 if flags.remat == "full" else 3
  c, tokens = encoder.architecture, flags.rows * flags.length
  products = flops.of_encoder(c, tokens, flags.length) - flops.of_attention(
    c, tokens, flags.length
  )
  chip = topology.CHIPS[flags.chip]
  peak = passes * products / (chip.peak / chip.clock)
  cycles["matmul, at peak"] = peak
  cycles["matmul, beyond"] = cycles.pop("matmul") - peak

  call = Call(c.layers[0].attention.layout, device=device.device_kind)
  sizes = blocks.find("pallas_tpu", call, flags.length, "bfloat16")
  found = bundles.of_flash_tpu(
    dict(bundles.kernels(text, _LISTINGS)), flags.length, sizes
  )
  runs = _kernel_runs(text, unrolled)
  pairs = flags.rows * c.layers[0].attention.heads // 2
  cycles["attention"] += pairs * (
    runs["flash_forward"] * found.forward
    + runs["flash_backward"] * found.backward
  )

  total = sum(cycles.values())
  print(
    f"{flags.chip}, {flags.rows} rows of {flags.length}, remat "
    f"{flags.remat}, unroll {flags.unroll}, temporaries "
    f"{compiled.memory_analysis().temp_size_in_bytes / 2**30:.1f} GiB"
  )
  print("| cause | Mcycles | share |")
  print("|---|---|---|")
  for cause in _CAUSES:
    print(
      f"| {cause} | {cycles[cause] / 1e6:.1f} | {cycles[cause] / total:.1%} |"
    )
  rest = total - cycles["attention"] - peak
  print(f"| all | {total / 1e6:.1f} | |")
  print(
    f"| neither matmul nor attention | {rest / 1e6:.1f} | {rest / total:.1%} |"
  )
  fusions = total - cycles["attention"] - peak - cycles["matmul, beyond"]
  print(
    f"| of it outside fusions with a product | {fusions / 1e6:.1f} | "
    f"{fusions / total:.1%} |"
  )


def _compile(encoder, device, rows, length):
  at = jax.sharding.SingleDeviceSharding(device)
  shape = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=at)
  params = jax.tree.map(
    shape, meta.unbox(jax.eval_shape(encoder.init, jax.random.key(0)))
  )
  tokens = {
    k: jax.ShapeDtypeStruct((rows, length), jnp.int32, sharding=at)
    for k in ("ids", "segment_ids", "positions")
  }
  weight = jax.ShapeDtypeStruct(
    (rows, length, encoder.architecture.width), jnp.float32, sharding=at
  )

  def gradient(params, tokens, weight):
    return jax.grad(lambda p: (encoder.apply(p, tokens) * weight).sum())(params)

  with jax.set_mesh(jax.sharding.Mesh(np.array([device]), ("x",))):
    return jax.jit(gradient).lower(params, tokens, weight).compile()


def _steps(text, unrolled):
  """Returns the instructions in the loops over layers, or all if unrolled."""
  program, entry = hlo.parse(text)
  for step in hlo._walk(program, entry):
    if step.in_loop or unrolled:
      yield program, step.instruction, step.times


def _by_cause(text, unrolled):
  cycles = collections.Counter(dict.fromkeys(_CAUSES, 0))
  for program, i, times in _steps(text, unrolled):
    cause = hlo._cause(program, i)
    if cause == "other":
      scope = re.search(r'op_name="([^"]*)"', i.rest)
      scope = scope[1] if scope else ""
      if re.search(r"dynamic_(update_)?(index|slice)", scope):
        cause = "kept for the gradient"
      elif (
        "norm" in scope or "layers/convert" in scope or ("layers/add" in scope)
      ):
        cause = "norms"
    cycles[cause] += times * i.cycles
  return cycles


def _kernel_runs(text, unrolled):
  """Returns how often each kernel runs."""
  runs = collections.Counter()
  for _, i, times in _steps(text, unrolled):
    if "tpu_custom_call" in i.rest:
      runs[re.sub(r"[.\d]+$", "", i.name)] += times
  return runs


if __name__ == "__main__":
  main()
