# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Readers of every format; damage is an error or is counted."""

import gzip
import json
import random

import fsspec
import numpy as np
import pytest

from nomic_jax.data import readers
from nomic_jax.data import sources
from nomic_jax.data import splits
from nomic_jax.data.prepare import prepare
from nomic_jax.data.readers import beir
from nomic_jax.data.readers import reader
from nomic_jax.data.readers import specification
from nomic_jax.errors import UserError
from nomic_jax.evaluation import tasks
from nomic_jax.storage import bad
from nomic_jax.storage import streams
from nomic_jax.storage import text_lines
from nomic_jax.storage.bad import BadRow

PAIRS = [
  {"query": f"question {i}", "document": f"answer {i} \u00fc"} for i in range(6)
]


def _read(source, columns=readers.Columns(), skip_bad=0, limit=None):
  rows = readers.Rows(readers.find(str(source), columns), limit, skip_bad)
  found = [
    (r["query"], r["document"], r["negatives"], r["source"]) for r in rows
  ]
  assert found == [
    (r["query"], r["document"], r["negatives"], r["source"]) for r in rows
  ]
  return found, rows


def _lines(rows):
  return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def _pairs(found):
  return [{"query": q, "document": d} for q, d, _, _ in found]


def _published(folder, rows, name="shard-00000.jsonl.gz", count=None):
  folder.mkdir(exist_ok=True)
  (folder / name).write_bytes(gzip.compress(_lines(rows)))
  count = len(rows) if count is None else count
  (folder / "counts.json").write_text(
    json.dumps(
      {
        "count_per_file": {f"bucket/{folder.name}/{name}": count},
        "total_count": count,
      }
    )
  )
  return folder / name


def _objective(kind, columns):
  return {
    "metadata": {
      "objective": {"self": [], "paired": [], "triplet": [], kind: [columns]}
    }
  }


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".jsonl.zst"])
def test_jsonl(tmp_path, suffix):
  content = _lines(PAIRS[:3]) + b"\n" + _lines(PAIRS[3:])
  if suffix.endswith(".gz"):
    content = gzip.compress(content[:90]) + gzip.compress(content[90:])
  elif suffix.endswith(".zst"):
    zstandard = pytest.importorskip("zstandard")
    compress = zstandard.ZstdCompressor().compress
    content = compress(content[:90]) + compress(content[90:])
  (tmp_path / f"a{suffix}").write_bytes(content)
  found, rows = _read(tmp_path)
  assert _pairs(found) == PAIRS and {f[3] for f in found} == {"a"}
  location = list(rows)[3]["location"]
  assert location == f"{tmp_path}/a{suffix}:5"  # a blank line counts
  assert len(_read(tmp_path, limit=4)[0]) == 4


def test_parquet(tmp_path):
  pyarrow = pytest.importorskip("pyarrow")
  from pyarrow import parquet

  table = [{"q": p["query"], "d": p["document"], "n": ["no"]} for p in PAIRS]
  table = pyarrow.Table.from_pylist(table)
  parquet.write_table(table, tmp_path / "x.parquet", row_group_size=2)
  found, _ = _read(tmp_path, readers.Columns("q", "d", "n"))
  assert _pairs(found) == PAIRS and all(f[2] == ["no"] for f in found)
  content = (tmp_path / "x.parquet").read_bytes()
  for broken in (content[:-9], b"", content[:60] + bytes(60) + content[120:]):
    (tmp_path / "x.parquet").write_bytes(broken)
    with pytest.raises(UserError, match=r"x.parquet, row \d: not a whole par"):
      _read(tmp_path, readers.Columns("q", "d", "n"))
    (tmp_path / "y.parquet").unlink(missing_ok=True)
    parquet.write_table(table, tmp_path / "y.parquet")
    found, rows = _read(tmp_path, readers.Columns("q", "d", "n"), skip_bad=9)
    assert _pairs(found)[-6:] == PAIRS
    assert rows.bad.counts == {"parquet damaged (the rest of a file)": 1}


def test_text(tmp_path):
  (tmp_path / "a.txt").write_bytes("one\n\n  two \xfc\r\n".encode())
  found, _ = _read(tmp_path)
  assert [f[:2] for f in found] == [("", "one"), ("", "two \xfc")]
  (tmp_path / "a.txt").write_bytes(b"one\n\xff\n")
  with pytest.raises(UserError, match="a.txt, row 2: not UTF-8 at byte 0"):
    _read(tmp_path)


def _tabs(path, bad):
  """A format: a line is a query, a tab and its document."""
  for number, line in text_lines.written(path, bad):
    cells = line.split("\t")
    if len(cells) == 2:
      yield number, dict(zip(("query", "document"), cells))
    else:
      bad.add(BadRow("no pair", f"{path}, row {number}: no pair"))


