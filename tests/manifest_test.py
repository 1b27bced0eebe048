# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A model tells its history; the same training gives the same bits."""

import json
import shutil

import jax
import numpy as np
import pytest

from nomic_jax.main import main
from nomic_jax.run import checkpoint
from nomic_jax.run import manifest
import small_data


@pytest.fixture(name="place", scope="module")
def _place(tmp_path_factory):
  place = tmp_path_factory.mktemp("runs")
  data = small_data.make(place)
  train = lambda config, name, *flags: main(small_data.train(
      config, data, place / name, "steps=2", "optimizer.warmup=1 steps",
      *flags))
  assert train("mlm", "mlm", "data.micro_batches=1") == 0
  assert train("mlm", "again", "data.micro_batches=1") == 0
  assert train("contrastive", "tuned", f"init_from={place}/mlm",
               "loss.chunk_tokens=0") == 0
  assert main(["export", f"--workdir={place}/tuned",
               f"--output={place}/model"]) == 0
  return place


def test_same_seed_and_mesh_give_the_same_bits(place):
  one, two = (
      checkpoint.restore_params(place / name, None)
      for name in ("mlm", "again"))
  assert jax.tree.structure(one) == jax.tree.structure(two)
  for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two)):
    assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
  told = [manifest.read(place / name) for name in ("mlm", "again")]
  assert told[0] == told[1]


def test_a_model_tells_its_whole_history(place):
  model = manifest.read(place / "model")
  training = model["training"]["manifest"]
  assert training["config"]["data"]["kind"] == "pairs"
  assert training["data"]["config.data.path"]["rows"] == {
      "train": 54, "test": 6}
  assert training["devices"]["count"] == 8
  assert training["libraries"]["jax"] == jax.__version__
  parent = training["parent"]["manifest"]
  assert parent["config"]["data"]["kind"] == "text" and not parent["parent"]
  assert parent == manifest.read(place / "mlm")


def test_verify_finds_what_differs(place, tmp_path, capsys):
  verify = lambda: (main(["verify", str(tmp_path / "model")]),
                    capsys.readouterr())
  shutil.copytree(place / "model", tmp_path / "model")
  status, said = verify()
  assert status == 0, said
  assert "weights: the same" in said.out
  assert "training: parent: config.data.path" in said.out
  file = tmp_path / "model" / "reproduce.json"
  values = json.loads(file.read_text())
  values["training"]["manifest"]["libraries"]["jax"] = "0.0.1"
  file.write_text(json.dumps(values))
  status, said = verify()
  assert "libraries: jax: was 0.0.1" in said.out
  assert status == 2  # its training tells another version
  shutil.copy(place / "model" / "reproduce.json", file)
  weights = tmp_path / "model" / "model.safetensors"
  weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
  status, said = verify()
  assert status == 2 and "weights: was" in said.out
  assert "1 of these differ" in said.err
  assert main(["verify", str(tmp_path)]) == 2
  assert "no reproduce.json" in capsys.readouterr().err
