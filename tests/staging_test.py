# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Data in a bucket: only files that are read are copied, and completely."""

import json
import pathlib
import threading
import types

import fsspec
import numpy as np
import pytest
from support import small_data
from support.remote import bucket_fixture  # noqa: F401
from support.remote import emulator_fixture  # noqa: F401
from support.remote import folder_as_bucket
from support.remote import moto_fixture  # noqa: F401

import nomic_jax
from nomic_jax import main
from nomic_jax.curate.contamination import Evaluation
from nomic_jax.data import dataset
from nomic_jax.data import tokens
from nomic_jax.errors import Stopped
from nomic_jax.errors import UserError
from nomic_jax.report import evaluate
from nomic_jax.report import report
from nomic_jax.run import metrics
from nomic_jax.search import answer
from nomic_jax.search import corpus as corpus_lib
from nomic_jax.storage import appended
from nomic_jax.storage import buckets
from nomic_jax.storage import staging
from nomic_jax.text import tokenizer as tokenizer_lib

pytestmark = pytest.mark.slow


@pytest.fixture(name="place", scope="module")
def _place(tmp_path_factory):
  folder = tmp_path_factory.mktemp("staging")
  small_data.make(folder)
  tokens.tokenise(folder / "pairs")
  return folder


@pytest.fixture(name="cache", autouse=True)
def _cache(tmp_path, monkeypatch):
  cache = tmp_path / "cache"
  monkeypatch.setenv(staging.ENVIRONMENT, str(cache))
  return cache


def _copies(cache):
  """Names of the files in the copies."""
  return sorted(
    str(p.relative_to(folder))
    for folder in cache.glob("pairs-*/*")
    if folder.is_dir()
    for p in folder.rglob("*")
    if p.is_file()
  )


def test_data_in_a_bucket_can_be_tokenised_there(place, tmp_path, monkeypatch):
  folder_as_bucket(tmp_path, monkeypatch)
  buckets.upload(place / "pairs", "s3://bucket/pairs")
  made = tmp_path / "bucket" / "pairs" / "tokens"
  expected = {p.name: p.read_bytes() for p in made.iterdir()}
  for path in made.iterdir():
    path.unlink()
  tokens.tokenise("s3://bucket/pairs")
  assert {p.name: p.read_bytes() for p in made.iterdir()} == expected


def test_what_is_read_is_copied_and_no_more(bucket, place, cache):
  data = f"{bucket}/data/pairs"
  buckets.upload(place / "pairs", data)
  assert dataset.splits(data) == ["test", "train"]
  index = _copies(cache)
  assert "dataset_info.json" in index and "tokenizer/tokenizer.json" in index
  assert not [n for n in index if "record" in n or n.startswith("tokens")]
  there, here = (
    str([*dataset.open_split(path, "test").__getitems__(range(6))])
    for path in (data, place / "pairs")
  )
  assert there == here
  records = [n for n in _copies(cache) if "record" in n]
  assert records and all("-test." in n for n in records)
  words = tokenizer_lib.load(dataset.tokenizer_path(data))
  source = tokens.open_split(data, "train", words)
  same = tokens.open_split(place / "pairs", "train", words)
  assert source.__getitems__(range(54)) == same.__getitems__(range(54))
  assert not [n for n in _copies(cache) if n.startswith("tokens/test")]
  with pytest.raises(UserError, match="no split 'nay'"):
    dataset.open_split(data, "nay")
  with pytest.raises(UserError, match="the bucket holds nothing"):
    dataset.open_split(f"{bucket}/data/none", "train")