def test_a_format_is_one_function_and_one_line(tmp_path, monkeypatch, capsys):
  lines = "".join(f"{p['query']}\t{p['document']}\n" for p in PAIRS[2:])
  (tmp_path / "b.tabs.gz").write_bytes(gzip.compress(lines.encode()))
  with pytest.raises(UserError, match="b.tabs.gz: unsupported file format"):
    _read(tmp_path / "b.tabs.gz")
  monkeypatch.setitem(  # the line
    readers.ROWS, "tabs", reader.Files("tabs", (".tabs", ".tabs.gz"), _tabs)
  )
  assert _pairs(_read(tmp_path / "b.tabs.gz")[0]) == PAIRS[2:]
  (tmp_path / "a.jsonl").write_bytes(_lines(PAIRS[:2]))
  assert _pairs(_read(tmp_path)[0]) == PAIRS
  assert "not read" not in capsys.readouterr().out
  assert _pairs(_read(f"tabs:{tmp_path}")[0]) == PAIRS[2:]
  assert "not read: a.jsonl" in capsys.readouterr().out
  (tmp_path / "x").write_text("a\tb\nc\n")
  with pytest.raises(UserError, match="x, row 2: no pair"):
    _read(f"tabs:{tmp_path}/x")
  assert _read(f"tabs:{tmp_path}/x", skip_bad=1)[1].bad.counts == {"no pair": 1}
  with pytest.raises(UserError, match="expected 'docstrings', .*, .tabs, .*"):
    _read(tmp_path / "missing.tabs")


def test_a_folder_named_like_a_file_and_patterns_of_a_file(tmp_path):
  folder = tmp_path / "part.jsonl"  # as Spark writes them
  folder.mkdir()
  (folder / "00000.jsonl").write_bytes(_lines(PAIRS))
  assert _pairs(_read(folder)[0]) == PAIRS
  with pytest.raises(UserError, match="00000.jsonl is a file"):
    readers.find(f"jsonl:{folder}/00000.jsonl", readers.Columns(), ["x*"])


def _beir(folder):
  (folder / "qrels").mkdir(parents=True)
  (folder / "corpus.jsonl").write_bytes(
    _lines(
      [
        {"_id": f"d{i}", "title": "T" * (i % 2), "text": f"text {i}"}
        for i in range(5)
      ]
    )
  )
  (folder / "queries.jsonl").write_bytes(
    _lines([{"_id": f"q{i}", "text": f"query {i}"} for i in range(3)])
  )
  (folder / "qrels" / "train.tsv").write_text(
    "query-id\tcorpus-id\tscore\nq0\td1\t1\nq0\td2\t2\nq1\td3\t0\nq2\td1\t1\n"
  )
  return folder


def test_beir(tmp_path):
  folder = _beir(tmp_path / "nano")
  found, _ = _read(folder)
  assert [f[:2] for f in found] == [
    ("query 0", "T text 1"),
    ("query 0", "text 2"),
    ("query 2", "T text 1"),
  ]
  assert {f[3] for f in found} == {"nano"}
  train = folder / "qrels" / "train.tsv"
  test = train.rename(folder / "qrels" / "test.tsv")
  with pytest.raises(UserError, match="no qrels/train.tsv.*it has test.tsv"):
    _read(folder)
  assert len(_read(f"beir:{test}")[0]) == 3
  test.write_text("q0\td9\t1\nq0\td1\nq1\td1\t1\n")
  with pytest.raises(UserError, match="row 2: expected query-id, corpus-id"):
    _read(f"beir:{test}")
  found, rows = _read(f"beir:{test}", skip_bad=2)
  assert len(found) == 1
  assert rows.bad.counts == {"judgement malformed": 1}
  assert rows.bad.left == {"text missing": 1}


def test_a_beir_folder_of_two_corpora(tmp_path):
  folder = _beir(tmp_path / "nano")
  corpus = folder / "corpus.jsonl"
  packed = folder / "corpus.jsonl.gz"
  packed.write_bytes(gzip.compress(corpus.read_bytes()))
  for read in (_read, lambda path: tasks.find([f"{path}/qrels/train.tsv"])):
    with pytest.raises(
      UserError,
      match=(
        "nano: holds corpus.jsonl and corpus.jsonl.gz; expected one of them"
      ),
    ):
      read(folder)
  corpus.unlink()
  assert len(_read(folder)[0]) == 3


