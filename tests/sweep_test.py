# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A sweep trains every point once, with that point's values."""

import json

import pytest

from nomic_jax import sweep
from nomic_jax.errors import UserError
from nomic_jax.main import main

CONFIG = """
import ml_collections

def get_config(arg=None):
  return ml_collections.ConfigDict(dict(steps=1, rate=0.0, other=1.0))

def sweep(add):
  for rate in (0.5, 0.25):
    add(rate=rate)
"""


def test_points_are_trained_with_their_values(tmp_path, monkeypatch, capsys):
  config = tmp_path / "some.py"
  config.write_text(CONFIG)
  seen = []

  def train(config, workdir):
    seen.append((config.rate, config.other))
    folder = tmp_path / "runs" / workdir.rsplit("/", 1)[1]
    folder.mkdir(parents=True)
    line = {"step": 1, "loss": config.rate, "seconds": 60.0}
    (folder / "metrics.jsonl").write_text(json.dumps(line) + "\n")

  monkeypatch.setattr("nomic_jax.train.train", train)
  flags = [f"--config={config}", "--config.other=3"]
  assert not main(["sweep", *flags, f"--workdir={tmp_path}/runs"])
  assert seen == [(0.5, 3.0), (0.25, 3.0)]
  table = capsys.readouterr().out.splitlines()
  assert [line.split()[0] for line in table] == ["rate=0.25", "rate=0.5"]

  assert not main(["sweep", *flags, "--workdir=x", "--list"])
  assert capsys.readouterr().out.split() == ["rate=0.5", "rate=0.25"]
  assert len(seen) == 2  # --list trains nothing


def test_a_config_without_points_is_an_error(tmp_path):
  config = tmp_path / "none.py"
  config.write_text("def get_config(arg=None): pass\n")
  with pytest.raises(UserError, match="no sweep"):
    sweep.points([f"--config={config}"])