def test_a_training_reads_and_writes_the_bucket(bucket, place, capsys):
  """With data in the bucket and an evaluator, losses are as with local data."""
  buckets.upload(place / "pairs", f"{bucket}/data/pairs")
  losses = []
  for data, run in (
    (place / "pairs", place / f"run-{bucket[:2]}"),
    (f"{bucket}/data/pairs", f"{bucket}/run"),
  ):
    if not buckets.as_path(run).exists():
      assert (
        main.main(
          small_data.train(
            "contrastive",
            data,
            run,
            "steps=4",
            "log_every=2",
            "data.batch_size=8",
            "data.rows_multiple=16",
            "data.tokenised=true",
            "evaluators.retrieval.every=4",
          )
        )
        == 0
      ), capsys.readouterr().err
    losses.append(
      [
        {k: v for k, v in row.items() if k.startswith(("loss", "retrieval"))}
        for row in metrics.read(buckets.as_path(run) / "metrics.jsonl")
      ]
    )
  assert len(losses[0][-1]) > 3
  assert losses[0] == losses[1]


@pytest.fixture(name="folder")
def _folder(tmp_path, monkeypatch):
  """A folder that serves as a bucket, copied in small pieces."""
  monkeypatch.setattr(staging, "_PIECE", 1000)
  monkeypatch.setattr(buckets, "_FIRST_WAIT", 0.001)
  return folder_as_bucket(tmp_path, monkeypatch)


def _write(name, content):
  files, inside = fsspec.core.url_to_fs(f"s3://bucket/pairs/{name}")
  files.pipe_file(inside, content)


def test_an_interrupted_copy_is_resumed(folder, cache, monkeypatch):
  _write("a", b"1" * 100)
  _write("b", bytes(range(256)) * 40)
  _write("empty", b"")
  real, asked, broken = folder.cat_file, [], [True]

  def cat_file(self, path, start=None, end=None, **more):
    asked.append((pathlib.Path(path).name, start))
    if broken[0] and start and start >= 5000:
      raise KeyboardInterrupt
    return real(self, path, start=start, end=end, **more)

  monkeypatch.setattr(folder, "cat_file", cat_file)
  with pytest.raises(KeyboardInterrupt):
    staging.local("s3://bucket/pairs")
  assert _copies(cache) == ["a", "b.part"]
  broken[0], asked[:] = False, []
  copy = pathlib.Path(staging.local("s3://bucket/pairs"))
  assert (copy / "b").read_bytes() == bytes(range(256)) * 40
  assert (copy / "empty").read_bytes() == b""
  assert ("a", 0) not in asked and ("b", 4000) not in asked
  asked.clear()
  assert staging.local("s3://bucket/pairs") == str(copy) and not asked
  # A truncated local copy of a file is copied again.
  (copy / "b").write_bytes(b"torn")
  staging.local("s3://bucket/pairs")
  assert (copy / "b").read_bytes() == bytes(range(256)) * 40


def test_a_bucket_that_is_busy_is_asked_again(folder, monkeypatch):
  _write("a", b"x" * 5000)
  real, failures = (
    folder.cat_file,
    [
      OSError(16, "Please reduce your request rate."),
      TimeoutError(),
      OSError("HTTP 503: backend"),
    ],
  )

  def cat_file(self, *args, **more):
    if failures:
      raise failures.pop()
    return real(self, *args, **more)

  monkeypatch.setattr(folder, "cat_file", cat_file)
  copy = pathlib.Path(staging.local("s3://bucket/pairs"))
  assert (copy / "a").read_bytes() == b"x" * 5000 and not failures

  _write("a", b"y" * 5000)
  monkeypatch.setattr(buckets, "_PATIENCE", 0.01)
  failures[:] = [TimeoutError("slow")] * 99
  with pytest.raises(Stopped, match=r"does not answer \(slow\); run the same"):
    staging.local("s3://bucket/pairs")
  assert len(failures) < 99
  failures[:] = [PermissionError("Access Denied")] * 99
  with pytest.raises(UserError, match="permission denied"):
    staging.local("s3://bucket/pairs")