def test_beir_judgements_of_no_text_and_ids_of_two(tmp_path, capsys):
  folder = _beir(tmp_path / "nano")
  train = folder / "qrels" / "train.tsv"
  with open(train, "a") as file:
    file.write("q0\tgone\t1\nq9\td1\t1\nq0\td1\t1\n")
  found, rows = _read(folder)  # none of these is a bad row
  assert len(found) == 3 and rows.bad.left == {
    "text missing": 2,
    "judgement repeated": 1,
  }
  assert not rows.bad.counts
  with open(train, "a") as file:
    file.write("q1\td3\t1\n")
  with pytest.raises(UserError, match="rows 4 and 9: two grades of query 'q1'"):
    _read(folder)
  with open(folder / "corpus.jsonl", "ab") as file:
    file.write(
      _lines(
        [
          {"_id": "d1", "title": "T", "text": "text 1"},
          {"_id": "d1", "text": "another"},
        ]
      )
    )
  with pytest.raises(
    UserError,
    match=(
      "2 rows cannot be used .*corpus.jsonl, rows 2 and 7: both have the _id"
    ),
  ):
    _read(folder)
  found, rows = _read(folder, skip_bad=2)
  assert ("query 0", "T text 1") in [f[:2] for f in found]
  assert rows.bad.left["corpus row repeated"] == 1
  list(beir.judged(str(_beir(tmp_path / "twin") / "qrels" / "train.tsv")))
  assert "repeated" not in capsys.readouterr().out
  twin = tmp_path / "twin" / "queries.jsonl"
  twin.write_bytes(2 * twin.read_bytes())
  texts = list(beir.judged(str(tmp_path / "twin" / "qrels" / "train.tsv")))
  assert len(texts) == 4
  assert "queries row repeated: 2; equal rows" in capsys.readouterr().out


def test_pages_beside_a_table_of_any_format_only_describe_it(tmp_path):
  pyarrow = pytest.importorskip("pyarrow")
  table = pyarrow.Table.from_pylist(PAIRS[:2])
  for suffix in readers.ROWS["arrow"].SUFFIXES:
    folder = tmp_path / suffix
    folder.mkdir()
    with pyarrow.ipc.new_stream(folder / f"a{suffix}", table.schema) as file:
      file.write_table(table)
    (folder / "README.md").write_text("# A heading\n\nand text\n")
    found, _ = _read(folder)
    assert _pairs(found) == PAIRS[:2]


def test_a_folder_is_read_whole_or_says_what_is_not(tmp_path, capsys):
  parquet = pytest.importorskip("pyarrow.parquet")
  import pyarrow

  (tmp_path / "a.jsonl").write_bytes(_lines(PAIRS[:2]))
  parquet.write_table(
    pyarrow.Table.from_pylist(PAIRS[2:4]), tmp_path / "b.parquet"
  )
  for name in ("README.md", ".hidden.jsonl", "LICENSE"):
    (tmp_path / name).write_text("x")
  found, _ = _read(tmp_path)
  assert _pairs(found) == PAIRS[:4]
  assert "not read" not in capsys.readouterr().out
  (tmp_path / "c.txt").write_text("a text\n")
  (tmp_path / "d.xlsx").write_text("query,document\n")
  for name in ("more", "empty"):
    (tmp_path / name).mkdir()
  (tmp_path / "more" / "e.jsonl").write_bytes(_lines(PAIRS))
  found, _ = _read(tmp_path)
  assert _pairs(found) == PAIRS[:4]
  out = capsys.readouterr().out
  assert f"{tmp_path}: not read: c.txt, d.xlsx, more; name one" in out
  found, _ = _read(f"text:{tmp_path}")
  assert [f[:2] for f in found] == [("", "a text")]
  assert "not read: a.jsonl, b.parquet, d.xlsx, more" in capsys.readouterr().out
  for include, expected in (
    (["*.parquet"], 2),
    (["a*", "b*"], 4),
    (["c.txt"], 1),
  ):
    parts = readers.find(str(tmp_path), readers.Columns(), include)
    assert len(list(readers.Rows(parts, None, 0))) == expected
  assert "not read" not in capsys.readouterr().out
  with pytest.raises(
    UserError,
    match="--include=x.*: matches no file in .*; it "
    "holds a.jsonl, b.parquet, c.txt",
  ):
    readers.find(str(tmp_path), readers.Columns(), ["x*"])
  with pytest.raises(UserError, match="a.jsonl is a file"):
    readers.find(str(tmp_path / "a.jsonl"), readers.Columns(), ["x*"])


