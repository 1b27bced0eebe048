# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""What a TPU kernel takes, by the compiler's own listing and without a TPU.

The compiler writes the instruction bundles of each kernel to a folder. A
bundle is at best a cycle; what is within a loop counts times its turns.
Memory traffic and stalls are not in it.
"""

import atexit
import glob
import os
import re
import shutil
import tempfile
from typing import Iterator, NamedTuple

Runs = list[list[int]]  # (depth of loop, bundles) in the order of the program


def start() -> str:
  """Makes libtpu list its kernels; before anything is compiled for a TPU.

  Returns:
    The folder it lists them in.
  """
  folder = tempfile.mkdtemp(prefix="bundles")
  atexit.register(shutil.rmtree, folder, ignore_errors=True)
  os.environ["LIBTPU_INIT_ARGS"] = (
      f"--xla_jf_dump_to={folder} --xla_jf_dump_llo_text=true "
      "--xla_jf_dump_llo_pass_label_regex=.*final.* "
      "--xla_tpu_check_llo_types=false")
  return folder


def kernels(text: str, folder: str) -> Iterator[tuple[str, Runs]]:
  """Name and bundles of each kernel of a program, `Compiled.as_text()`."""
  for name in re.findall(r"%(\S+) = .*custom-call\(.*tpu_custom_call", text):
    files = sorted(glob.glob(f"{folder}/*-{name}-*final_bundles.txt"))
    if not files:  # the same as another, and listed once
      continue
    runs: Runs = []
    with open(files[-1]) as listing:
      for line in listing:
        bundle = re.match(r"\s*(?:0x[0-9a-f]+|0)\s.*?:\s*(>*)\s*\{", line)
        if bundle:
          depth = len(bundle[1])
          if runs and runs[-1][0] == depth and "LB:" not in bundle[0]:
            runs[-1][1] += 1
          else:
            runs.append([depth, 1])
    yield re.sub(r"[.\d]+$", "", name), runs


class Costs(NamedTuple):
  """Bundles for a row of the heads that share 128 lanes."""

  forward: float
  backward: float


def of_flash_tpu(
    found: dict[str, Runs], length: int, blocks: tuple[int, int, int, int],
    visits: tuple[float, float] | None = None,
) -> Costs:
  """Of our kernels, for one row of `length` tokens.

  Args:
    found: `kernels`, of a program with more than one row: a grid of one step
      is no loop in the listing.
    length: S.
    blocks: as they were compiled.
    visits: pairs of blocks that are looked at, forward and backward; None: all.
  """
  queries, keys, back_queries, back_keys = blocks
  if visits is None:
    visits = (length / queries * length / keys,
              length / back_queries * length / back_keys)
  # Loops in the order in which they are written; the rest is a few bundles.
  once, loops = _by_loop(found["flash_forward"])
  prepare, *visit = loops[2]
  forward = (once * length / queries + prepare * length / 128
             + sum(visit) * visits[0])
  once, loops = _by_loop(found["flash_backward"])
  prepare, *around, finish = loops[2]
  visit = loops[3]
  if length == back_keys:  # one turn around the visits is no loop
    around, visit = [], around
  # Of the three steps of the grid all but one just copy [S, 128] numbers.
  backward = (
      once + length / 8 + (prepare + finish) * length / 128
      + sum(around) * length / back_keys + sum(visit) * visits[1])
  return Costs(forward, backward)


def _by_loop(runs: Runs) -> tuple[int, dict[int, list[int]]]:
  """Bundles outside of inner loops, and {depth: those of each loop there}."""
  loops: dict[int, list[int]] = {2: [], 3: []}
  for depth, bundles in runs:
    if depth > 1 and bundles > 20:
      loops[depth].append(bundles)
  return sum(n for d, n in runs if d <= 1), loops
