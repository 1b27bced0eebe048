# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Data and trainings that take seconds, in this process or another."""

import json
import os
import pathlib
import random
import re
import subprocess
import sys
import time

from support import compiler

from nomic_jax.data.prepare import prepare

ROOT = pathlib.Path(__file__).parents[2]

WORDS = (
  "river stone lamp garden window paper cloud bridge winter copper engine "
  "letter market silver forest candle harbour needle orange pocket"
).split()

# A smaller encoder than the miniature one: it compiles in a second or two.
TINY = [
  "--config.encoder.width=16",
  "--config.encoder.layers=1",
  "--config.encoder.heads=2",
  "--config.encoder.mlp_width=16",
]


def write_jsonl(path: pathlib.Path, rows: int = 60) -> pathlib.Path:
  """Writes pairs of a query and a document that repeats some of its words."""
  draw = random.Random(1)
  lines = []
  for i in range(rows):
    words = draw.choices(WORDS, k=draw.randint(2, 40))
    lines.append(
      json.dumps(
        {
          "query": f"number {i} about {words[0]} and {words[-1]}",
          "document": " ".join(words) + f" {i}",
        }
      )
    )
  path.write_text("\n".join(lines) + "\n")
  return path


def make(folder: pathlib.Path) -> pathlib.Path:
  """Returns a data directory with splits train (54 rows) and test (6)."""
  source = write_jsonl(folder / "pairs.jsonl")
  prepare(str(source), folder / "pairs", vocab_size=150, held_out=0.1)
  return folder / "pairs"


def config(name: str) -> str:
  return f"--config={ROOT}/configs/{name}.py:miniature"


def train(
  name: str, data: pathlib.Path, workdir: pathlib.Path, *overrides: str
) -> list[str]:
  """The command of a training; overrides are "KEY=VALUE"."""
  return [
    "train",
    config(name),
    f"--config.data.path={data}",
    f"--workdir={workdir}",
    *TINY,
    *(f"--config.{o}" for o in overrides),
  ]


def complaint(text: str) -> str:
  """Returns the line of an error, the last one after lines of progress."""
  *progress, line = text.splitlines()
  assert line.startswith("nomic-jax: error: "), text
  assert all(re.search(r" left(  |$)", p) for p in progress), text
  return line.removeprefix("nomic-jax: error: ")


class Process:
  """A command in a separate process with one device."""

  def __init__(
    self, command: list[str], compiled: pathlib.Path, held: str = ""
  ):
    """Starts it.

    Args:
      command: what follows `nomic-jax`.
      compiled: a folder for compiled programs.
      held: where it waits, see held.py; "" runs without waiting.
    """
    program = (
      [f"{ROOT}/tests/support/held.py", held]
      if held
      else (["-m", "nomic_jax.main"])
    )
    environment = os.environ | {
      # As in conftest.py, but with one device.
      "XLA_FLAGS": compiler.QUICK,
      "JAX_COMPILATION_CACHE_DIR": str(compiled),
      "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
      "PYTHONPATH": os.pathsep.join(
        [str(ROOT), os.environ.get("PYTHONPATH", "")]
      ),
    }
    self._process = subprocess.Popen(
      [sys.executable, *program, *command],
      cwd=ROOT,
      env=environment,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    self.pid = self._process.pid

  def wait_for(self, moment) -> bool:
    """Waits until `moment()`; returns whether the process is still running."""
    while self._process.poll() is None and not moment():
      time.sleep(0.0005)
    return self._process.poll() is None

  def read_line(self, line: str) -> None:
    """Waits until it prints a line."""
    while (found := self._process.stdout.readline()) != line + "\n":
      assert found, "it has ended"

  def kill(self) -> None:
    self._process.kill()
    self._process.communicate()

  def terminate(self) -> None:
    self._process.terminate()

  def finish(self) -> tuple[int, str, str]:
    """Returns exit status, standard output and standard error."""
    out, err = self._process.communicate(timeout=300)
    return self._process.returncode, out, err