@pytest.mark.parametrize(
  "name, held_out",
  [
    ("test.jsonl", True),
    ("dev.jsonl.gz", True),
    ("pairs_test.jsonl", True),
    ("validation-00000-of-00001.jsonl", True),
    ("Valid.jsonl", True),
    ("eval.jsonl", True),
    ("val.jsonl", True),
    ("heldout.jsonl", True),
    ("held_out.jsonl", True),
    ("hold-out.jsonl", True),
    ("wiki.test.jsonl", True),
    ("testset.jsonl", True),
    ("myTestData.jsonl", True),
    ("train_test.jsonl", False),
    ("latest.jsonl", False),
    ("contest.jsonl", False),
    ("devices.jsonl", False),
    ("train-00000.jsonl", False),
  ],
)
def test_files_to_evaluate_on_are_not_trained_on(
  tmp_path, capsys, name, held_out
):
  if name != "train-00000.jsonl":
    (tmp_path / "train-00000.jsonl").write_bytes(_lines(PAIRS[:3]))
  (tmp_path / name.removesuffix(".gz")).write_bytes(_lines(PAIRS[3:]))
  name = name.removesuffix(".gz")
  found, _ = _read(tmp_path)
  assert len(found) == (3 if held_out or name.startswith("train-0") else 6)
  told = f"held out, not read: {name}; --include" in capsys.readouterr().out
  assert told == held_out
  for again in (
    readers.find(f"{tmp_path}/{name}", readers.Columns()),
    readers.find(str(tmp_path), readers.Columns(), [name]),
  ):
    assert len(list(readers.Rows(again, None, 0))) == 3
  alone = tmp_path / "alone"
  alone.mkdir()
  (alone / name).write_bytes(_lines(PAIRS[3:]))
  assert len(_read(alone)[0]) == 3


def test_labels_and_scores_are_those_that_are_asked_for(tmp_path):
  file = tmp_path / "a.jsonl"
  columns = {
    "label": "billing",
    "document_score": 3,
    "mine": 0.5,
    "of": [2.5],
    "negatives": ["no"],
    "negatives_scores": [1],
  }
  file.write_bytes(_lines([p | columns for p in PAIRS]))

  def first(**options):
    rows = readers.Rows(
      readers.find(str(file), readers.Columns(**options)), None, 0
    )
    return list(rows)[0], rows.bad

  row, skipped = first()
  assert "labels" not in row or not len(row["labels"])
  assert np.isnan(row["score"]) and np.isnan(row["negative_scores"]).all()
  assert skipped.left == {"text labels (rows kept)": 6}
  row, _ = first(score="mine", negatives_scores="of", label="")
  assert (row["score"], row["negative_scores"]) == (0.5, [2.5])
  assert list(first(classes=("x", "billing"))[0]["labels"]) == [1]
  assert list(first(label="mine")[0]["labels"]) == [0.5]
  for options, message in (
    (dict(label="label"), 'the label "billing" is not a number'),
    (dict(classes=("x",)), "none of --classes=x"),
    (dict(label="missing"), "no label in 'missing'"),
    (dict(score="label"), "'label' is \"billing\"; expected the document's"),
    (dict(negatives_scores="mine"), "expected 1 numbers, one for each"),
  ):
    with pytest.raises(UserError, match=message):
      first(**options)
  for value in (float("nan"), float("inf"), 10**400):
    for name, values in (("score", value), ("negatives_scores", [value])):
      file.write_bytes(_lines([PAIRS[0] | columns | {"mine": values}]))
      with pytest.raises(UserError, match="row 1: 'mine' holds .* finite"):
        first(**{name: "mine"})
  file.write_bytes(_lines([{"document": "d", "label": "billing"}]))
  with pytest.raises(UserError, match="--classes"):  # nothing but its label
    first()
  file.write_bytes(_lines([p | {"label": 2} for p in PAIRS]))
  assert list(first()[0]["labels"]) == [2]
  assert not len(first(label="")[0].get("labels", ()))


def test_duplicate_rows_of_a_corpus(tmp_path):
  (tmp_path / "a.jsonl").write_text(
    '{"query": "a", "document": "b", "query": "c"}\n'
  )
  with pytest.raises(UserError, match="row 1: the key 'query' occurs tw"):
    _read(tmp_path)
  parquet = pytest.importorskip("pyarrow.parquet")
  import pyarrow

  table = pyarrow.table(
    [["a"], ["b"], ["c"]], names=["query", "document", "query"]
  )
  parquet.write_table(table, tmp_path / "a.parquet")
  with pytest.raises(UserError, match="two columns are called 'query'"):
    _read(tmp_path / "a.parquet")


