# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""filter and mine give the same result with two processes as with one."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from support import compiler

from nomic_jax.data import dataset

pytestmark = [pytest.mark.slow, pytest.mark.processes]

ROOT = pathlib.Path(__file__).parents[1]

_DRIVER = """
import json, sys
import jax, numpy as np
from nomic_jax.curate import filter, mine
from nomic_jax.embed import store as embeddings
from nomic_jax.mesh.processes import joined

place = sys.argv[1]
embeddings.PIECE = 4

class Model:
  prompts, seen = {}, []
  def encode(self, texts):
    self.seen += texts
    angle = np.radians([float(t.split("@")[1]) for t in texts])
    return np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)

with joined("--distributed" in sys.argv):
  count, model = jax.process_count(), Model()
  filter.filter_pairs(
      model, f"{place}/in", f"{place}/filtered-{count}", k=1, chunk_size=7)
  filtered = len(model.seen)
  mine.mine_negatives(
      model, f"{place}/in", f"{place}/mined-{count}", negatives=3, depth=8,
      chunk_size=6)
  with open(f"{place}/seen-{count}-{jax.process_index()}", "w") as f:
    json.dump([model.seen[:filtered], model.seen[filtered:]], f)
"""


def _rows(path):
  """Rows as text without their scores, and the scores."""
  source = dataset.open_split(path, "train")
  rows = [source[i] for i in range(len(source))]
  scores = [[r.pop("score"), *r.pop("negative_scores")] for r in rows]
  return repr(rows), np.concatenate(scores)


def test_two_processes_do_what_one_does(tmp_path):
  tokenizer = tmp_path / "tokenizer"
  tokenizer.mkdir()
  (tokenizer / "tokenizer.json").write_text("{}")
  rows = [
    dataset.row(f"q@{i * 7 % 360}", f"d@{(i * 7 + (i % 5) ** 3) % 360}")
    for i in range(23)
  ]
  dataset.write(tmp_path / "in", {"train": rows}, stats={}, tokenizer=tokenizer)
  driver = tmp_path / "driver.py"
  driver.write_text(_DRIVER)
  environment = os.environ | {
    "PYTHONPATH": str(ROOT),
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": compiler.QUICK,
    "NOMIC_JAX": f"{sys.executable} {driver}",
  }
  run = lambda *command: subprocess.run(
    command, cwd=ROOT, env=environment, check=True, timeout=300
  )
  run(sys.executable, driver, tmp_path)
  run("bash", "launch/local.sh", "--processes=2", "--", tmp_path)
  for job in ("filtered", "mined"):
    rows, scores = _rows(tmp_path / f"{job}-2")
    alone, want = _rows(tmp_path / f"{job}-1")
    assert rows == alone
    np.testing.assert_allclose(scores, want, atol=1e-6)
    assert not (tmp_path / f"{job}-2.parts").exists()
  told = lambda name: json.loads((tmp_path / f"seen-{name}").read_text())
  for alone, first, second in zip(told("1-0"), told("2-0"), told("2-1")):
    assert sorted(first + second) == sorted(alone)  # Each text in one of them.
    assert min(len(first), len(second)) > len(alone) // 4
