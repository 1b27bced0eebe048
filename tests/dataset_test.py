# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A data directory gives the rows that were written, or an error."""

import math
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.proto import tf_example_pb2

from nomic_jax.data import builder
from nomic_jax.data import dataset
from nomic_jax.data import records
from nomic_jax.errors import UserError


def _rows(n: int) -> list[dataset.Row]:
  return [
    dataset.row(
      f"query {i}",
      f"document {i}\nwith ünïcode \U0001f600 {i * i}",
      negatives=[f"wrong {j}" for j in range(i % 3)],
      source="s",
      location=f"/a/b.py:{i}",
      score=0.1 if i % 2 else math.nan,
      negative_scores=[j / 3 for j in range(i % 3)],
    )
    for i in range(n)
  ]


def _same(read: dict, written: dict) -> bool:
  numbers = np.array_equal(
    np.float32([written["score"], *written["negative_scores"]]),
    np.float32([read["score"], *read["negative_scores"]]),
    equal_nan=True,
  )
  texts = set(written) - {"score", "negative_scores"}
  return (
    set(read) == set(written)
    and numbers
    and all(read[k] == written[k] for k in texts)
  )


@pytest.fixture(name="written", scope="module")
def _written(tmp_path_factory):
  folder = tmp_path_factory.mktemp("data")
  (folder / "words").mkdir()
  (folder / "words" / "tokenizer.json").write_text("{}")
  dataset.write(
    folder / "out",
    {"train": iter(_rows(40)), "test": _rows(7)},
    stats={"read": 47},
    tokenizer=folder / "words",
  )
  return folder / "out"


def _copy(written, folder):
  return shutil.copytree(written, folder / "copy")


def test_rows_come_back_in_order(written):
  train = dataset.open_split(written, "train")
  assert len(train) == 40 and train.name == "train"
  assert all(_same(train[i], row) for i, row in enumerate(_rows(40)))
  assert not _same(train[1], _rows(40)[2])
  assert isinstance(train[np.int64(3)]["score"], float)
  assert _same(dataset.open_split(written, "test")[6], _rows(7)[6])
  assert pickle.loads(pickle.dumps(train))[39]["query"] == "query 39"
  for index in (40, -1):
    with pytest.raises(IndexError):
      train[index]


def test_it_is_an_ordinary_tfds_dataset(written):
  source = tfds.builder_from_directory(written).as_data_source("train")
  assert len(source) == 40
  for i, row in enumerate(_rows(40)):
    assert source[i]["document"].decode() == row["document"]
    assert [n.decode() for n in source[i]["negatives"]] == row["negatives"]
  assert "tensorflow" not in sys.modules


def test_a_record_is_what_tfds_makes_of_the_row():
  parse = tf_example_pb2.Example.FromString
  tfds_writes = builder.features().serialize_example
  rows = [*_rows(3), dataset.row("", "é\n中", location="a:1", labels=[1.0])]
  for row in rows:  # As text, since NaN does not equal NaN.
    assert str(parse(records.encode(row))) == str(parse(tfds_writes(row)))
  assert parse(records.encode(rows[0])) != parse(tfds_writes(rows[1]))


def test_many_rows_fill_several_files(tmp_path, monkeypatch):
  size = len(records.encode(_rows(1)[0]))
  monkeypatch.setattr(builder, "_SHARD", 10 * size)
  dataset.write(tmp_path / "out", {"train": iter(_rows(40))}, stats={})
  names = sorted(p.name for p in (tmp_path / "out").glob("pairs-*"))
  assert 2 < len(names) <= 40
  assert names[-1].endswith(f"-{len(names) - 1:05}-of-{len(names):05}")
  train = dataset.open_split(tmp_path / "out", "train")
  assert len(train) == 40
  assert all(_same(train[i], row) for i, row in enumerate(_rows(40)))
  assert not [p for p in (tmp_path / "out").iterdir() if p.is_dir()]


