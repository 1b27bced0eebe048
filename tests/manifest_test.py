# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Manifests hold a model's history; equal trainings give equal weights."""

import json
import os
import shutil

import jax
import numpy as np
import pytest
from support import small_data
from support.remote import bucket_fixture  # noqa: F401
from support.remote import emulator_fixture  # noqa: F401
from support.remote import moto_fixture  # noqa: F401

from nomic_jax.curate.clean import clean
from nomic_jax.curate.filter import filter_pairs
from nomic_jax.curate.mine import mine_negatives
from nomic_jax.data import dataset
from nomic_jax.data import manifest
from nomic_jax.data import tokens
from nomic_jax.data.prepare import prepare
from nomic_jax.embed.embedding_model import EmbeddingModel
from nomic_jax.main import main
from nomic_jax.run import checkpoint
from nomic_jax.run.verify import verify
from nomic_jax.storage import buckets

pytestmark = pytest.mark.slow


@pytest.fixture(name="place", scope="module")
def _place(tmp_path_factory):
  place = tmp_path_factory.mktemp("runs")
  data = small_data.make(place)
  train = lambda config, name, *flags: main(
    small_data.train(
      config, data, place / name, "steps=2", "optimizer.warmup=1 steps", *flags
    )
  )
  assert train("mlm", "mlm", "data.micro_batches=1") == 0
  assert train("mlm", "again", "data.micro_batches=1") == 0
  assert (
    train(
      "contrastive", "tuned", f"init_from={place}/mlm", "loss.chunk_tokens=0"
    )
    == 0
  )
  assert (
    main(["export", f"--workdir={place}/tuned", f"--output={place}/model"]) == 0
  )
  return place


@pytest.mark.slow
def test_same_seed_and_mesh_give_the_same_bits(place):
  one, two = (
    checkpoint.restore_params(place / name, None) for name in ("mlm", "again")
  )
  assert jax.tree.structure(one) == jax.tree.structure(two)
  for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two)):
    assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
  told = [manifest.read(place / name) for name in ("mlm", "again")]
  assert told[0] == told[1]


def test_a_manifest_holds_the_whole_history(place):
  model = manifest.read(place / "model")
  training = model["training"]["manifest"]
  assert training["config"]["data"]["kind"] == "pairs"
  assert training["data"]["config.data.path"]["rows"] == {
    "train": 54,
    "test": 6,
  }
  assert training["devices"]["count"] == 8
  assert training["libraries"]["jax"] == jax.__version__
  parent = training["parent"]["manifest"]
  assert parent["config"]["data"]["kind"] == "text" and not parent["parent"]
  assert parent == manifest.read(place / "mlm")
  assert model["training"]["step"] == 2
  # Down to the source of the data.
  prepared = training["data"]["config.data.path"]["manifest"]
  assert prepared == parent["data"]["config.data.path"]["manifest"]
  assert prepared["job"] == "prepare"
  assert prepared["arguments"]["held_out"] == 0.1
  assert prepared["rows"] == {"train": 54, "test": 6}
  assert prepared["inputs"]["source"]["path"] == f"{place}/pairs.jsonl"
  assert "devices" not in prepared  # prepare does not depend on them


def test_verify_finds_what_differs(place, tmp_path, capsys):
  verify = lambda: (
    main(["verify", str(tmp_path / "model")]),
    capsys.readouterr(),
  )
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
  assert status == 2  # its training records another version
  shutil.copy(place / "model" / "reproduce.json", file)
  weights = tmp_path / "model" / "model.safetensors"
  weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
  status, said = verify()
  assert status == 2 and "weights: was" in said.out
  assert "1 of the items above differ" in said.err
  assert main(["verify", str(tmp_path)]) == 2
  assert "no reproduce.json" in capsys.readouterr().err


class _Letters(EmbeddingModel):
  """Embeds a text by its letters."""

  params = {"w": np.random.default_rng(0).normal(size=(256, 8))}

  def encode(self, texts, *args, **kwargs):
    made = np.stack([self.params["w"][list(t.encode())].sum(0) for t in texts])
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype("f4")


@pytest.fixture(name="data")
def _data(tmp_path):
  """Data made from pairs.jsonl, and everything made from that."""
  small_data.make(tmp_path)
  (tmp_path / "others.txt").write_text("about something else\n")
  at = lambda name: tmp_path / name
  clean(at("pairs"), at("clean"), against=[str(at("others.txt"))])
  model = _Letters()
  filter_pairs(model, at("clean"), at("kept"), k=40)
  mine_negatives(
    model,
    at("kept"),
    at("mined"),
    negatives=2,
    margin=None,
    corpus=[str(at("others.txt"))],
  )
  return tmp_path


