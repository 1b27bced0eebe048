# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The cost of a TPU kernel, computed from the compiler's listing; needs no TPU.

The compiler writes the instruction bundles of each kernel to a folder. A bundle
takes at least one cycle, and the body of a loop counts once per iteration.
Memory traffic and stalls are not included.
"""

import atexit
from collections.abc import Iterable
from collections.abc import Iterator
import glob
import os
import re
import shutil
import tempfile
from typing import NamedTuple

from nomic_jax.kernels import tpu_rows


class Loop(NamedTuple):
  """A loop's body, or a whole program."""

  bundles: int  # without those of inner loops
  inner: list["Loop"]  # in program order
  longest: int = 0  # the largest number of bundles between two branches


def start() -> str:
  """Makes libtpu list its kernels; call it before compiling for a TPU.

  Returns:
    The folder of the listings.
  """
  folder = tempfile.mkdtemp(prefix="bundles")
  atexit.register(shutil.rmtree, folder, ignore_errors=True)
  os.environ["LIBTPU_INIT_ARGS"] = os.environ.get("LIBTPU_INIT_ARGS", "") + (
    f" --xla_jf_dump_to={folder} --xla_jf_dump_llo_text=true "
    "--xla_jf_dump_llo_pass_label_regex=.*final.* "
    "--xla_tpu_check_llo_types=false"
  )
  return folder


def kernels(text: str, folder: str) -> Iterator[tuple[str, Loop]]:
  """Yields name and bundles of each kernel in `Compiled.as_text()`."""
  for name in re.findall(r"%(\S+) = .*custom-call\(.*tpu_custom_call", text):
    files = sorted(glob.glob(f"{folder}/*-{name}-*final_bundles.txt"))
    if files:  # a kernel equal to another one is listed once
      with open(files[-1]) as listing:
        yield re.sub(r"[.\d]+$", "", name), _parse(listing)


def _parse(listing: Iterable[str]) -> Loop:
  bundles = []  # (depth, whether a loop begins here, whether it may branch)
  for line in listing:
    at = re.match(r"\s*(?:0x[0-9a-f]+|0)\s.*?:\s*(>*)\s*\{", line)
    if at:
      bundles.append((len(at[1]), "LB:" in at[0], "sbr.rel" in line))

  def loop(start, end):
    """Parses bundles[start:end]."""
    inner, count, longest, since, at = [], 0, 0, 0, start
    while at < end:
      depth, begins, branches = bundles[at]
      if begins and at > start:
        # The loop extends to the last bundle of its depth before the next loop
        # at this level. Bundles of the surrounding code may be scheduled in
        # between, and take their cycle in each iteration.
        after = next(
          (
            n
            for n in range(at + 1, end)
            if bundles[n][1] and bundles[n][0] <= depth
          ),
          end,
        )
        while bundles[after - 1][0] < depth:
          after -= 1
        inner.append(loop(at, after))
        at, since = after, 0
      else:
        count, since, at = count + 1, since + 1, at + 1
        longest = max(longest, since)
        since = 0 if branches else since
    return Loop(count, inner, longest)

  return loop(0, len(bundles))


class Costs(NamedTuple):
  """Bundles per row for the heads that share 128 lanes."""

  forward: float
  backward: float


def of_flash_tpu(
  loops_of: dict[str, Loop],
  length: int,
  blocks: tuple[int, int, int, int],
  visits: tuple[float, float] | None = None,
) -> Costs:
  """Returns the costs of our kernels for one row of `length` tokens.

  Args:
    loops_of: from `kernels`. The program must have more than one row, because
      the listing has no loop for a grid of one step. Its arrays must be too
      large for VMEM, because copies out of VMEM would count as instructions.
    length: S.
    blocks: the sizes they were compiled with.
    visits: number of visited pairs of blocks, forward and backward; None: all.
  """
  queries, keys, back_queries, back_keys = blocks
  if visits is None:
    visits = (
      length / queries * length / keys,
      length / back_queries * length / back_keys,
    )
  # A loop with one iteration is listed as part of the surrounding code, so in
  # rows of up to 512 tokens the preparation counts once per block of queries.
  iterations = length / tpu_rows.step(length)
  (grid,) = loops_of["flash_forward"].inner
  loops = list(grid.inner)
  forward = grid.bundles * length / queries
  if keys < length:
    forward += loops.pop().bundles * visits[0]
  forward += sum(x.bundles for x in loops) * iterations

  (grid,) = loops_of["flash_backward"].inner
  loops = list(grid.inner)
  backward = grid.bundles
  if iterations > 1:
    backward += (loops.pop(0).bundles + loops.pop().bundles) * iterations
  if back_keys < length:
    (around,) = loops
    backward += around.bundles * length / back_keys
    loops = around.inner
  backward += sum(x.bundles for x in loops) * visits[1]
  return Costs(forward, backward)