def test_a_change_makes_another_copy(folder, cache, monkeypatch):
  _write("a", b"1" * 100)
  _write("b", b"2" * 100)
  old = pathlib.Path(staging.local("s3://bucket/pairs"))
  node = (old / "a").stat().st_ino
  state = staging.state("s3://bucket/pairs")
  _write("b", b"3" * 100)  # of the same size
  new = pathlib.Path(staging.local("s3://bucket/pairs"))
  assert new != old and (new / "b").read_bytes() == b"3" * 100
  assert (new / "a").stat().st_ino == node  # was not copied again
  assert not old.exists() and staging.state("s3://bucket/pairs") != state
  assert staging.state("/here") == ""
  # A change while it is copied.
  real = folder.cat_file

  def cat_file(self, *args, **more):
    found = real(self, *args, **more)
    _write("c", b"late")
    return found

  _write("b", b"4" * 100)
  monkeypatch.setattr(folder, "cat_file", cat_file)
  with pytest.raises(UserError, match="changed while it was being copied"):
    staging.local("s3://bucket/pairs")


def test_lack_of_space_is_reported_before(folder, monkeypatch):
  _write("a", b"1" * 100)
  usage = staging.shutil.disk_usage("/")._replace(free=10)
  monkeypatch.setattr(staging.shutil, "disk_usage", lambda path: usage)
  with pytest.raises(UserError, match=f"or set {staging.ENVIRONMENT}"):
    staging.local("s3://bucket/pairs")


def test_processes_of_a_machine_copy_once(folder, monkeypatch):
  _write("a", b"1" * 5000)
  real, asked = folder.cat_file, []

  def cat_file(self, *args, **more):
    asked.append(more["start"])
    return real(self, *args, **more)

  monkeypatch.setattr(folder, "cat_file", cat_file)
  threads = [
    threading.Thread(target=staging.local, args=("s3://bucket/pairs",))
    for _ in range(3)
  ]
  for t in threads:
    t.start()
  for t in threads:
    t.join()
  assert sorted(asked) == [0, 1000, 2000, 3000, 4000]


def test_filter_reads_data_in_a_bucket(folder, place, tmp_path):
  """An input of curation in a bucket; the output records its address."""
  data = "s3://bucket/data/pairs"
  buckets.upload(place / "pairs", data)
  clean = lambda path, to: main.main(
    ["clean", f"--input={path}", f"--output={tmp_path / to}"]
  )
  assert clean(data, "far") == 0 and clean(place / "pairs", "near") == 0
  far, near = (
    json.loads((tmp_path / n / "stats.json").read_text())
    for n in ("far", "near")
  )
  assert far["input"] == data and far["rows"] == near["rows"]
  assert far["arguments"] == near["arguments"]  # a copy counts as the same
  with pytest.raises(UserError, match="--output is the same"):
    from nomic_jax.curate import rewrite

    rewrite.check_places(data, data + "/")


def test_evaluation_sets_in_a_bucket_are_kept_out(bucket, place, tmp_path):
  """A data directory and a single file; only what is read is copied."""
  held_out = dataset.open_split(place / "pairs", "test")
  texts = tmp_path / "texts.txt"
  texts.write_text(dataset.open_split(place / "pairs", "train")[0]["document"])
  for name, near in (("pairs", place / "pairs"), ("texts.txt", texts)):
    far = f"{bucket}/against/{name}"
    if near.is_dir():
      buckets.upload(near, far)
    else:
      buckets.as_path(far).write_text(near.read_text())
    assert Evaluation([far], 4, 0.5).texts == [
      (text, far) for text, _ in Evaluation([str(near)], 4, 0.5).texts
    ]
  found = Evaluation([f"{bucket}/against/pairs"], 4, 0.5)
  assert found.find(held_out[0]["query"], "").origin.startswith(bucket)
  assert not [
    p for p in tmp_path.glob("cache/pairs-*/**/*-train.array_record*")
  ]
  with pytest.raises(UserError, match="the bucket holds nothing"):
    Evaluation([f"{bucket}/against/none"], 4, 0.5)