def test_manifests_of_data_hold_the_history_too(data, capsys):
  mined = manifest.read(data / "mined")
  jobs = [mined]
  while "input" in jobs[-1]["inputs"]:
    jobs.append(jobs[-1]["inputs"]["input"]["manifest"])
  assert [j["job"] for j in jobs] == ["mine", "filter", "clean", "prepare"]
  for job, name in zip(jobs, ("mined", "kept", "clean", "pairs")):
    stats = json.loads((data / name / "stats.json").read_text())
    assert job["arguments"] == stats["arguments"]
    assert job["rows"] == stats["rows"]
  assert {*mined["inputs"]} == {"input", "model", "corpus[0]"}
  assert mined["inputs"]["model"]["path"] is None  # an object
  assert {*jobs[2]["inputs"]} == {"input", "against[0]"}
  verify(data / "mined")
  said = capsys.readouterr().out
  for line in (
    "files: the same",
    "records: the same",
    f"input: input {data}/clean: the same",
    f"input: input: input: source {data}/pairs.jsonl: the same",
    f"corpus[0] {data}/others.txt: the same",
    "model (an object in memory): cannot be compared",
  ):
    assert line in said, line
  assert main(["verify", f"{data}/mined"]) == 0


def _differing(data, capsys):
  """The differences that verify finds in the history of `mined`."""
  capsys.readouterr()
  status = main(["verify", f"{data}/mined"])
  lines = capsys.readouterr().out.splitlines()
  found = [line.partition(": was ")[0] for line in lines if ": was " in line]
  assert bool(found) == (status == 2)
  return found


def test_what_differs_in_data_is_found_and_a_copy_is_the_same(data, capsys):
  source = data / "pairs.jsonl"
  text = source.read_text()
  os.utime(source, (1, 1))  # a copy has another time
  assert _differing(data, capsys) == []
  source.write_text(text + text.splitlines()[0] + "\n")
  assert _differing(data, capsys) == [f"input: input: input: source {source}"]
  source.write_text(text)

  records = next((data / "clean").glob("*train*.array_record*"))
  held = records.read_bytes()
  records.write_bytes(held[:-1] + bytes([held[-1] ^ 1]))
  assert _differing(data, capsys) == ["input: input: records"]
  records.write_bytes(held[:-1])
  assert _differing(data, capsys) == [
    f"input: input {data}/clean",
    "input: input: records",
  ]
  shutil.rmtree(data / "clean")  # a missing input is not a difference
  assert _differing(data, capsys) == []

  records = next((data / "mined").glob("*test*.array_record*"))
  records.write_bytes(records.read_bytes() * 2)
  assert _differing(data, capsys) == ["files", "records"]


def test_the_same_rows_have_the_same_fingerprint_anywhere(tmp_path):
  here = small_data.make(tmp_path)
  prepare(
    f"{tmp_path}/pairs.jsonl", tmp_path / "there", vocab_size=150, held_out=0.1
  )
  one, two = manifest.read(here), manifest.read(tmp_path / "there")
  assert one == two
  prepare(
    f"{tmp_path}/pairs.jsonl",
    tmp_path / "other",
    vocab_size=150,
    held_out=0.1,
    limit=59,
  )
  assert manifest.read(tmp_path / "other")["records"] != one["records"]
  # The fingerprint does not depend on the manifest.
  assert one["fingerprint"] == dataset.fingerprint(here)
  (here / "reproduce.json").unlink()
  assert one["fingerprint"] == dataset.fingerprint(here)
  assert main(["verify", str(here)]) == 2  # as from an earlier version


def test_tokens_of_other_records_are_found(data, capsys):
  tokens.tokenise(data / "mined")
  assert _differing(data, capsys) == []
  about = data / "mined" / "tokens" / "about.json"
  values = json.loads(about.read_text())
  values["records"][0][1] += 1
  about.write_text(json.dumps(values))
  assert _differing(data, capsys) == ["records that tokens/ was made of"]


def test_directories_in_a_bucket_are_verified_there(
  place, bucket, capsys, monkeypatch
):
  for name in ("pairs", "tuned", "model"):
    buckets.upload(place / name, f"{bucket}/{name}")
  # The history has paths in the bucket.
  written = f"{bucket}/model/reproduce.json"
  values = json.loads(
    buckets.as_path(written).read_text().replace(f'"{place}/', f'"{bucket}/')
  )
  put = lambda: buckets.as_path(written).write_text(json.dumps(values))
  put()
  copied = []
  fetch = buckets._fetch
  monkeypatch.setattr(
    buckets,
    "_fetch",
    lambda path, checkpoints: (
      copied.append(checkpoints),
      fetch(path, checkpoints),
    )[1],
  )

  def said(path, status=0):
    assert main(["verify", path]) == status
    return capsys.readouterr().out

  lines = said(f"{bucket}/model", 2)
  assert "weights: the same" in lines
  assert f"training: config.data.path {bucket}/pairs: the same" in lines
  # The work directory in the bucket has local paths.
  assert f"training {bucket}/tuned: was" in lines
  assert f"training: parent {bucket}/mlm: cannot be compared: it no" in lines
  assert "files: the same" in said(f"{bucket}/pairs")
  assert f"config.data.path {place}/pairs: the same" in said(f"{bucket}/tuned")
  assert copied and not any(copied)  # no checkpoint
  values["weights"] = "0"
  put()
  assert "weights: was 0" in said(f"{bucket}/model", 2)
  assert main(["verify", f"{bucket}/none"]) == 2
  assert "has no reproduce.json" in capsys.readouterr().err