def test_all_bad_rows_are_counted_in_one_run(tmp_path, monkeypatch):
  lines = [
    json.dumps({"query": "q", "document": f"d{i}" if i % 10 else ""})
    for i in range(100)
  ]
  (tmp_path / "a.jsonl").write_text("\n".join(lines))
  for allowed in (0, 9, "9%", "9.5%"):
    with pytest.raises(UserError) as error:
      _read(tmp_path, skip_bad=allowed)
    text = str(error.value)
    assert "10 rows cannot be used (empty text 10)" in text
    assert [f"row {n}:" in text for n in (1, 11, 21, 31)] == [
      True,
      True,
      True,
      False,
    ]
    assert "--skip_bad=2%" in text and "\n" not in text
  for allowed in (10, "10%", "100%"):
    found, rows = _read(tmp_path, skip_bad=allowed)
    assert len(found) == 90 and rows.bad.counts == {"empty text": 10}
  monkeypatch.setattr(bad, "_ENOUGH", 5)
  with pytest.raises(UserError, match="at least 5 rows cannot be used"):
    _read(tmp_path)
  for wrong in (-1, "x", "101%", "%", "1.5"):
    with pytest.raises(UserError, match="of all rows such as 2%"):
      _read(tmp_path, skip_bad=wrong)


def test_hub(tmp_path):
  pytest.importorskip("datasets")
  (tmp_path / "train.jsonl").write_bytes(_lines(PAIRS))
  found, _ = _read(f"hf:{tmp_path}")
  assert _pairs(found) == PAIRS
  with pytest.raises(UserError, match="hf:.*cannot be read.*OWNER/NAME"):
    _read(f"hf:{tmp_path}@nosplit")


@pytest.mark.parametrize(
  "kind, columns, expected",
  [
    ("paired", ["title", "body"], ("t 1", "b 1", [])),
    ("self", ["body"], ("b 1", "b 1", [])),
    ("triplet", ["title", "body", "wrong"], ("t 1", "b 1", ["w 1", "x"])),
  ],
)
def test_the_published_format(tmp_path, kind, columns, expected):
  rows = [
    {
      "title": f"t {i}",
      "body": f"b {i}",
      "wrong": [f"w {i}", "x"],
      "document_score": 0.5,
      "negatives_scores": [1, 0.25],
      **_objective(kind, columns),
    }
    for i in range(4)
  ]
  shard = _published(tmp_path / "reddit_full", rows)
  found, reader = _read(shard.parent)
  assert found[1] == (*expected, "reddit_full")
  row = list(reader)[0]
  assert row["score"] == 0.5
  if kind == "triplet":
    assert row["negative_scores"] == [1, 0.25]
  bad_score = rows[:1] + [rows[1] | {"document_score": float("nan")}]
  _published(tmp_path / "reddit_full", bad_score)
  with pytest.raises(UserError, match="row 2: 'document_score' holds NaN"):
    _read(shard.parent)
  rows[2]["metadata"]["objective"][kind] = [["body", "title"]]
  _published(tmp_path / "reddit_full", rows)
  with pytest.raises(UserError, match="row 3: metadata.objective lists"):
    _read(shard.parent)


def test_counts_and_offsets_are_compared(tmp_path):
  rows = [{**p, **_objective("paired", ["query", "document"])} for p in PAIRS]
  shard = _published(tmp_path / "paq", rows, count=7)
  with pytest.raises(UserError, match="6 rows, but counts.json .* says 7"):
    _read(shard.parent)
  found, reader = _read(shard.parent, skip_bad=1)
  assert len(found) == 6 and reader.bad.counts == {"counts disagree": 1}
  (shard.parent / "counts.json").unlink()
  offsets = {f"a/paq/{shard.name}": {str(i): [i, i + 1] for i in range(5)}}
  (shard.parent / "offsets.json.gz").write_bytes(
    gzip.compress(json.dumps(offsets).encode())
  )
  with pytest.raises(UserError, match="offsets.json.gz beside it says 5"):
    _read(shard.parent)
  (shard.parent / "offsets.json.gz").write_bytes(b"nothing")
  with pytest.raises(UserError, match="offsets.json.gz: damaged"):
    _read(shard.parent)


def _specification(tmp_path, **changes):
  for name in ("paq", "reddit"):
    rows = [
      {
        **p,
        "query": f"{name} {p['query']}",
        "neg": ["no"],
        **_objective("triplet", ["query", "document", "neg"]),
      }
      for p in PAIRS
    ]
    for shard in ("shard-00000", "shard-00001"):
      _published(tmp_path / name, rows, f"{shard}.jsonl.gz")
  entry = lambda name, **more: {
    "name": name,
    "bucket": f"{tmp_path}/{name}/shard-{{00000..00001}}.jsonl.gz",
    "objective": {"type": "triplet", "columns": ["query", "document", "neg"]},
    **more,
  }
  listed = [
    entry(
      "paq",
      query_prefix="search_query",
      document_prefix="search_document",
      weight=1,
    ),
    entry("reddit", query_prefix="clustering", query_only=True),
    entry(
      "again",
      **{
        "bucket": f"{tmp_path}/reddit/shard-*",
        "query_prefix": "classification",
      },
    ),
  ]
  listed[0].update(changes)
  (tmp_path / "data.yaml").write_text(json.dumps({"datasets": listed}))
  return tmp_path / "data.yaml"


