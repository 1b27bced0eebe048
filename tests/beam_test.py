# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""With Apache Beam, prepare makes the same data directory as without."""

import gzip
import json
import os
import random
import sys

import pytest

from nomic_jax.data import beam
from nomic_jax.data import beam_pipeline
from nomic_jax.data import dataset
from nomic_jax.data.prepare import prepare
from nomic_jax.errors import UserError

pytest.importorskip("apache_beam")

TWO = (
  "--runner=DirectRunner --direct_num_workers=2 "
  "--direct_running_mode=multi_processing"
)


@pytest.fixture(name="source")
def _source(tmp_path):
  """Five files; rows share texts, some are copies, and two are bad."""
  draw = random.Random(0)
  folder = tmp_path / "in"
  folder.mkdir()
  for name in "abcde":
    rows = [
      {
        "query": f"question {draw.randrange(250)}",
        "document": f"answer {draw.randrange(250)}",
        "negatives": ["no"],
      }
      for _ in range(40 + 10 * (name == "c"))
    ]
    if name in "bd":
      rows[20] = {"query": name}
    if name != "a":
      rows[7] = {"query": "copied", "document": "copied"}
    with gzip.open(folder / f"{name}.jsonl.gz", "wt", encoding="utf-8") as f:
      f.writelines(json.dumps(row) + "\n" for row in rows)
  return str(folder)


def _rows(path, split):
  source = dataset.open_split(path, split)
  return [str(source[i]) for i in range(len(source))]


def _compare(one, many):
  for split in ("train", "test"):
    assert _rows(one, split) == _rows(many, split) != []
  left, right = (
    {p.name for p in x.iterdir() if ".array_record" not in p.name}
    for x in (one, many)
  )
  assert left == right
  for name in (
    "stats.json",
    "sources.json",
    "lengths.svg",
    "features.json",
    "tokenizer/tokenizer.json",
  ):
    assert (one / name).read_bytes() == (many / name).read_bytes()


@pytest.mark.slow
def test_two_workers(source, tmp_path):
  wanted = {"vocab_size": 80, "held_out": 0.2, "skip_bad": 2}
  stats = prepare(source, tmp_path / "one", **wanted)
  assert (
    stats["counts"]["dropped"] == {"column missing": 2, "duplicate row": 3}
    and stats["rows"]["test"] > 30
  )
  assert prepare(source, tmp_path / "two", beam_options=TWO, **wanted) == stats
  _compare(tmp_path / "one", tmp_path / "two")
  assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "one", "two"]


@pytest.mark.slow
def test_two_workers_are_two_processes(tmp_path):
  def note(number):
    (tmp_path / f"{number}.{os.getpid()}").touch()

  beam_pipeline.run(TWO, tmp_path, note, range(8))
  names = [p.name.split(".") for p in tmp_path.iterdir()]
  assert sorted(number for number, _ in names) == list("01234567")
  workers = {worker for _, worker in names}
  assert len(workers) == 2 and str(os.getpid()) not in workers


def test_several_files_to_a_shard(source, tmp_path, monkeypatch):
  monkeypatch.setattr(beam, "_SHARDS", 3)
  prepare(source, tmp_path / "one", vocab_size=80, skip_bad=2)
  prepare(source, tmp_path / "many", vocab_size=80, skip_bad=2, beam_options="")
  _compare(tmp_path / "one", tmp_path / "many")
  assert len(list((tmp_path / "many").glob("*train.array_record*"))) == 3


def test_plain_text_and_parquet(tmp_path):
  import pyarrow
  from pyarrow import parquet

  for name in "abc":
    folder = tmp_path / "text"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.txt").write_text(
      "".join(f"line {i} of {name}\n" for i in range(20))
    )
    folder = tmp_path / "parquet"
    folder.mkdir(exist_ok=True)
    parquet.write_table(
      pyarrow.Table.from_pylist(
        [
          {"query": f"{name}{i}", "document": f"text {i}", "labels": [1.0, 2.0]}
          for i in range(20)
        ]
      ),
      folder / f"{name}.parquet",
    )
  for kind in ("text", "parquet"):
    for output, flags in (("one", None), ("many", "")):
      prepare(
        str(tmp_path / kind),
        tmp_path / kind / output,
        vocab_size=80,
        held_out=0.2,
        beam_options=flags,
      )
    _compare(tmp_path / kind / "one", tmp_path / kind / "many")


@pytest.mark.parametrize("skip_bad", [0, 1])
def test_bad_rows_stop_it_where_one_machine_stops(source, tmp_path, skip_bad):
  told = []
  for flags in (None, ""):
    with pytest.raises(UserError, match="'document' is missing") as error:
      prepare(source, tmp_path / "out", skip_bad=skip_bad, beam_options=flags)
    told.append(str(error.value))
    assert [p.name for p in tmp_path.iterdir()] == ["in"]
  assert told[0] == told[1] and "bd"[skip_bad] + ".jsonl.gz, row 21" in told[0]


def test_a_source_that_changes_and_one_that_cannot_be_read(
  source, tmp_path, monkeypatch
):
  run = beam_pipeline.run

  def run_and_change(*args):
    run(*args)
    os.replace(f"{source}/c.jsonl.gz", f"{source}/d.jsonl.gz")

  monkeypatch.setattr(beam_pipeline, "run", run_and_change)
  with pytest.raises(UserError, match=r"c.jsonl.gz.*it had 50 rows and .* 0"):
    prepare(source, tmp_path / "out", skip_bad=2, beam_options="")
  monkeypatch.undo()
  with gzip.open(f"{source}/offsets.json.gz", "wt") as f:
    f.write("no JSON")
  with pytest.raises(UserError, match="offsets.json.gz: damaged"):
    prepare(source, tmp_path / "out", skip_bad=2, beam_options="")
  assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_mistakes_are_named(source, tmp_path, monkeypatch):
  for flags, message in {
    "--direct_running_mode=x": "invalid choice: 'x'",
    "--runner=Spork": "--beam='--runner=Spork': Unexpected pipeline runner",
    '"': "No closing quotation",
  }.items():
    with pytest.raises(UserError, match=message) as error:
      prepare(source, tmp_path / "out", beam_options=flags)
    assert "\n" not in str(error.value)
  for given, message in (
    ({"source": "docstrings"}, "--source=docstrings: Beam cannot read"),
    ({"limit": 9}, "--limit=9: --beam reads files in any order"),
  ):
    with pytest.raises(UserError, match=message):
      prepare(
        **{
          "source": source,
          "output": tmp_path / "out",
          "beam_options": "",
          **given,
        }
      )
  monkeypatch.setitem(sys.modules, "apache_beam", None)
  with pytest.raises(UserError, match=r"pip install 'nomic_jax\[beam\]'"):
    prepare(source, tmp_path / "out", beam_options="")
  assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_a_failing_worker_is_reported_in_a_line(tmp_path):
  def fail(number):
    raise RuntimeError(f"no luck\nwith {number}")

  with pytest.raises(UserError, match=r"failed \(with 5") as error:
    beam_pipeline.run("", tmp_path, fail, [5])
  assert "\n" not in str(error.value)
  with pytest.raises(UserError, match="does not see the folder"):
    beam_pipeline.run("", tmp_path / "elsewhere", print, [1])