def test_nothing_but_the_directory_is_left(written):
  assert sorted(p.name for p in written.parent.iterdir()) == ["out", "words"]
  assert sorted(p.name for p in written.iterdir()) == [
    "dataset_info.json",
    "features.json",
    "pairs-test.array_record-00000-of-00001",
    "pairs-train.array_record-00000-of-00001",
    "sources.json",
    "stats.json",
    "tokenizer",
  ]
  assert dataset.tokenizer_path(written) == written / "tokenizer"


def test_it_prints_nothing(tmp_path, capfd):
  dataset.write(tmp_path / "out", {"train": iter(_rows(3))}, stats={})
  dataset.open_split(tmp_path / "out", "train")
  assert capfd.readouterr() == ("", "")


def test_what_is_missing_is_named(written, tmp_path):
  with pytest.raises(UserError, match="'trian'.*has test, train.*'train'"):
    dataset.open_split(written, "trian")
  with pytest.raises(UserError, match="not a data directory"):
    dataset.open_split(tmp_path, "train")
  with pytest.raises(UserError, match="no tokenizer/tokenizer.json"):
    dataset.tokenizer_path(tmp_path)
  copy = _copy(written, tmp_path)
  (copy / "pairs-train.array_record-00000-of-00001").unlink()
  with pytest.raises(UserError, match="pairs-train.*missing"):
    dataset.open_split(copy, "train")
  assert len(dataset.open_split(copy, "test")) == 7
  (copy / "dataset_info.json").write_text('{"name": ')
  with pytest.raises(UserError, match="dataset_info.json"):
    dataset.open_split(copy, "test")


def test_a_damaged_file_is_named(written, tmp_path):
  file = _copy(written, tmp_path) / "pairs-train.array_record-00000-of-00001"
  data = file.read_bytes()
  for damaged in (data[: len(data) - 1000], b"", b"hello" * 99):
    file.write_bytes(damaged)
    with pytest.raises(UserError, match="pairs-train.*damaged.*40 rows"):
      dataset.open_split(file.parent, "train")
  file.write_bytes(data[:500] + bytes(3_500) + data[4_000:])
  source = dataset.open_split(file.parent, "train")
  with pytest.raises(UserError, match=r"pairs-train.*damaged.*row \d+"):
    for i in range(len(source)):
      source[i]


def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path):
  program = (
    "import os, resource, sys\n"
    "from nomic_jax.data import dataset\n"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
    "rows = [dataset.row(f'q{i}', os.urandom(500).hex())"
    " for i in range(1000)]\n"
    "dataset.write(sys.argv[1], {'train': rows}, stats={})\n"
  )
  result = subprocess.run(
    [sys.executable, "-c", program, tmp_path / "out"],
    check=False,
    capture_output=True,
    text=True,
  )
  last = result.stderr.strip().split("\n")[-1]
  assert f"UserError: cannot write {tmp_path}/out: File too large" in last
  assert not list(tmp_path.iterdir())


def test_a_failure_leaves_what_was_there(tmp_path):
  dataset.write(tmp_path / "out", {"train": _rows(3)}, stats={"n": 1})

  def failing():
    yield from _rows(5)
    raise UserError("model.safetensors: no such tensor")

  with pytest.raises(UserError, match="^model.safetensors: no such tensor$"):
    dataset.write(tmp_path / "out", {"train": failing()}, stats={"n": 2})
  with pytest.raises(UserError, match="no rows for split 'test'"):
    dataset.write(tmp_path / "out", {"train": _rows(2), "test": []}, stats={})
  assert [p.name for p in tmp_path.iterdir()] == ["out"]
  assert len(dataset.open_split(tmp_path / "out", "train")) == 3
  dataset.write(tmp_path / "out", {"train": _rows(2)}, stats={"n": 3})
  assert len(dataset.open_split(tmp_path / "out", "train")) == 2
  assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_an_unknown_feature_is_a_bug():
  with pytest.raises(TypeError, match="scores"):
    dataset.row("q", "d", scores=1.0)