def test_a_specification(tmp_path, capsys):
  file = _specification(tmp_path)
  found, rows = _read(file)
  assert [f[3] for f in found] == (
    ["paq"] * 12 + ["reddit"] * 12 + ["again"] * 12
  )
  prompts = {
    "paq": {"query": "search_query: ", "document": "search_document: "},
    "reddit": {"query": "clustering: ", "document": ""},
    "again": {"query": "classification: ", "document": "classification: "},
  }
  assert rows.prompts() == prompts
  prepare(str(file), tmp_path / "out", vocab_size=80, held_out=0.2)
  printed = capsys.readouterr().out
  assert "rows read of reddit               12" in printed
  assert "dropped: duplicate row            24" in printed
  assert "tokens per doc" in (tmp_path / "out" / "lengths.svg").read_text()
  kept = sources.read(tmp_path / "out")
  assert kept.prompts == prompts
  assert [name for name, _ in kept.runs["train"]] == ["paq", "reddit"]


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"prefix": "x"}, "data set 1: no such key 'prefix'"),
    ({"bucket": 5}, "'bucket' is missing or not a string"),
    ({"objective": {"type": "paired", "columns": ["q"]}}, "1, 2 or 3 columns"),
    ({"objective": {"type": "pairs", "columns": ["q"]}}, "objective is"),
  ],
)
def test_mistakes_in_a_specification(tmp_path, changes, message):
  with pytest.raises(UserError, match=message):
    _read(_specification(tmp_path, **changes))


@pytest.mark.parametrize(
  "name, content, message",
  [
    ("a.jsonl.gz", _lines(PAIRS), "not gzip-compressed, though its name"),
    ("a.jsonl.zst", _lines(PAIRS), "not zstd-compressed, though its name"),
    (
      "a.jsonl",
      gzip.compress(_lines(PAIRS)),
      "row 1: not UTF-8 but gzip-compressed; its name must end in .gz",
    ),
    ("a.txt", b"PK\x03\x04\xff\n", "row 1: not UTF-8 but .* an Excel workbook"),
  ],
)
def test_a_file_that_is_not_what_its_name_says(
  tmp_path, name, content, message
):
  (tmp_path / name).write_bytes(content)
  with pytest.raises(
    UserError, match=f"{name}.*: {message}".replace(": row 1", ", row 1")
  ):
    _read(tmp_path)


def test_a_file_of_another_kind_is_not_missing(tmp_path):
  for name, how in (("a.xlsx", "save it in Excel"), ("a.json", "jq -c")):
    (tmp_path / name).write_text("[]")
    with pytest.raises(UserError, match=f"{name}: unsupported file .*{how}"):
      _read(tmp_path / name)
  with pytest.raises(UserError, match="b.csv: no such file or folder"):
    _read(tmp_path / "b.csv")


def test_braces_are_written_out():
  assert specification.expand("a/{x,y}-{08..11}") == [
    f"a/{c}-{n}" for c in "xy" for n in ("08", "09", "10", "11")
  ]
  assert specification.expand("{9..11}") == ["9", "10", "11"]
  assert specification.expand("plain") == ["plain"]


BROKEN = {
  "gzip damaged (the rest of a file)": (
    "a.jsonl.gz",
    gzip.compress(_lines(PAIRS) * 50)[:-20],
    r"row \d+: the gzip stream is damaged or truncated",
  ),
  "not UTF-8": (
    "a.jsonl",
    _lines(PAIRS[:1]) + b'{"query": "\xff"}\n',
    "row 2: not UTF-8",
  ),
  "not an object": ("a.jsonl", b"[1]\n", "row 1: expected a JSON object"),
  "not JSON": ("a.jsonl", b'{"query": \n', "row 1: not valid JSON"),
  "column missing": ("a.jsonl", b'{"query": "q"}\n', "'document' is missing"),
  "not a string": ("a.jsonl", b'{"query": 5, "document": "d"}\n', "is 5"),
  "empty text": ("a.jsonl", b'{"query": " ", "document": "d"}\n', "is empty"),
  "negatives not texts": (
    "a.jsonl",
    b'{"query": "q", "document": "d", "negatives": [3]}\n',
    "not a list of strings",
  ),
  "row too long": (
    "a.jsonl",
    b'{"query": "' + b"x" * 999 + b'"}\n' + _lines(PAIRS[:1]),
    "row 1: longer than",
  ),
  "file without rows": ("a.jsonl", b"\n\n", "a.jsonl: has no rows"),
}


