# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Recognising tables: columns, kinds, joins, and what is printed."""

import json

import pytest

from nomic_jax.data import dataset
from nomic_jax.data import kinds
from nomic_jax.data import origins
from nomic_jax.data import readers
from nomic_jax.data.prepare import prepare
from nomic_jax.data.readers import first_rows
from nomic_jax.data.readers import recognise
from nomic_jax.errors import UserError
from nomic_jax.storage import formats


def _prepare(tmp_path, source, **options):
  """Prepares a file; returns (kind, rows)."""
  options = {"vocab_size": 60, "held_out": 0, "allow_unk": True} | options
  prepare(str(source), tmp_path / "out", overwrite=True, **options)
  rows = dataset.open_split(tmp_path / "out", "train")
  return kinds.of(tmp_path / "out"), [rows[i] for i in range(len(rows))]


def _lines(*rows):
  return "".join(json.dumps(row) + "\n" for row in rows)


PAIR = {"query": "q", "document": "d"}


@pytest.mark.parametrize(
  "name, content, kind, first",
  [
    (
      "excel.csv",
      '\ufeffsep=;\nQuery;Document;;\n"a ""b"";\nc";d;;\n;;;\ne;f\n',
      "pairs",
      ('a "b";\nc', "d"),
    ),
    ("excel.tsv", 'Query\tDocument\n"a ""b""\nc"\td\ne\tf\n', "pairs", None),
    ("raw.tsv", 'query\tdocument\n"a\td\ne\tf\n', "pairs", ('"a', "d")),
    ("bars.csv", "question|answer\na, b; c|d\n", "pairs", ("a, b; c", "d")),
    (
      "sts.csv",
      "sentence1,sentence2,score\na,b,3.5\nc,d,0\n",
      "scores",
      ("a", "b", 3.5),
    ),
    (
      "sick.tsv",
      "pair_ID\tsentence_A\tsentence_B\trelatedness_score\n1\ta\tb\t3\n",
      "scores",
      ("a", "b", 3),
    ),
    ("a.jsonl", _lines(PAIR | {"score": 2}), "scores", ("q", "d", 2)),
    ("a.jsonl", _lines(PAIR | {"score": "high"}), "pairs", ("q", "d")),
    (
      "t.jsonl",
      _lines({"anchor": "a", "positive": "p", "negative": "n"}),
      "triplets",
      ("a", "p"),
    ),
    ("t.jsonl", _lines(PAIR | {"negatives": ["n"]}), "triplets", ("q", "d")),
    ("l.csv", "text,label\na,no\nb,yes\n", "labels", ("", "a")),
    ("l.csv", "text,Category\na,no\nb,yes\n", "labels", ("", "a")),
    ("l.jsonl", _lines({"text": "a", "label": 1}), "labels", ("", "a")),
    ("x.jsonl", _lines({"text": "a", "url": "u"}), "text", ("", "a")),
  ],
)
def test_kinds_are_known_by_their_columns(
  tmp_path, name, content, kind, first, capsys
):
  (tmp_path / name).write_text(content, encoding="utf-8")
  found, rows = _prepare(tmp_path, tmp_path / name)
  assert found.name == kind and kind in kinds.KINDS
  row = rows[0]
  assert first is None or first[:2] == (row["query"], row["document"])
  if kind == "scores":
    assert row["score"] == first[2]
  if kind == "triplets":
    assert row["negatives"] == ["n"]
  if name == "excel.tsv":
    assert row["query"] == 'a "b"\nc'
  out = capsys.readouterr().out
  assert f"{kind}: {found.why}" in out and "column " in out
  if name == "x.jsonl":
    assert "columns not read                  url" in out


def test_classes_are_those_of_the_data(tmp_path, capsys):
  file = tmp_path / "l.csv"
  file.write_text("text,intent\na,pay\nb,lose\nc,pay\nd,\n")
  with pytest.raises(UserError, match="row 4: no label in 'intent'"):
    _prepare(tmp_path, file)
  kind, rows = _prepare(tmp_path, file, skip_bad="30%")
  assert kind.classes == ("lose", "pay") and kind.task == "single"
  assert [r["labels"] for r in rows] == [[1], [0], [1]]
  assert "label, 2 classes (empty in 1 of" in capsys.readouterr().out
  kind, rows = _prepare(tmp_path, file, classes=["pay", "lose"], skip_bad="30%")
  assert kind.classes == ("pay", "lose") and rows[0]["labels"] == [0]
  with pytest.raises(UserError, match="'intent' is both|intent is both"):
    _prepare(tmp_path, file, classes=["pay", "lose"], document_column="intent")
  file.write_text("query,document\na,b\n")
  with pytest.raises(UserError, match="--classes is set, but no column"):
    _prepare(tmp_path, file, classes=["pay", "lose"])
  file.write_text("text,label\na,0.5\nb,2\n")
  assert _prepare(tmp_path, file)[0].task == "regression"
  file.write_text("text,label\na,2\nb,0\n")
  assert _prepare(tmp_path, file)[0].classes == ("0", "1", "2")
  (tmp_path / "m.jsonl").write_text(_lines({"text": "a", "labels": ["x", "y"]}))
  kind, rows = _prepare(tmp_path, tmp_path / "m.jsonl")
  assert (kind.task, kind.labels, rows[0]["labels"]) == ("multi", 2, [0, 1])


