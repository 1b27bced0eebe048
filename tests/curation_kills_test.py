# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""filter and mine survive repeated kills.

A process receives SIGKILL before or after each step and each write. Finished
work is never repeated, and the result equals that of an uninterrupted job.
"""

import json
import os
import pathlib
import subprocess
import sys

import pytest
from support import compiler

from nomic_jax.data import dataset

pytestmark = [pytest.mark.slow, pytest.mark.processes]

# Runs a job in forked processes, each killed one step later, until one
# finishes; prints the work done.
_DRIVER = """
import contextlib, json, math, os, shutil, signal, sys, traceback
import numpy as np
from nomic_jax.curate import filter, mine
from nomic_jax.embed import store as embeddings
from nomic_jax.search import neighbours
from nomic_jax.storage import files

job, data, out = sys.argv[1:]
embeddings.PIECE = 4
jobs = {
    "filter": lambda m: filter.filter_pairs(m, data, out, k=1, chunk_size=7),
    "mine": lambda m: mine.mine_negatives(
        m, data, out, negatives=3, chunk_size=6, depth=8),
}
left = [0]

def tick():
  left[0] -= 1
  if not left[0]:
    os.kill(os.getpid(), signal.SIGKILL)

def tell(*event):
  os.write(1, (json.dumps(event) + "\\n").encode())

class Model:
  prompts = {"search_query": "Q: ", "search_document": "D: "}
  def encode(self, texts):
    tell("work", texts)
    tick()
    angle = np.radians([float(t.rsplit("@", 1)[1]) for t in texts])
    return np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)

def watch(place, name, told):
  step = getattr(place, name)
  def watched(*args, **kwargs):
    told(*args)
    tick()
    result = step(*args, **kwargs)
    tick()
    return result
  setattr(place, name, watched)

@contextlib.contextmanager
def replacing(path, before=files.replacing):
  with before(path) as temporary:
    yield temporary
    tick()
  tell("done", os.path.relpath(path, out))
  tick()

files.replacing = replacing
watch(shutil, "rmtree", lambda *a: None)
watch(neighbours.Index, "search",
      lambda self, queries, k: tell("work", queries[:].tolist()))
threads = len(os.listdir("/proc/self/task"))
assert threads == 1, f"{threads} threads: not safe to fork"

for kill_at in [*range(1, 40), math.inf]:
  tell("start", kill_at)
  if not (child := os.fork()):
    left[0] = kill_at
    try:
      jobs[job](Model())
      os._exit(0)
    except BaseException:
      traceback.print_exc()
      os._exit(1)
  status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
  if status != -signal.SIGKILL:
    sys.exit(status)
"""

_ROWS = [
  dataset.row(
    f"q@{i * 7 % 360}", f"d@{(i * 7 + (i % 5) ** 3) % 360}", source="ab"[i % 2]
  )
  for i in range(20)
] + [dataset.row("", "d@9"), dataset.row("q@1", " ")]


def _directory(path):
  tokenizer = path.parent / "tokenizer"
  tokenizer.mkdir()
  (tokenizer / "tokenizer.json").write_text("{}")
  dataset.write(path, {"train": _ROWS}, stats={}, tokenizer=tokenizer)
  return path


def _run(job, data, out, code=_DRIVER):
  root = pathlib.Path(__file__).parents[1]
  done = subprocess.run(
    [sys.executable, "-c", code, job, data, out],
    capture_output=True,
    text=True,
    timeout=300,
    env=os.environ
    | {
      "PYTHONPATH": str(root),
      "OPENBLAS_NUM_THREADS": "1",
      "OMP_NUM_THREADS": "1",
      "JAX_PLATFORMS": "cpu",
      "XLA_FLAGS": compiler.QUICK,
    },
  )
  assert done.returncode == 0, done.stderr[-2000:]
  return [
    json.loads(line)
    for line in done.stdout.splitlines()
    if line.startswith("[")
  ]


def _rows(path):
  source = dataset.open_split(path, "train")
  return repr([source[i] for i in range(len(source))])


@pytest.mark.parametrize("job", ["filter", "mine"])
def test_killed_everywhere_nothing_is_lost_or_done_twice(tmp_path, job):
  data = _directory(tmp_path / "in")
  whole = _DRIVER.replace("[*range(1, 40), math.inf]", "[math.inf]")
  _run(job, data, tmp_path / "whole", whole)
  events = _run(job, data, tmp_path / "out")
  kills = sum(event[0] == "start" for event in events) - 1
  assert kills > 8, "it was hardly killed"
  finished, last = set(), None
  for kind, what in events:
    what = json.dumps(what)
    if kind == "work":
      assert what not in finished, f"done again: {what}"
      last = what
    elif kind == "done" and last:
      finished.add(last)
      last = None
    elif kind == "start":
      last = None
  assert len(finished) > 10
  assert _rows(tmp_path / "out") == _rows(tmp_path / "whole")
  stats = json.loads((tmp_path / "out/stats.json").read_text())
  assert stats == json.loads((tmp_path / "whole/stats.json").read_text())
  rows = stats["rows"]
  assert rows["bad"] == {"empty text": 2} and rows["input"] == len(_ROWS)
  assert rows["input"] == (
    rows["kept"] + sum(rows["dropped"].values()) + sum(rows["bad"].values())
  )
  assert rows["kept"] == _rows(tmp_path / "out").count("'location'")
  left = [p.name for p in tmp_path.iterdir() if not p.name.startswith(".")]
  assert sorted(left) == ["in", "out", "tokenizer", "whole"]
