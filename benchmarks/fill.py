# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The share of a contrastive batch's token slots in use, at the paper's sizes.

PYTHONPATH=. python benchmarks/fill.py

Packs twelve batches of 16,384 pairs with log-normal lengths (queries 12 tokens
on average), with row_length 2,048. Prints their most common shape and, for
comparison, the share with rows of exactly 2,048 tokens and at most 64 texts.
"""

import collections

import numpy as np

from nomic_jax.data import pack

PAIRS, ROW, SLOTS, BATCHES = 16_384, 2048, 256, 12


def lengths(rng, mean: float, sigma: float, longest: int) -> np.ndarray:
  drawn = rng.lognormal(np.log(mean - 2) - sigma**2 / 2, sigma, PAIRS)
  return np.clip(drawn, 1, longest - 2).astype(int) + 2


def share(texts: list[int], length: int, slots: int, multiple: int) -> tuple:
  rows = len(pack.best_fit(texts, lambda _: length, lambda _: slots))
  rows = -(-rows // multiple) * multiple
  return rows, sum(texts) / (rows * length)


def main() -> None:
  print(
    "document  longest  rows in    rows x length    full: median  least  "
    "rows of 2,048, 64 texts"
  )
  for mean in (40, 90, 250):
    for longest in (512, 2048):
      for multiple in (64, 256):
        shapes, full, before = collections.Counter(), [], []
        for seed in range(BATCHES):
          rng = np.random.default_rng(seed)
          texts = np.concatenate(
            [lengths(rng, 12, 0.5, longest), lengths(rng, mean, 0.9, longest)]
          ).tolist()
          length, slots = pack.row_shape(texts, ROW, SLOTS, multiple)
          rows, real = share(texts, length, slots, multiple)
          shapes[rows, length] += 1
          full.append(real)
          before.append(share(texts, ROW, 64, multiple)[1])
        (rows, length), _ = shapes.most_common(1)[0]
        print(
          f"{mean:8}  {longest:7,}  {multiple:7}  {rows:7,} x {length:5,}"
          f"  {np.median(full):12.1%} {min(full):6.1%}"
          f"   {np.median(before):7.1%}"
        )


if __name__ == "__main__":
  main()