def test_columns_are_named_nested_and_joined(tmp_path, capsys):
  file = tmp_path / "a.jsonl"
  rows = [
    {"id": 1, "subject": f"s{i}", "resolution": {"text": f"t{i}", "n": 1}}
    for i in range(3)
  ]
  file.write_text(_lines(*rows, {"id": 2, "subject": "x", "resolution": {}}))
  named = ["query=subject", "document=resolution.text"]
  with pytest.raises(UserError, match="row 4: 'resolution.text' is missing"):
    _prepare(tmp_path, file, columns=named)
  _, found = _prepare(tmp_path, file, columns=named, skip_bad="25%")
  assert [(r["query"], r["document"]) for r in found] == [
    (f"s{i}", f"t{i}") for i in range(3)
  ]
  out = capsys.readouterr().out
  assert "column resolution.text            document (empty in 1 of the" in out
  assert "columns not read                  id\n" in out
  joined = ["query=subject", "document=subject+resolution.text"]
  _, found = _prepare(tmp_path, file, columns=joined, skip_bad=1)
  assert found[1]["document"] == "s1\nt1"
  for named, message in (
    (["query"], "expected ROLE=COLUMN"),
    (["text=subject"], "no such role 'text'"),
    (["query=subjekt"], "no row has the column 'subjekt'.*subject"),
    ([], "its columns are id, subject, .*query=subject,document=resolution.te"),
  ):
    with pytest.raises(UserError, match=message):
      _prepare(tmp_path, file, columns=named)
  with pytest.raises(UserError, match="--columns query=a and --query_column=b"):
    _prepare(tmp_path, file, columns=["query=a"], query_column="b")
  file = tmp_path / "b.csv"
  file.write_text("a,b,4\nc,d,1\n")
  kind, found = _prepare(
    tmp_path, file, columns=["query=#1", "document=#2", "score=#3"]
  )
  assert kind.name == "scores" and len(found) == 2 and found[0]["score"] == 4
  with pytest.raises(UserError, match="first line, a, b, 4, .* query=#1,doc"):
    _prepare(tmp_path, file)


def test_documents_are_joined_by_their_ids(tmp_path, capsys):
  logs, docs = tmp_path / "logs.csv", tmp_path / "docs.jsonl"
  logs.write_text("query,clicked\na,17\nb,18\nc,19\n")
  docs.write_text(
    _lines(
      {"doc_id": 17, "title": "T", "body": "seventeen"},
      {"doc_id": 18, "title": "U", "body": "eighteen"},
    )
  )
  options = dict(documents=str(docs), document_id="doc_id")
  named = dict(columns=["document=clicked"])
  with pytest.raises(
    UserError, match="logs.csv, row 3: .* has no document with"
  ):
    _prepare(tmp_path, logs, **options, **named)
  _, rows = _prepare(tmp_path, logs, skip_bad=1, **options, **named)
  assert [r["document"] for r in rows] == ["seventeen", "eighteen"]
  made = json.loads((tmp_path / "out" / "reproduce.json").read_text())
  again = lambda: origins.fingerprint(
    str(logs), (), made["arguments"]["documents"]
  )
  before = made["inputs"]["source"]["fingerprint"]
  assert again() == before != origins.fingerprint(str(logs))
  _, rows = _prepare(
    tmp_path, logs, skip_bad=1, document_text="title+body", **options, **named
  )
  assert rows[0]["document"] == "T\nseventeen"
  assert "warning" not in capsys.readouterr().out
  _prepare(tmp_path, logs, **named)
  assert "look like ids ('17')" in capsys.readouterr().out
  with pytest.raises(UserError, match="'doc_id', specified as document"):
    _prepare(tmp_path, logs, **options)
  with pytest.raises(UserError, match="--document_id: no such column|no such"):
    _prepare(tmp_path, logs, **options | {"document_id": "id"}, **named)
  with pytest.raises(UserError, match="--documents=TABLE too"):
    _prepare(tmp_path, logs, document_id="doc_id", **named)
  docs.write_text(_lines(*({"doc_id": 1, "body": f"b{i}"} for i in range(2))))
  with pytest.raises(UserError, match="row 2: a second document with doc"):
    _prepare(tmp_path, logs, **options, **named)


