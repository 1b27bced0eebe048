# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""prepare holds out whole groups, skips existing output, names bad input."""

import collections
import gzip
import json
import os
import pathlib
import random
import shutil
import sysconfig

import numpy as np
import pytest
from support import tiny

from nomic_jax.data import dataset
from nomic_jax.data import splits
from nomic_jax.data import tokens
from nomic_jax.data.prepare import prepare
from nomic_jax.errors import UserError
from nomic_jax.evaluation import retrieval
from nomic_jax.main import main
from nomic_jax.text import tokenizer as tokenizer_lib


@pytest.fixture(name="python", scope="module")
def _python(tmp_path_factory):
  folder = tmp_path_factory.mktemp("python")
  library = pathlib.Path(sysconfig.get_paths()["stdlib"])
  for name in ("json", "email", "logging", "wsgiref"):
    shutil.copytree(library / name, folder / name)
  for name in ("argparse", "bisect", "heapq", "queue", "sched", "shelve"):
    shutil.copy(library / f"{name}.py", folder)
  return folder


def _rows(path, split):
  source = dataset.open_split(path, split)
  return [source[i] for i in range(len(source))]


def _jsonl(path, rows):
  opened = gzip.open if path.suffix == ".gz" else open
  with opened(path, "wt", encoding="utf-8") as f:
    f.writelines(json.dumps(row) + "\n" for row in rows)
  return path


def _pairs(n, start=0):
  return [
    {"query": f"question {i}", "document": f"the answer is {i}"}
    for i in range(start, start + n)
  ]


def test_docstrings_of_a_folder(python, tmp_path, capsys):
  stats = prepare(f"docstrings:{python}", tmp_path / "out", vocab_size=600)
  train, test = (_rows(tmp_path / "out", s) for s in ("train", "test"))
  assert stats["rows"] == {"train": len(train), "test": len(test)}
  packages = {r["source"] for r in test}
  assert packages == set(stats["held_out"])
  assert not packages & {r["source"] for r in train}
  assert 0 < len(test) <= 0.07 * (len(train) + len(test))
  assert not {r["query"] for r in test} & {r["query"] for r in train}
  words = tokenizer_lib.load(dataset.tokenizer_path(tmp_path / "out"))
  assert words.get_vocab_size() == 600
  assert json.loads((tmp_path / "out" / "stats.json").read_text()) == stats
  printed = capsys.readouterr().out
  for part in (
    "dropped: duplicate",
    "rows: test",
    "tokens per document",
    "held out whole: ",
    stats["held_out"][0],
  ):
    assert part in printed
  again = prepare(f"docstrings:{python}", tmp_path / "2", vocab_size=600)
  assert again == stats
  assert str(_rows(tmp_path / "2", "train")) == str(train)


def test_limit_spreads_over_the_packages(python, tmp_path):
  prepare(
    f"docstrings:{python}",
    tmp_path / "out",
    vocab_size=400,
    limit=60,
    held_out=0.2,
  )
  rows = _rows(tmp_path / "out", "train") + _rows(tmp_path / "out", "test")
  assert len(rows) == 60 and len({r["source"] for r in rows}) > 4


def test_jsonl_files_and_columns(tmp_path):
  source = tmp_path / "in"
  source.mkdir()
  rows = [
    {"q": r["query"], "d": r["document"], "n": ["no", "nay"]}
    for r in _pairs(60)
  ]
  _jsonl(source / "a.jsonl", rows[:40])
  _jsonl(source / "b.jsonl.gz", rows[30:] + [{**rows[0], "n": None}])
  (source / "notes.txt").write_text("not rows")
  stats = prepare(
    str(source),
    tmp_path / "out",
    vocab_size=80,
    held_out=0.1,
    query_column="q",
    document_column="d",
    negatives_column="n",
  )
  train, test = (_rows(tmp_path / "out", s) for s in ("train", "test"))
  assert (len(train), len(test)) == (54, 6)
  assert stats["counts"]["dropped"] == {"duplicate row": 11}
  assert {r["query"] for r in train + test} == {r["q"] for r in rows}
  assert all(r["negatives"] == ["no", "nay"] for r in train)
  line = int(train[0]["query"].split()[1]) + 1
  assert train[0]["location"] == f"{source}/a.jsonl:{line}"
  assert train[-1]["source"] == "b"


