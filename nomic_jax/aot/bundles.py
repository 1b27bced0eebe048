# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""What a TPU kernel takes, by the compiler's own listing and without a TPU.

The compiler writes the instruction bundles of each kernel to a folder. A
bundle is at best a cycle; what is within a loop counts times its turns.
Memory traffic and stalls are not in it.
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

  bundles: int  # without those of the loops within
  inner: list["Loop"]  # in the order of the program
  longest: int = 0  # the most bundles between two branches


def start() -> str:
  """Makes libtpu list its kernels; before anything is compiled for a TPU.

  Returns:
    The folder it lists them in.
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
  """Name and bundles of each kernel of a program, `Compiled.as_text()`."""
  for name in re.findall(r"%(\S+) = .*custom-call\(.*tpu_custom_call", text):
    files = sorted(glob.glob(f"{folder}/*-{name}-*final_bundles.txt"))
    if files:  # otherwise it is the same as another, and listed once
      with open(files[-1]) as listing:
        yield re.sub(r"[.\d]+$", "", name), _parse(listing)


def _parse(listing: Iterable[str]) -> Loop:
  bundles = []  # (depth, whether a loop begins there, whether it may branch)
  for line in listing:
    at = re.match(r"\s*(?:0x[0-9a-f]+|0)\s.*?:\s*(>*)\s*\{", line)
    if at:
      bundles.append((len(at[1]), "LB:" in at[0], "sbr.rel" in line))

  def loop(start, end):
    """What lies in bundles[start:end]."""
    inner, own, longest, since, at = [], 0, 0, 0, start
    while at < end:
      depth, begins, branches = bundles[at]
      if begins and at > start:
        # To the last bundle of that depth before another loop begins beside
        # it. Bundles of what is around it may be scheduled in between, and
        # take their cycle in each turn.
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
        own, since, at = own + 1, since + 1, at + 1
        longest = max(longest, since)
        since = 0 if branches else since
    return Loop(own, inner, longest)

  return loop(0, len(bundles))


class Costs(NamedTuple):
  """Bundles for a row of the heads that share 128 lanes."""

  forward: float
  backward: float


def of_flash_tpu(
  found: dict[str, Loop],
  length: int,
  blocks: tuple[int, int, int, int],
  visits: tuple[float, float] | None = None,
) -> Costs:
  """Of our kernels, for one row of `length` tokens.

  Args:
    found: `kernels`, of a program with more than one row, since a grid of one
      step is no loop in the listing; and with arrays that do not fit in VMEM,
      from where they would be copied by instructions.
    length: S.
    blocks: as they were compiled.
    visits: pairs of blocks that are looked at, forward and backward; None: all.
  """
  queries, keys, back_queries, back_keys = blocks
  if visits is None:
    visits = (
      length / queries * length / keys,
      length / back_queries * length / back_keys,
    )
  # What has one turn only is no loop: it is among the bundles around it. So a
  # row's preparation counts for each block of queries in rows of up to 512.
  turns = length / tpu_rows.step(length)
  (grid,) = found["flash_forward"].inner
  loops = list(grid.inner)
  forward = grid.bundles * length / queries
  if keys < length:
    forward += loops.pop().bundles * visits[0]
  forward += sum(x.bundles for x in loops) * turns

  (grid,) = found["flash_backward"].inner
  loops = list(grid.inner)
  backward = grid.bundles
  if turns > 1:
    backward += (loops.pop(0).bundles + loops.pop().bundles) * turns
  if back_keys < length:
    (around,) = loops
    backward += around.bundles * length / back_keys
    loops = around.inner
  backward += sum(x.bundles for x in loops) * visits[1]
  return Costs(forward, backward)