@pytest.mark.parametrize(
  "texts, ids",
  [
    (["d17", "d18"], True),
    (["17", "18"], True),
    (["a1b2-c3", "doc/9"], True),
    (["word", "other"], False),
    (["a d17", "b d18"], False),
    (["d17", "a text", "b"], False),
  ],
)
def test_ids_are_distinguished_from_texts(texts, ids):
  assert recognise.looks_like_ids(texts) == ids


def test_the_kind_may_be_named(tmp_path):
  file = tmp_path / "a.jsonl"
  file.write_text(_lines(PAIR | {"score": 2, "label": 1, "negatives": ["n"]}))
  kind, rows = _prepare(tmp_path, file, kind="pairs")
  assert kind.name == "pairs"
  assert rows[0]["labels"] == rows[0]["negatives"] == []
  assert rows[0]["score"] != rows[0]["score"]
  assert _prepare(tmp_path, file, kind="scores")[0].name == "scores"
  assert _prepare(tmp_path, file, kind="labels")[0].name == "labels"
  with pytest.raises(UserError, match="--kind=score: no such kind.*scores"):
    _prepare(tmp_path, file, kind="score")
  file.write_text(_lines(PAIR))
  with pytest.raises(UserError, match="--kind=scores: .* lacks the columns"):
    _prepare(tmp_path, file, kind="scores")


def test_a_saved_data_set_is_read(tmp_path):
  datasets = pytest.importorskip("datasets")
  rows = [{"question": f"q{i}", "answer": f"a{i}"} for i in range(5)]
  split = datasets.Dataset.from_list(rows)
  both = datasets.DatasetDict({"train": split, "test": split.select([0])})
  both.save_to_disk(tmp_path / "saved")
  _, found = _prepare(tmp_path, tmp_path / "saved")
  assert [r["query"] for r in found] == [f"q{i}" for i in range(5)]
  _, found = _prepare(tmp_path, tmp_path / "saved" / "test")
  assert len(found) == 1
  path = str(next((tmp_path / "saved" / "train").glob("*.arrow")))
  assert [row for _, row in formats.each(path)] == rows
  (tmp_path / "cut.arrow").write_bytes(open(path, "rb").read()[:40])
  with pytest.raises(UserError, match="cut.arrow, row 1: truncated"):
    list(formats.each(tmp_path / "cut.arrow"))


def test_an_older_directory_is_known_by_its_rows(tmp_path):
  file = tmp_path / "a.jsonl"
  for extra, name in (
    ({}, "pairs"),
    ({"negatives": ["n"]}, "triplets"),
    ({"label": 1}, "labels"),
  ):
    file.write_text(_lines(PAIR | extra))
    _prepare(tmp_path, file)
    stats = json.loads((tmp_path / "out" / "stats.json").read_text())
    assert stats.pop("kind")["name"] == name
    (tmp_path / "out" / "stats.json").write_text(json.dumps(stats))
    assert kinds.of(tmp_path / "out").name == name


def test_a_folder_may_have_the_name_of_a_kind(tmp_path, monkeypatch):
  (tmp_path / "text").mkdir()
  (tmp_path / "text" / "a.jsonl").write_text(_lines(PAIR))
  monkeypatch.chdir(tmp_path)
  assert len(list(readers.Rows(readers.find("text", readers.Columns()), 9, 0)))


@pytest.mark.parametrize(
  "late, kind",
  [
    ({"hard_negatives": ["n"]}, "triplets"),
    ({"score": 0.5}, "scores"),
    ({"label": 1}, "labels"),
  ],
)
def test_columns_that_only_later_rows_have_are_not_lost(
  tmp_path, monkeypatch, late, kind
):
  monkeypatch.setattr(first_rows, "_FIRST", 3)
  file = tmp_path / "a.jsonl"
  rows = [{"query": f"q{i}", "document": f"d{i}"} for i in range(5)]
  file.write_text(_lines(*rows[:4], rows[4] | late))
  (name,) = late
  with pytest.raises(
    UserError, match=f"row 5: the column '{name}' .*--kind={kind} .*=pairs to"
  ):
    _prepare(tmp_path, file)
  found, made = _prepare(tmp_path, file, kind="pairs")
  assert found.name == "pairs" and not any(
    r["negatives"] or r["labels"] or r["score"] == 0.5 for r in made
  )
  assert len(made) == 5
  if kind == "triplets":
    for options in ({"kind": kind}, {"columns": [f"negatives={name}"]}):
      found, made = _prepare(tmp_path, file, **options)
      assert found.name == kind
      assert [r["negatives"] for r in made] == [[]] * 4 + [["n"]]
  # Empty in the first rows, as in a table, is the same.
  file.write_text(_lines(*[r | {name: None} for r in rows[:4]], rows[4] | late))
  with pytest.raises(UserError, match=f"row 5: the column '{name}'"):
    _prepare(tmp_path, file)
  # Neither words nor columns of no role matter.
  file.write_text(_lines(*rows[:4], rows[4] | {"score": "high", "url": "u"}))
  assert _prepare(tmp_path, file)[0].name == "pairs"