def test_only_rows_that_add_nothing_are_copies(tmp_path):
  pair = {"query": "q", "document": "d"}
  rows = [
    pair | {"negatives": ["a"]},
    pair | {"negatives": ["b"]},
    pair,
    pair | {"negatives": ["a"]},
    {"query": "q", "document": "e"},
    pair | {"label": 1},
    pair | {"label": 0},
    pair | {"label": 1},
  ]
  _jsonl(tmp_path / "in.jsonl", rows)

  def made(name, **options):
    prepare(
      str(tmp_path / "in.jsonl"),
      tmp_path / name,
      vocab_size=40,
      held_out=0,
      **options,
    )
    return [
      int(r["location"].rpartition(":")[2])
      for r in _rows(tmp_path / name, "train")
    ]

  assert made("out") == [1, 2, 5, 6, 7]
  assert made("all", keep_copies=True) == [*range(1, 9)]


def test_a_pair_with_another_score_is_no_copy(tmp_path):
  pair = {"query": "q", "document": "d"}
  rows = [pair | {"score": score} for score in (0, 5, 0, 5, 0.5)]
  _jsonl(tmp_path / "in.jsonl", rows)
  prepare(
    str(tmp_path / "in.jsonl"), tmp_path / "out", vocab_size=40, held_out=0
  )
  scores = [row["score"] for row in _rows(tmp_path / "out", "train")]
  assert scores == [0, 5, 0.5]


def test_whole_batches_of_each_file_are_contrastors_rows(tmp_path, capsys):
  source = tmp_path / "in"
  source.mkdir()
  for name, count in (("a", 11), ("b", 8), ("c", 3)):
    _jsonl(source / f"{name}.jsonl", _pairs(count, start=100 * ord(name)))
  command = [
    "prepare",
    f"--source={source}",
    f"--output={tmp_path}/out",
    "--held_out=0",
    "--vocab_size=80",
    "--whole_batches=4",
  ]
  assert main(command) == 0
  assert "incomplete batch 6" in " ".join(capsys.readouterr().out.split())
  rows = [
    (r["source"], int(r["location"].rpartition(":")[2]))
    for r in _rows(tmp_path / "out", "train")
  ]
  assert rows == [(n, i) for n in "ab" for i in range(1, 9)]
  assert main([*command[:-1], "--whole_batches=0"]) == 2
  assert "expected the number of rows of a batch" in capsys.readouterr().err


def test_rows_of_text_alone(tmp_path):
  _jsonl(tmp_path / "a.jsonl", [{"text": f"number {i}"} for i in range(4)])
  _jsonl(
    tmp_path / "b.jsonl", [{"body": f"entry {i}", "n": i} for i in range(4)]
  )
  for name, options in (
    ("a", {}),
    ("b", dict(query_column="", document_column="body")),
  ):
    prepare(
      f"{tmp_path}/{name}.jsonl",
      tmp_path / name,
      vocab_size=60,
      held_out=0,
      **options,
    )
    rows = _rows(tmp_path / name, "train")
    assert [r["query"] for r in rows] == [""] * 4
    assert rows[2]["document"] in ("number 2", "entry 2")
  with pytest.raises(UserError, match="'query' is missing"):
    prepare(f"{tmp_path}/b.jsonl", tmp_path / "c", document_column="body")


