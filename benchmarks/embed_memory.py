# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Checks whether memory of `nomic-jax embed` grows with the number of texts.

    python benchmarks/embed_memory.py --model=DIR [--texts=1000000]

Embeds a .txt file with this many lines into a .npy file in a temporary folder.
At each tenth, prints this process's own memory (RssAnon) and that of mapped
files (RssFile) in MB. A small model is sufficient, since growth with the number
of texts would not depend on the model's size.
"""

import argparse
import pathlib
import re
import sys
import tempfile
import time

from nomic_jax.embed import file as embed_file
from nomic_jax.storage import progress

WORDS = "find the value of this list and return it as a new string or none"


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--model", required=True)
  parser.add_argument("--texts", type=int, default=1_000_000)
  a = parser.parse_args()
  words = WORDS.split()
  with tempfile.TemporaryDirectory() as folder:
    source = pathlib.Path(folder) / "texts.txt"
    with open(source, "w", encoding="utf-8") as file:
      for i in range(a.texts):
        some = words[i % 7 : i % 7 + 1 + i % 9]
        file.write(f"{' '.join(some)} {i}\n")
    embed_file.Progress = _Watch
    embed_file.embed_file(a.model, str(source), f"{folder}/vectors.npy")
    size = (pathlib.Path(folder) / "vectors.npy").stat().st_size
    print(f"vectors.npy: {size / 1e6:,.0f} MB")


class _Watch(progress.Progress):
  """Prints the memory at each tenth of the texts."""

  def __init__(self, total: int, *rest, **named):
    super().__init__(total, *rest, **named)
    self._tenths, self._start_time = 0, time.monotonic()

  def update(self, n: int = 1, **shown) -> None:
    super().update(n, **shown)
    while self._done * 10 >= self._total * (self._tenths + 1):
      self._tenths += 1
      status = pathlib.Path("/proc/self/status").read_text("utf-8")
      held = {
        k: int(v) // 1000
        for k, v in re.findall(r"(Rss\w+):\s+(\d+) kB", status)
      }
      seconds = time.monotonic() - self._start_time
      print(
        f"{self._done:>10,} texts  {seconds:6.1f} s  {held}",
        file=sys.stdout,
        flush=True,
      )


if __name__ == "__main__":
  main()