def test_triplets_beside_pairs_are_triplets_in_any_order(tmp_path):
  folder = tmp_path / "both"
  folder.mkdir()
  for first, second in (("a", "b"), ("b", "a")):
    (folder / f"{first}.jsonl").write_text(_lines(PAIR))
    (folder / f"{second}.jsonl").write_text(
      _lines({"query": "q2", "document": "d2", "negatives": ["n"]})
    )
    kind, rows = _prepare(tmp_path, folder)
    assert kind.name == "triplets"
    assert sorted(r["negatives"] for r in rows) == [[], ["n"]]


def test_joined_columns_lose_no_part(tmp_path):
  file = tmp_path / "a.jsonl"
  first = {"query": "q", "title": "t", "year": 1984.0, "body": "b"}
  file.write_text(_lines(first, first | {"query": "r", "title": None}))
  named = ["query=query", "document=title+year+body"]
  _, rows = _prepare(tmp_path, file, columns=named)
  assert [r["document"] for r in rows] == ["t\n1984\nb", "1984\nb"]
  for wrong in (True, {"a": 1}, ["x"]):
    file.write_text(_lines(first, first | {"title": wrong}))
    with pytest.raises(UserError, match="row 2: 'title.year.body' is"):
      _prepare(tmp_path, file, columns=named)


def test_joined_columns_of_negatives_are_a_list(tmp_path, capsys):
  file = tmp_path / "a.jsonl"
  rows = [
    PAIR | {"negative_1": "x", "negative_2": "y"},
    {"query": "r", "document": "d", "negative_1": "z"},
    {"query": "s", "document": "d", "negative_2": ["u", "v"]},
    {"query": "t", "document": "d"},
  ]
  file.write_text(_lines(*rows))
  named = ["negatives=negative_1+negative_2"]
  kind, found = _prepare(tmp_path, file, columns=named)
  assert kind.name == "triplets"
  assert [r["negatives"] for r in found] == [["x", "y"], ["z"], ["u", "v"], []]
  assert "negatives (empty in 1 of the first 4" in capsys.readouterr().out


def test_a_cell_that_spells_a_list_is_not_a_text(tmp_path):
  column = "hard_negatives"
  file = tmp_path / "a.csv"
  for cell in ("['x', 'y']", '["x"]', "[]", "['x' 'y']"):
    quoted = cell.replace('"', '""')
    file.write_text(f'query,document,{column}\nq,d,"{quoted}"\n')
    with pytest.raises(UserError, match=f"row 1: '{column}' .* spells a list"):
      _prepare(tmp_path, file)
  for cell in ("x", "[sic] x", "[1] Smith et al. [2]"):
    file.write_text(f'query,document,{column}\nq,d,"{cell}"\n')
    assert _prepare(tmp_path, file)[1][0]["negatives"] == [cell]
  # Neither is a label, but the list of a .jsonl may hold any text.
  for cell in ("['x', 'y']", "[0, 1]"):
    file.write_text(f'text,labels\na,"{cell}"\n')
    with pytest.raises(UserError, match="row 1: 'labels' .* spells a list"):
      _prepare(tmp_path, file)
  (tmp_path / "b.jsonl").write_text(_lines(PAIR | {column: ["['x']"]}))
  _, rows = _prepare(tmp_path, tmp_path / "b.jsonl")
  assert rows[0]["negatives"] == ["['x']"]


def test_a_column_that_marks_rows_as_held_out_is_told(tmp_path, capsys):
  file = tmp_path / "a.jsonl"
  for values, told in (
    (("train", "test", "validation"), True),
    (("test", "test", "test"), False),  # the user's choice of a file
    (("a", "b", "contest"), False),
  ):
    rows = [{"query": v, "document": f"d{i}"} for i, v in enumerate(values)]
    file.write_text(_lines(*[r | {"split": r["query"]} for r in rows]))
    assert len(_prepare(tmp_path, file)[1]) == 3
    out = capsys.readouterr().out
    assert ("the column split marks rows as test, validation, but" in out) == (
      told
    )