def test_rows_of_token_ids_are_for_masked_language_modelling(tmp_path):
  parquet = pytest.importorskip("pyarrow.parquet")
  import pyarrow

  words = tiny.words()
  ids = [[2, *range(5, 10 + i), 3, 0] for i in range(4)]
  parquet.write_table(
    pyarrow.table(
      {
        "input_ids": ids + ids[:1],
        "token_type_ids": [[0] * len(i) for i in ids] + [[0] * 8],
        "attention_mask": [[1] * (len(i) - 1) + [0] for i in ids]
        + [[1] * 7 + [0]],
      }
    ),
    tmp_path / "in.parquet",
  )
  tokenizer_lib.save(words, tmp_path / "words")
  job = dict(
    source=f"{tmp_path}/in.parquet", output=tmp_path / "out", held_out=0
  )
  with pytest.raises(UserError, match="token ids; specify the tokenizer"):
    prepare(**job)
  stats = prepare(**job, tokenizer=str(tmp_path / "words"))
  assert stats["rows"] == {"train": 4} and stats["tokens"]["document"]
  source = dataset.open_split(tmp_path / "out", "train", ids=True)
  assert [r["ids"] for r in source] == [i[:-1] for i in ids]
  with pytest.raises(UserError, match="token ids without texts"):
    dataset.open_split(tmp_path / "out", "train")
  tokens.tokenise(tmp_path / "out")
  ahead = tokens.open_split(tmp_path / "out", "train", words, ids=True)
  assert ahead.packed and [
    np.frombuffer(r["document"], ahead.dtype).tolist() for r in ahead
  ] == [i[:-1] for i in ids]
  with pytest.raises(UserError, match="token ids without texts"):
    tokens.open_split(tmp_path / "out", "train", words)
  tokenizer_lib.save(tokenizer_lib.train(["ab"], 10), tmp_path / "fewer")
  with pytest.raises(UserError, match="token id 10 is beyond the 10 of"):
    tokens.tokenise(tmp_path / "out", tmp_path / "fewer")
  _jsonl(tmp_path / "in.jsonl", [{"input_ids": [2, 10**6, 3]}])
  with pytest.raises(UserError, match="token id 1000000 is beyond"):
    prepare(
      f"{tmp_path}/in.jsonl",
      tmp_path / "x",
      held_out=0,
      tokenizer=str(tmp_path / "words"),
    )
  _jsonl(tmp_path / "in.jsonl", [{"input_ids": ["a"]}])
  with pytest.raises(UserError, match="row 1: 'input_ids' is"):
    prepare(
      f"{tmp_path}/in.jsonl",
      tmp_path / "x",
      held_out=0,
      tokenizer=str(tmp_path / "words"),
    )


def test_a_text_is_never_in_both_splits(tmp_path):
  rows = [{"query": f"q{i // 3}", "document": f"d{i // 2}"} for i in range(30)]
  rows += [{"query": f"r{i % 9}", "document": f"e{i}"} for i in range(60)]
  _jsonl(tmp_path / "in.jsonl", rows)
  prepare(
    str(tmp_path / "in.jsonl"), tmp_path / "out", vocab_size=80, held_out=0.3
  )
  texts = [
    {
      text
      for r in _rows(tmp_path / "out", split)
      for text in (r["query"], r["document"])
    }
    for split in ("train", "test")
  ]
  assert texts[1] and not texts[0] & texts[1]
  _jsonl(
    tmp_path / "one.jsonl",
    [{"query": f"q{i}", "document": "the same"} for i in range(9)],
  )
  with pytest.raises(UserError, match="--held_out=0"):
    prepare(str(tmp_path / "one.jsonl"), tmp_path / "one", vocab_size=80)
  prepare(
    str(tmp_path / "one.jsonl"), tmp_path / "one", vocab_size=80, held_out=0
  )
  assert len(_rows(tmp_path / "one", "train")) == 9
  with pytest.raises(UserError, match="no split 'test'"):
    dataset.open_split(tmp_path / "one", "test")