@pytest.mark.parametrize("reason", BROKEN)
def test_damage_stops_the_job_or_is_counted(tmp_path, reason, monkeypatch):
  name, content, message = BROKEN[reason]
  monkeypatch.setattr(text_lines, "_MOST_BYTES", 500)
  (tmp_path / name).write_bytes(content)
  (tmp_path / "z.jsonl").write_bytes(_lines(PAIRS))
  with pytest.raises(UserError, match=message) as error:
    _read(tmp_path)
  assert name in str(error.value) and "--skip_bad" in str(error.value)
  found, rows = _read(tmp_path, skip_bad=1)
  assert _pairs(found)[-6:] == PAIRS and rows.bad.counts == {reason: 1}
  (tmp_path / "b.jsonl").write_bytes(b"5\n")
  with pytest.raises(UserError, match="2 rows cannot be used .* the first: "):
    _read(tmp_path, skip_bad=1)


def test_a_shard_that_vanishes(tmp_path):
  for name in "ab":
    (tmp_path / f"{name}.jsonl").write_bytes(_lines(PAIRS))
  parts = readers.find(str(tmp_path), readers.Columns())
  (tmp_path / "a.jsonl").unlink()
  with pytest.raises(UserError, match="a.jsonl: no such file, although it was"):
    list(readers.Rows(parts, None, 0))
  rows = readers.Rows(parts, None, 1)
  assert len(list(rows)) == 6 and rows.bad.counts == {"file missing": 1}


def test_a_source_that_changes_is_noticed(tmp_path, monkeypatch):
  file = tmp_path / "a.jsonl"
  file.write_bytes(_lines(PAIRS))
  fates = splits.fates

  def decide_and_change(*args):
    file.write_bytes(_lines(PAIRS + PAIRS))
    return fates(*args)

  monkeypatch.setattr(splits, "fates", decide_and_change)
  with pytest.raises(UserError, match="it had 6 rows and now has 12"):
    prepare(str(file), tmp_path / "out", vocab_size=80, held_out=0)
  assert not (tmp_path / "out").exists()


class _Flaky:
  """A file that fails sometimes, as in a bucket."""

  def __init__(self, file, failures):
    self._file, self._failures = file, failures

  def __getattr__(self, name):
    return getattr(self._file, name)

  def read(self, size=-1):
    if self._failures and self._failures.pop():
      raise TimeoutError("read timed out")
    return self._file.read(min(size, 50) if size > 0 else size)


@pytest.fixture(name="bucket")
def _bucket(monkeypatch):
  """memory:// in place of s3://, with the same interface and set failures."""
  files = fsspec.filesystem("memory")
  failures, waits = [], []
  original = type(files).open
  monkeypatch.setattr(
    type(files),
    "open",
    lambda self, path, mode="rb", **kw: (
      _Flaky(original(self, path, mode, **kw), failures)
      if mode == "rb"
      else original(self, path, mode, **kw)
    ),
  )
  monkeypatch.setattr(streams.time, "sleep", waits.append)
  yield files, failures, waits
  files.rm("/", recursive=True)


def test_buckets_are_read_with_retries(bucket, tmp_path):
  files, failures, waits = bucket
  content = gzip.compress(_lines(PAIRS * 9))
  files.pipe("/b/data/a.jsonl.gz", content)
  files.pipe("/b/data/notes.md", b"nothing")
  expected = [*PAIRS * 9]
  assert _pairs(_read("memory://b/data")[0]) == expected and not waits
  failures += [False, True, False, True, True, False]
  rows = readers.Rows(
    readers.find("memory://b/data", readers.Columns()), None, 0
  )
  assert [{k: r[k] for k in PAIRS[0]} for r in rows] == expected
  assert waits == [1, 2, 1] and not failures  # waits grow, then start again
  failures += [True] * 6
  with pytest.raises(UserError, match="a.jsonl.gz: cannot be read, tried 6 ti"):
    list(rows)
  failures.clear()
  with pytest.raises(UserError, match="no such file or folder"):
    _read("memory://b/other")
  with pytest.raises(UserError, match="s4://b/x: .*expected a path"):
    _read("s4://b/x")


@pytest.mark.parametrize(
  "error,words",
  [
    (PermissionError("Access Denied"), "requires other credentials"),
    (OSError("InvalidAccessKeyId: no such key"), "requires other credentials"),
    (OSError("the line is dead"), "cannot be read, tried 6 times"),  # control
  ],
)
def test_a_bucket_that_refuses_is_not_asked_again(
  bucket, monkeypatch, error, words
):
  files, _, waits = bucket

  def refuse(*args, **kw):
    raise error

  files.pipe("/b/a.jsonl", _lines(PAIRS))
  monkeypatch.setattr(type(files), "open", refuse)
  with pytest.raises(UserError, match=f"memory://b/a.jsonl: .*{words}"):
    _read("memory://b/a.jsonl")
  assert len(waits) == (5 if "tried" in words else 0)


