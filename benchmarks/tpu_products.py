# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Estimated time of matrix products on TPUs, relative to the chip's peak.

    pip install -e '.[tpu-aot]'
    PYTHONPATH=. python benchmarks/tpu_products.py [--chips=v5e,v6e]

Compiles products in bfloat16, which needs no TPU. Prints two times relative to
that of the product at the chip's peak: the compiler's estimate, and the time to
move operands and result through memory once.
"""

import argparse
import os
import re

os.environ["JAX_PLATFORMS"] = "cpu"

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402

from nomic_jax.aot import topology  # noqa: E402

# Tokens x in x out: of nomic-bert-2048's layers, then wider ones.
SHAPES = (
  (16384, 768, 2304),
  (16384, 768, 768),
  (16384, 768, 3072),
  (16384, 3072, 768),
  (16384, 2048, 2048),
  (8192, 8192, 8192),
)
BANDWIDTH = {"v5e": 819e9, "v5p": 2765e9, "v6e": 1640e9}  # bytes/s, published


def main() -> None:
  parser = argparse.ArgumentParser()
  parser.add_argument("--chips", default="v5e,v6e")
  chips = parser.parse_args().chips.split(",")
  print(
    "| tokens x in x out | "
    + " | ".join(f"{c}: estimated | memory" for c in chips)
    + " |"
  )
  print("|---" * (1 + 2 * len(chips)) + "|")
  for tokens, width, out in SHAPES:
    line = [f"{tokens:,} x {width:,} x {out:,}"]
    for name in chips:
      chip = topology.CHIPS[name]
      peak = 2 * tokens * width * out / chip.peak * chip.clock
      moved = 2 * (tokens * (width + out) + width * out)
      line += [
        f"{_estimated(name, tokens, width, out) / peak:.2f}",
        f"{moved / BANDWIDTH[name] * chip.clock / peak:.2f}",
      ]
    print("| " + " | ".join(line) + " |", flush=True)


def _estimated(chip: str, tokens: int, width: int, out: int) -> int:
  device = topology.devices(f"{chip}:{topology.SLICES[chip][0]}")[0]
  at = jax.sharding.SingleDeviceSharding(device)
  shape = lambda *s: jax.ShapeDtypeStruct(s, jnp.bfloat16, sharding=at)
  text = (
    jax.jit(jnp.matmul)
    .lower(shape(tokens, width), shape(width, out))
    .compile()
    .as_text()
  )
  return sum(map(int, re.findall(r'"estimated_cycles":"(\d+)"', text)))


if __name__ == "__main__":
  main()