@pytest.mark.parametrize(
  "row, message",
  [
    ({"query": "q"}, "row 3: 'document' is missing.*the row has 'query'"),
    ({"query": " ", "document": "d"}, "row 3: 'query' is empty"),
    ({"query": 5, "document": "d"}, "row 3: 'query' is 5; expected a string"),
    ({"query": "q", "document": None}, "row 3: 'document' is null"),
    ({"query": "q", "document": "\ud800"}, "row 3: .*surrogate"),
    ({"query": "q", "document": "d", "negatives": "n"}, "row 3: 'negatives'"),
    ({"query": "q", "document": "d", "negatives": [""]}, "row 3: 'negatives'"),
    ([1], "row 3: expected a JSON object"),
  ],
)
def test_a_bad_row_is_named(tmp_path, row, message):
  _jsonl(tmp_path / "in.jsonl", [*_pairs(2), row, *_pairs(3)])
  with pytest.raises(UserError, match="in.jsonl, " + message) as error:
    prepare(str(tmp_path / "in.jsonl"), tmp_path / "out")
  assert "\n" not in str(error.value)
  assert [p.name for p in tmp_path.iterdir()] == ["in.jsonl"]


def test_other_mistakes_are_named(tmp_path):
  for source, message in {
    "nowhere": "nowhere: no such file",
    str(tmp_path): "holds no .jsonl",
    "docstrings:" + str(tmp_path): "no Python files",
  }.items():
    with pytest.raises(UserError, match=message):
      prepare(source, tmp_path / "out")
  (tmp_path / "empty.jsonl").write_text("\n")
  with pytest.raises(UserError, match="empty.jsonl: has no rows"):
    prepare(str(tmp_path / "empty.jsonl"), tmp_path / "out")
  for flag in ({"held_out": 1.0}, {"limit": 0}, {"vocab_size": 0}):
    with pytest.raises(UserError, match=f"--{list(flag)[0]}="):
      prepare("docstrings", tmp_path / "out", **flag)
  with pytest.raises(UserError, match="tokenizer.json: no such file"):
    prepare("docstrings", tmp_path / "out", tokenizer=str(tmp_path))
  assert not (tmp_path / "out").exists()


def test_prepare_skips_its_own_output_and_refuses_others(tmp_path, capsys):
  source, out = str(_jsonl(tmp_path / "in.jsonl", _pairs(30))), tmp_path / "out"
  prepare(source, out, vocab_size=80)
  before = (out / "stats.json").stat().st_mtime_ns
  capsys.readouterr()
  prepare(source, out, vocab_size=80)
  assert "already exists" in capsys.readouterr().out
  assert (out / "stats.json").stat().st_mtime_ns == before
  with pytest.raises(UserError, match="vocab_size was 80 and is now 90"):
    prepare(source, out, vocab_size=90)
  prepare(
    source, out, vocab_size=80, include=(), overwrite=True, label_column=""
  )
  with pytest.raises(UserError, match="label_column was '' and is now None"):
    prepare(source, out, vocab_size=80)
  prepare(source, out, vocab_size=60, overwrite=True)
  assert tokenizer_lib.load(out / "tokenizer").get_vocab_size() == 60
  (tmp_path / "mine").mkdir()
  (tmp_path / "mine" / "thesis.txt").write_text("years")
  for overwrite in (False, True):
    with pytest.raises(UserError, match="exists and is not a data directory"):
      prepare(source, tmp_path / "mine", vocab_size=80, overwrite=overwrite)
  assert (tmp_path / "mine" / "thesis.txt").exists()