def test_a_corpus_and_data_of_tasks_in_a_bucket(bucket, place, monkeypatch):
  asked = []
  monkeypatch.setattr(
    nomic_jax,
    "load",
    lambda path: asked.append(path) or types.SimpleNamespace(by_cosine=True),
  )
  monkeypatch.setattr(
    answer,
    "_indexed",
    lambda model, corpus, index, given, precision: (
      asked.append(
        (sorted(text for text, _ in corpus_lib.read(corpus)), index.name)
      )
      or (np.zeros((1, 2), np.float32), [("", "")])
    ),
  )
  monkeypatch.setattr(
    answer.vectors, "encode", lambda *_, **__: np.zeros((1, 2))
  )
  buckets.upload(place / "pairs", f"{bucket}/corpora/pairs")
  buckets.as_path(f"{bucket}/corpora/two.txt").write_text("one\ntwo\n")
  for name in ("pairs", "two.txt"):
    answer.search("model", f"{bucket}/corpora/{name}", ["what?"])
  expected = sorted(t for t, _ in corpus_lib.read(place / "pairs"))
  (all_of_pairs, index), (lines, _) = asked[1::2]
  assert all_of_pairs == expected and lines == ["one", "two"]
  assert index.startswith("pairs-")  # by its address, not by the copy's
  found = []
  monkeypatch.setattr(
    evaluate.tasks_lib, "find", lambda names, data: found.append(data) or 1 / 0
  )
  with pytest.raises(ZeroDivisionError):
    evaluate.evaluate(
      [], ["nanobeir"], baselines=["bm25"], data=f"{bucket}/corpora"
    )
  assert sorted(p.name for p in found[0].iterdir()) == ["pairs", "two.txt"]


def test_a_real_server_that_is_busy_or_slow(bucket, moto, emulator, tmp_path):
  """The real clients handle 429, 503 and late answers."""
  server = {"s3": moto, "gs": emulator}[bucket[:2]]
  if buckets.files(bucket)[0].protocol == "s3" or server is None:
    pytest.skip("needs a server, and this bucket is a folder")
  with buckets.uploading(f"{bucket}/data/busy") as made:
    made.mkdir()
    (made / "a").write_bytes(b"1" * 1000)
  server.refused, server.faults = 0, [503, 0, 429, 0.5, 503]
  copy = pathlib.Path(staging.local(f"{bucket}/data/busy"))
  assert (copy / "a").read_bytes() == b"1" * 1000
  server.faults += [429, 0.5, 503]
  log = appended.Appended(buckets.as_path(f"{bucket}/lines.jsonl"), b"one\n")
  log.write(b"two\n")
  log.close()
  server.faults.clear()
  assert buckets.as_path(f"{bucket}/lines.jsonl").read_bytes() == b"one\ntwo\n"
  assert server.refused >= 3


def test_scores_are_written_to_a_bucket(bucket, tmp_path, monkeypatch, capsys):
  here = tmp_path / "here"
  here.mkdir()
  monkeypatch.chdir(here)
  (here / "pairs.csv").write_text("query,document\nred,a red one\nblue,sky\n")
  output = f"{bucket}/made/scores.json"
  scores = evaluate.evaluate([], ["pairs.csv"], output, ["bm25"])
  made = buckets.as_path(output).parent
  assert sorted(p.name for p in made.iterdir()) == [
    "scores.html",
    "scores.json",
    "scores.md",
  ]
  assert json.loads((made / "scores.json").read_text()) == scores
  report.report([], output, "report.html")
  assert sorted(p.name for p in here.iterdir()) == ["pairs.csv", "report.html"]
  with pytest.raises(UserError, match="there is no bucket no-"):
    evaluate.evaluate(
      [], ["pairs.csv"], output.replace("://", "://no-"), ["bm25"]
    )