def test_parquet_in_a_bucket(bucket, tmp_path):
  pyarrow = pytest.importorskip("pyarrow")
  from pyarrow import parquet

  files, failures, waits = bucket
  table = pyarrow.Table.from_pylist(PAIRS * 50)
  parquet.write_table(table, tmp_path / "x.parquet")
  files.put(str(tmp_path / "x.parquet"), "/b/x.parquet")
  failures += [True, False, True]
  rows = readers.Rows(
    readers.find("memory://b/x.parquet", readers.Columns()), None, 0
  )
  assert [{k: r[k] for k in PAIRS[0]} for r in rows] == PAIRS * 50
  assert len(waits) == 2


def test_parquet_on_a_server_that_tells_no_size(bucket, tmp_path, monkeypatch):
  """Such as an HTTP server that streams its answers."""
  pyarrow = pytest.importorskip("pyarrow")
  from pyarrow import parquet

  files, _, waits = bucket
  parquet.write_table(pyarrow.Table.from_pylist(PAIRS), tmp_path / "x.parquet")
  files.put(str(tmp_path / "x.parquet"), "/b/x.parquet")
  monkeypatch.setattr(type(files), "size", lambda self, path: None)
  with pytest.raises(UserError, match="memory://b/x.parquet: the server does"):
    _read("memory://b/x.parquet")
  assert not waits


def test_fuzz_jsonl(tmp_path):
  """Any bytes in a file give rows, or an error of one line."""
  hypothesis = pytest.importorskip("hypothesis")
  from hypothesis import strategies as st

  pieces = st.sampled_from(
    [
      b'{"query": "q", "document": "d"}',
      b"\n",
      b"\r\n",
      b"{",
      b"}",
      b'"',
      b"[",
      b"]",
      b":",
      b",",
      b"\xff",
      b"\xed\xa0\x80",
      b"\\ud800",
      b"\\u0000",
      b"null",
      b"NaN",
      b"1e999",
      b"-",
      b"\x00",
      b" ",
      b"\xef\xbb\xbf",
      b'"negatives": [',
      b'"query"',
      b'"document"',
      b"[" * 3000,
      b"9" * 5000,
      b'{"a":' * 3000,
    ]
  )
  content = st.one_of(
    st.lists(pieces, max_size=12).map(b"".join), st.binary(max_size=60)
  )

  @hypothesis.settings(
    max_examples=250, deadline=None, database=None, derandomize=True
  )
  @hypothesis.given(content, st.integers(0, 3), st.integers(0, 40))
  def check(content, how, cut):
    suffix = ".jsonl.gz" if how else ".jsonl"
    if how:
      content = gzip.compress(content, mtime=0)
    if how == 2:
      content = content[: max(len(content) - cut, 0)]
    elif how == 3 and content:
      at = cut % len(content)
      content = content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :]
    _check_fuzzed(tmp_path / f"f{suffix}", content)

  check()


def _check_fuzzed(file, content):
  file.write_bytes(content)
  parts = [readers.Part("jsonl", (str(file),), "", readers.Columns())]
  try:
    strict = list(readers.Rows(parts, None, 0))
  except UserError as e:
    assert str(file) in str(e) and "\n" not in str(e)
    strict = None
  rows = readers.Rows(parts, None, 10_000)
  kept = list(rows)
  for row in kept:
    assert row["query"].strip() and row["document"].encode()
  assert bool(rows.bad.counts) == (strict is None)
  if strict is not None:
    assert str(kept) == str(strict)


@pytest.mark.parametrize(
  "content",
  [
    b"\xef\xbb\xbf{}",
    b'{"query": "\x00", "document": "d"}',
    b"9" * 5000,
    b'{"a":' * 100_000,
    b'{"query": NaN, "document": 1e999}',
    b"\r\n\r\n",
    b'{"query": "\\ud800", "document": "d"}',
    b"\x00",
    b"null",
  ],
)
def test_cases_that_fuzzing_found(tmp_path, content):
  _check_fuzzed(tmp_path / "f.jsonl", content)


def test_random_bytes_as_parquet(tmp_path):
  pyarrow = pytest.importorskip("pyarrow")
  from pyarrow import parquet

  file = tmp_path / "x.parquet"
  parquet.write_table(pyarrow.Table.from_pylist(PAIRS), file)
  whole, draw = file.read_bytes(), random.Random(0)
  told = 0
  for _ in range(150):
    content = bytearray(whole)
    for _ in range(draw.randint(1, 4)):
      content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    file.write_bytes(content)
    try:
      list(
        readers.Rows(
          [readers.Part("parquet", (str(file),), "", readers.Columns())],
          None,
          0,
        )
      )
    except UserError as e:
      told += 1
      assert str(file) in str(e)
  assert told > 30