def test_a_source_that_has_changed_is_noticed(tmp_path, capsys):
  """By names, sizes and times; a source that is gone is not an error."""
  folder, out = tmp_path / "in", tmp_path / "out"
  folder.mkdir()
  file = _jsonl(folder / "a.jsonl", _pairs(30))
  make = lambda **more: prepare(str(folder), out, vocab_size=80, **more)
  make()
  for change in (
    lambda: _jsonl(file, _pairs(40)),
    lambda: os.utime(file, (1, 1)),
    lambda: _jsonl(folder / "b.jsonl", _pairs(3)),
    lambda: (folder / "b.jsonl").unlink(),
  ):
    make()  # the control
    change()
    with pytest.raises(
      UserError, match="the source has changed since .*--over"
    ):
      make()
    make(overwrite=True)
  capsys.readouterr()
  file.rename(tmp_path / "gone.jsonl")
  make()
  assert "not compared with its source" in capsys.readouterr().out
  (tmp_path / "gone.jsonl").rename(file)
  stats = json.loads((out / "stats.json").read_text())
  del stats["inputs"]  # as an earlier version made it
  (out / "stats.json").write_text(json.dumps(stats))
  _jsonl(file, _pairs(31))
  make()


def test_a_tokenizer_that_has_changed_is_noticed(tmp_path):
  source = str(_jsonl(tmp_path / "in.jsonl", _pairs(30)))
  prepare(source, tmp_path / "a", vocab_size=80)
  words = tmp_path / "a" / "tokenizer"
  prepare(source, tmp_path / "b", tokenizer=str(words))
  prepare(source, tmp_path / "b", tokenizer=str(words))
  prepare(source, tmp_path / "a", vocab_size=70, overwrite=True)
  with pytest.raises(UserError, match="the tokenizer has changed since"):
    prepare(source, tmp_path / "b", tokenizer=str(words))


def test_a_tokenizer_can_be_used_again(tmp_path):
  source = str(_jsonl(tmp_path / "in.jsonl", _pairs(30)))
  prepare(source, tmp_path / "a", vocab_size=80)
  prepare(source, tmp_path / "b", tokenizer=str(tmp_path / "a" / "tokenizer"))
  a, b = (tmp_path / x / "tokenizer" / "tokenizer.json" for x in "ab")
  assert a.read_bytes() == b.read_bytes()


def test_groups_are_held_out_whole_and_stably():
  sizes = collections.Counter({f"package{i}": 10 + 7 * i for i in range(40)})
  sizes["huge"] = 9000
  total = sizes.total()
  chosen = splits.choose_groups(sizes, 0.07)
  held = sum(sizes[name] for name in chosen)
  assert 0.06 * total < held <= 0.07 * total and "huge" not in chosen
  assert max(sizes[name] for name in chosen) <= 0.25 * 0.07 * total
  shuffled = dict(sorted(sizes.items(), reverse=True))
  assert splits.choose_groups(shuffled, 0.07) == chosen
  more = {**sizes, "another": 12}
  assert len(chosen ^ splits.choose_groups(more, 0.07)) <= 4
  assert splits.choose_groups({"a": 9, "b": 8}, 0.01) == {"b"}
  assert splits.choose_groups(sizes, 0.0) == set()


def _unspaced(folder, first, count, length):
  """Rows in a script without spaces; texts of `length` characters."""
  draw = random.Random(0)
  characters = [chr(first + i) for i in range(count)]
  weight = [1 / (i + 10) for i in range(count)]
  texts = [
    "".join(draw.choices(characters, weight, k=length)) for _ in range(300)
  ]
  return _jsonl(
    folder / "in.jsonl",
    [{"query": text[:30], "document": text} for text in texts],
  )


@pytest.mark.parametrize(
  "first, count, length",
  [(0x4E00, 3000, 100), (0x0E01, 46, 120), (0x3042, 80, 250)],
)
def test_scripts_without_spaces_have_tokens(
  tmp_path, capsys, first, count, length
):
  source = _unspaced(tmp_path, first, count, length)
  stats = prepare(str(source), tmp_path / "out", vocab_size=3500)
  for side in ("query", "document"):
    assert stats["tokens"][side]["unk"] < 1e-3
    assert stats["tokens"][side]["lost"] == 0
  assert stats["tokens"]["document"]["mean"] > length / 8
  assert "[UNK] per document" in capsys.readouterr().out
  words = tokenizer_lib.load(tmp_path / "out" / "tokenizer")
  characters = set(
    "".join(json.loads(line)["document"] for line in source.open())
  )
  known = [c for c in characters if words.token_to_id(c) is not None]
  assert len(known) >= 0.98 * len(characters)


