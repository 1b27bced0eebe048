# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
r"""Speed of a linear layer's three products: float32, bfloat16, and ours.

python benchmarks/products.py
"""

import time

import jax
from jax import lax
import jax.numpy as jnp

from nomic_jax.model import matmul

SHAPES = ((2048, 384, 1536), (2048, 1536, 384), (2048, 768, 3072))
NUMBERS = (((1,), (0,)), ((), ()))


def main() -> None:
  ways = {
    "float32": ("float32", lax.dot_general),
    "bfloat16, left to JAX": (
      "bfloat16",
      lambda x, w, numbers: lax.dot_general(x, w.astype(x.dtype), numbers),
    ),
    "bfloat16, `model/matmul.py`": ("bfloat16", matmul.dot_general),
  }
  print(
    "| tokens x in x out, GFLOP/s | " + " | ".join(ways) + " | ratio of "
    "the last to float32 |\n|---" + "|---" * (len(ways) + 1) + "|"
  )
  for tokens, width, out in SHAPES:
    operations = 2 * tokens * width * out / 1e9
    kernel = jnp.ones((width, out))
    for part, forward in (("forward", True), ("both gradients", False)):
      found = []
      for dtype, product in ways.values():
        x, dy = jnp.ones((tokens, width), dtype), jnp.ones((tokens, out), dtype)
        if forward:
          f = jax.jit(lambda x, w, dy, p=product: p(x, w, NUMBERS))
        else:
          f = jax.jit(
            lambda x, w, dy, p=product: jax.vjp(
              lambda x, w: p(x, w, NUMBERS), x, w
            )[1](dy)
          )
        found.append(
          (1 if forward else 2) * operations / _seconds(f, x, kernel, dy)
        )
      print(
        f"| {tokens} x {width} x {out}, {part} | "
        + " | ".join(f"{v:.0f}" for v in found)
        + f" | {found[-1] / found[0]:.2f} |",
        flush=True,
      )


def _seconds(f, *args, times: int = 20) -> float:
  """Returns the shortest of many runs, which other work disturbed the least."""
  jax.block_until_ready(f(*args))
  seconds = []
  for _ in range(times):
    began = time.perf_counter()
    jax.block_until_ready(f(*args))
    seconds.append(time.perf_counter() - began)
  return min(seconds)


if __name__ == "__main__":
  main()
