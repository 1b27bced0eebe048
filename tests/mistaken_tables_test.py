# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Tables that could be misread are read as meant, or refused in one line."""

import decimal
import json

import pyarrow as pa
from pyarrow import parquet
import pytest

from nomic_jax.data import dataset
from nomic_jax.data import kinds
from nomic_jax.data.prepare import prepare
from nomic_jax.errors import UserError


def _prepare(tmp_path, source, **options):
  """Prepares a source; returns (kind, rows)."""
  options = {"vocab_size": 60, "held_out": 0, "allow_unk": True} | options
  prepare(str(source), tmp_path / "out", overwrite=True, **options)
  rows = dataset.open_split(tmp_path / "out", "train")
  return kinds.of(tmp_path / "out"), [rows[i] for i in range(len(rows))]


def _scored(tmp_path, *scores):
  file = tmp_path / "s.csv"
  lines = [f"a{i};b{i};{score}\n" for i, score in enumerate(scores)]
  file.write_text("sentence1;sentence2;score\n" + "".join(lines))
  return file


def _labelled(tmp_path, *labels):
  """Texts a0, a1, ... with these labels, as .csv or, if not all str, .jsonl."""
  if all(isinstance(label, str) for label in labels):
    file = tmp_path / "l.csv"
    lines = [f"a{i},{label}\n" for i, label in enumerate(labels)]
    file.write_text("text,label\n" + "".join(lines))
  else:
    file = tmp_path / "l.jsonl"
    rows = [{"text": f"a{i}", "label": x} for i, x in enumerate(labels)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
  return file


def _classes_of(kind, rows):
  """The class of each text, by text."""
  return {r["document"]: kind.classes[int(r["labels"][0])] for r in rows}


@pytest.mark.parametrize(
  "scores, message",
  [
    (("0,5", "0,75", "1"), "holds '0,5', with a decimal comma; .* as in 0.5"),
    (("0.5", "n/a", "0.7"), "holds 'n/a', which is not a number"),
    (("50%", "75%"), "holds '50%', which is not a number"),
    (("1_0", "2_0"), "holds '1_0', which is not a number"),
  ],
)
def test_scores_that_are_not_numbers_do_not_make_pairs(
  tmp_path, scores, message
):
  file = _scored(tmp_path, *scores)
  with pytest.raises(
    UserError, match=f"the column 'score' {message}|{message}"
  ):
    _prepare(tmp_path, file)
  kind, rows = _prepare(tmp_path, file, kind="pairs")
  assert kind.name == "pairs" and len(rows) == len(scores)


def test_scores_may_be_decimals_of_parquet(tmp_path):
  table = {
    "sentence1": ["a", "b"],
    "sentence2": ["c", "d"],
    "score": [decimal.Decimal("0.50"), decimal.Decimal("1.25")],
  }
  parquet.write_table(pa.table(table), tmp_path / "d.parquet")
  kind, rows = _prepare(tmp_path, tmp_path / "d.parquet")
  assert kind.name == "scores"
  assert [row["score"] for row in rows] == [0.5, 1.25]


@pytest.mark.parametrize(
  "labels, classes",
  [
    (("0", "1", "ok"), ("0", "1", "ok")),  # numbers beside names are names
    ((0, 1, "ok"), ("0", "1", "ok")),
    (("007", "7", "x"), ("007", "7", "x")),
    (("100", "40123", "205"), ("100", "205", "40123")),  # and so are ids
    ((100, 40123, 205), ("100", "205", "40123")),
    ((1234567, 12345678), ("1234567", "12345678")),
    (("1_1", "1_2"), ("1_1", "1_2")),
    (("inf", "nan", "1"), ("1", "inf", "nan")),
    ((" a", "b ", "a"), ("a", "b")),  # as Excel keeps them
    ((True, False), ("0", "1")),
    (("2", "0", "1"), ("0", "1", "2")),
  ],
)
def test_a_text_has_the_class_that_its_row_names(tmp_path, labels, classes):
  kind, rows = _prepare(tmp_path, _labelled(tmp_path, *labels))
  assert (kind.name, kind.classes) == ("labels", classes)
  named = lambda x: str(int(x)) if isinstance(x, bool) else str(x).strip()
  assert _classes_of(kind, rows) == {
    f"a{i}": named(x) for i, x in enumerate(labels)
  }


def test_classes_with_numbers_for_names_are_not_indices(tmp_path):
  file = _labelled(tmp_path, 1, 2, 3)
  kind, rows = _prepare(tmp_path, file, classes=["1", "2", "3"])
  assert _classes_of(kind, rows) == {"a0": "1", "a1": "2", "a2": "3"}
  with pytest.raises(UserError, match='the label "3" is none of --classes=1'):
    _prepare(tmp_path, file, classes=["1", "2"])
  kind, rows = _prepare(tmp_path, _labelled(tmp_path, 0, 1), classes=["n", "y"])
  assert _classes_of(kind, rows) == {"a0": "n", "a1": "y"}


def test_labels_that_are_missing_or_not_numbers_are_named(tmp_path):
  with pytest.raises(UserError, match="row 2: no label in 'label'"):
    _prepare(tmp_path, _labelled(tmp_path, "a", "", "b"))
  for number in (float("nan"), float("inf")):
    with pytest.raises(UserError, match="row 3: the label .* is not a number"):
      _prepare(tmp_path, _labelled(tmp_path, 0, 1, number))
  file = tmp_path / "l.csv"
  file.write_text("text;label\na;4,5\nb;3\n")
  with pytest.raises(UserError, match="'label' holds '4,5', with a decimal"):
    _prepare(tmp_path, file)


@pytest.mark.parametrize(
  "header, kind",
  [
    ("question,answer", "pairs .columns question and answer"),
    ("query,document,score", "scores .*, score in score"),
    ("query,document,label", "labels .*, label in label"),
    ("text,url,label", "labels .column text, label in label"),
  ],
)
def test_files_of_a_folder_have_the_same_columns(tmp_path, header, kind):
  folder = tmp_path / "two"
  folder.mkdir()
  (folder / "a.csv").write_text("query,document\nq,d\n")
  row = ",".join(["x", "y", "1"][: header.count(",") + 1])
  (folder / "b.csv").write_text(f"{header}\n{row}\n")
  with pytest.raises(UserError, match=f"b.csv has {kind}.*a.csv has pairs in"):
    _prepare(tmp_path, folder)
  _, rows = _prepare(tmp_path, folder, include=["a.csv"])
  assert len(rows) == 1
  (folder / "b.csv").write_text("query,document,negatives\nx,y,\n")  # as before
  assert len(_prepare(tmp_path, folder)[1]) == 2


@pytest.mark.parametrize(
  "name, content, message",
  [
    # Skipping the header would make the first row the header.
    (
      "h.csv",
      "query,réponse\nq,d\nquery,document\n".encode("cp1252"),
      "line 1: not UTF-8 .* iconv -f WINDOWS-1252",
    ),
    ("z.csv", b"PK\x03\x04\nquery,document\nq,d\n", "a zip archive"),
    ("c.tsv", b"query,document\nq,d\n", "has no tabs.* end in .csv"),
    ("UP.CSV", b"query,document\nq,d\n", "rename it: .csv in small letters"),
    ("x.csv", b"query,document\nq,d, e\n", "found 3; .* quote cells .* ','"),
    # Skipping one row of these would lose those after it.
    (
      "odd.csv",
      b'query,document\nq,d\nr,"an "odd" word"\ns,e\n',
      "row 2: not a table .* written twice",
    ),
    (
      "open.csv",
      b'query,document\nq,d\nr,"no end\ns,e\n',
      "row 2: not a table .* written twice",
    ),
  ],
)
def test_tables_that_would_be_misread_are_refused(
  tmp_path, name, content, message
):
  (tmp_path / name).write_bytes(content)
  with pytest.raises(UserError, match=message):
    _prepare(tmp_path, tmp_path / name, skip_bad="0" if name[0] == "x" else 1)


def test_separators_inside_quotes_do_not_count(tmp_path):
  file = tmp_path / "a.csv"
  file.write_text('"first; of; all","d, e"\nq,d\n')
  _, rows = _prepare(tmp_path, file, columns=["query=#1", "document=#2"])
  assert [(r["query"], r["document"]) for r in rows] == [
    ("first; of; all", "d, e"),
    ("q", "d"),
  ]


def test_labels_outside_the_named_classes_are_refused(tmp_path, capsys):
  for label in (2, -1, 0.5):
    file = _labelled(tmp_path, 0, 1, label)
    with pytest.raises(
      UserError, match=f"row 3: the label {label} is none of --classes=no,yes"
    ):
      _prepare(tmp_path, file, classes=["no", "yes"])
  _, rows = _prepare(tmp_path, _labelled(tmp_path, 0, 1), classes=["no", "yes"])
  assert [r["labels"] for r in rows] == [[0], [1]]


@pytest.mark.parametrize(
  "labels, told",
  [
    ((0, 2, 1), "label, 3 classes"),
    (("no", "yes"), "label, 2 classes"),
    ((-1, 1), "label, numbers to predict"),
    ((0.5, 1), "label, numbers to predict"),
  ],
)
def test_how_labels_are_read_is_printed(tmp_path, capsys, labels, told):
  _prepare(tmp_path, _labelled(tmp_path, *labels))
  assert f"{told}\n" in capsys.readouterr().out


def test_rows_without_any_of_many_labels_are_counted(tmp_path, capsys):
  kind, rows = _prepare(tmp_path, _labelled(tmp_path, ["a", "b"], [], ["a"]))
  assert kind.task == "multi"
  assert [r["labels"] for r in rows] == [[0, 1], [], [0]]
  out = " ".join(capsys.readouterr().out.split())
  assert "no labels (rows kept, but not trained on) 1" in out


def test_a_column_that_python_cannot_read_is_named(tmp_path):
  days = pa.array([1, 10**7], pa.int32()).cast(pa.date32())
  table = pa.table({"query": ["q", "r"], "document": ["d", "e"], "day": days})
  parquet.write_table(table, tmp_path / "a.parquet")
  with pytest.raises(UserError, match="date32.* in column 'day' that Python"):
    _prepare(tmp_path, tmp_path / "a.parquet")


@pytest.mark.parametrize(
  "flags",
  [{"columns": ["query=nothing"]}, {"label_column": "x"}, {"classes": ["a"]}],
)
def test_columns_of_a_format_that_has_none_are_refused(tmp_path, flags):
  (tmp_path / "x.txt").write_text("".join(f"line {i}\n" for i in range(9)))
  assert len(_prepare(tmp_path, tmp_path / "x.txt")[1]) == 9
  with pytest.raises(UserError, match="columns of the format text are fixed"):
    _prepare(tmp_path, tmp_path / "x.txt", **flags)