def test_a_tokenizer_that_does_not_know_the_texts_is_refused(tmp_path, capsys):
  source = _unspaced(tmp_path, 0x0E01, 46, 120)
  tokenizer_lib.save(tiny.words(), tmp_path / "english")
  command = [
    "prepare",
    f"--source={source}",
    f"--output={tmp_path}/out",
    f"--tokenizer={tmp_path}/english",
  ]
  assert main(command) == 2
  told = capsys.readouterr().err.splitlines()[-1]
  assert "100.00% of the query tokens are [UNK]" in told
  assert "--allow_unk" in told and not (tmp_path / "out").exists()
  assert main([*command, "--allow_unk"]) == 0
  assert "100.00% of the texts are mostly unknown" in capsys.readouterr().out
  # A few unknown words are only reported.
  rows = [
    {"query": f"alpha {word}", "document": f"beta {word} delta " * 9 + "ไทย"}
    for word in tiny.WORDS
  ]
  _jsonl(source, rows)
  stats = prepare(
    str(source), tmp_path / "few", held_out=0, tokenizer=f"{tmp_path}/english"
  )
  assert stats["tokens"]["document"]["unk"] == pytest.approx(1 / 28)
  assert stats["tokens"]["document"]["lost"] == 0
  with pytest.raises(UserError, match="--vocab_size=12: too small"):
    prepare(str(source), tmp_path / "less", vocab_size=12)
  prepare(str(source), tmp_path / "less", vocab_size=12, allow_unk=True)


def test_accents_are_stripped_on_request(tmp_path):
  source = _jsonl(
    tmp_path / "in.jsonl",
    [{"query": f"café {i}", "document": f"un thé {i}"} for i in range(9)],
  )
  for name, options, kept in (
    ("no", {}, True),
    ("yes", {"strip_accents": True}, False),
  ):
    prepare(str(source), tmp_path / name, vocab_size=60, **options)
    words = tokenizer_lib.load(tmp_path / name / "tokenizer")
    assert (words.encode("café").ids != words.encode("cafe").ids) == kept
  with pytest.raises(UserError, match="made with other arguments"):
    prepare(str(source), tmp_path / "no", vocab_size=60, strip_accents=True)


def test_the_beginning_of_a_long_text_is_trained_on(monkeypatch):
  seen = []
  monkeypatch.setattr(tokenizer_lib, "_LONGEST", 500)
  monkeypatch.setattr(
    tokenizer_lib, "_alphabet", lambda texts, *_: seen.extend(texts) or ["a"]
  )
  tokenizer_lib.train(["a " * 5000, "a"], 50)
  assert [len(text) for text in seen] == [500, 1]


def test_texts_equal_but_for_case_accents_and_spaces_are_held_out_together():
  rows = [dataset.row(f"query {i}", f"document {i}") for i in range(40)]
  rows += [dataset.row(f"Query  {i}", f"another {i}") for i in range(20)]
  rows += [dataset.row(f"other {i}", f"D\u00f3cument {i}") for i in range(20)]
  found = splits.fates(splits.survey(rows), 0.3)
  assert not (found == splits.COPY).any()
  assert 0.2 < (found == splits.TEST).mean() < 0.4
  np.testing.assert_array_equal(found[40:60], found[:20])
  np.testing.assert_array_equal(found[60:], found[:20])
  assert retrieval.relevance(
    ["A lamp", "a  l\u00e1mp", "river"], ["x", "y", "X"]
  ) == [[0, 1, 2], [0, 1, 2], [0, 2]]
