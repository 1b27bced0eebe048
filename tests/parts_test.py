# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A job is identified by the contents of its model and input."""

import os
import shutil
import types

import numpy as np
import pytest

from nomic_jax.curate import parts
from nomic_jax.errors import UserError
from nomic_jax.storage import fingerprints


def _folder(path):
  (path / "checkpoints/7").mkdir(parents=True)
  (path / "checkpoints/7/weights").write_bytes(bytes(range(256)) * 99)
  (path / "metrics.jsonl").write_text("{}")
  return path


def test_identity_of_a_directory(tmp_path):
  first = _folder(tmp_path / "first")
  name = parts.identity(first)
  shutil.copytree(first, tmp_path / "copy")
  os.utime(tmp_path / "copy/checkpoints/7/weights", (0, 0))
  assert parts.identity(str(tmp_path / "copy")) == name
  (first / "metrics.jsonl").write_text("{}\n{}")
  assert parts.identity(first) == name
  weights = bytearray((first / "checkpoints/7/weights").read_bytes())
  weights[5000] ^= 1
  (first / "checkpoints/7/weights").write_bytes(weights)
  assert parts.identity(first) != name
  shutil.move(tmp_path / "copy/checkpoints/7", tmp_path / "copy/checkpoints/8")
  assert parts.identity(tmp_path / "copy") != name
  with pytest.raises(UserError, match="no such directory"):
    parts.identity(tmp_path / "missing")


def test_identity_of_large_files_reads_both_ends(tmp_path, monkeypatch):
  monkeypatch.setattr(fingerprints._add_file, "__defaults__", (4, 16))
  path = tmp_path / "file"
  names = set()
  for at in (None, 0, 15, 985, 999):
    content = bytearray(1000)
    if at is not None:
      content[at] = 1
    path.write_bytes(content)
    names.add(parts.identity(tmp_path))
  assert len(names) == 5


def test_identity_of_a_loaded_model():
  def model(value, name="kernel"):
    return types.SimpleNamespace(params={name: np.full((2, 2), value)})

  name = parts.identity(model(1.0))
  assert parts.identity(model(1.0)) == name
  assert parts.identity(model(2.0)) != name
  assert parts.identity(model(1.0, "bias")) != name


def test_pieces_survive_and_belong_to_one_job(tmp_path):
  work = parts.Parts(tmp_path / "out", {"job": "filter", "k": 2})
  assert not work.has("a")
  work.save("a", x=np.arange(3))
  again = parts.Parts(tmp_path / "out", {"job": "filter", "k": 2})
  assert again.has("a")
  np.testing.assert_array_equal(again.load("a")["x"], np.arange(3))
  with pytest.raises(UserError, match="k was 2, now 4"):
    parts.Parts(tmp_path / "out", {"job": "filter", "k": 4})
  again.remove()
  assert list(tmp_path.iterdir()) == []
