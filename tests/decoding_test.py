# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Invalid UTF-8 wherever text is read."""

import codecs
import gzip
import io
import json
import os
import pathlib
import subprocess
import sys

import pyarrow as pa
from pyarrow import parquet as pq
import pytest
from support import small_data
from support import tiny

from nomic_jax.curate import corpus as corpora
from nomic_jax.curate.contamination import Evaluation
from nomic_jax.data import dataset
from nomic_jax.data.prepare import prepare
from nomic_jax.data.readers import beir as beir_reader
from nomic_jax.data.readers import Columns
from nomic_jax.data.readers import find
from nomic_jax.data.readers import Rows
from nomic_jax.errors import UserError
from nomic_jax.evaluation import beir
from nomic_jax.evaluation import tasks
from nomic_jax.report.evaluate import evaluate
from nomic_jax.search import corpus
from nomic_jax.storage import decoding
from nomic_jax.storage import formats
from nomic_jax.storage import keys
from nomic_jax.storage import rows
from nomic_jax.text import tokenizer as tokenizer_lib

BOM = codecs.BOM_UTF8


@pytest.mark.parametrize(
  "data, expected",
  [
    (b"a\nb\n", "a b"),
    (b"a\r\nb\r\n", "a b"),
    (b"a\rb\r", "a b"),
    (b"a\n\nb", "a  b"),
    (b"a", "a"),
    (b"", ""),
    (b"\n", ""),
    ("a\u2028\x85b\x0b\x0c\x1cc\nd".encode(), "a\u2028\x85b\x0b\x0c\x1cc d"),
    (b"a\rb\nc", "a\rb c"),  # CR inside a file whose lines end in LF
    (b"a\0\nb", "a\0 b"),
  ],
)
def test_lines(data, expected):
  found = [text.decode() for _, text in decoding.lines(io.BytesIO(data))]
  assert " ".join(found) == expected
  # A single line end is one empty line; an empty file has no line.
  assert len(found) == (expected.count(" ") + 1 if data else 0)


def test_a_line_that_is_too_long_is_skipped():
  stream = io.BytesIO(b"12345\n123\n123456789012\nx")
  assert list(decoding.lines(stream, 6)) == [
    (1, b"12345"),
    (2, b"123"),
    (3, None),
    (4, b"x"),
  ]


@pytest.mark.parametrize(
  "encoding, message",
  [
    ("utf-16", "f, row 1: UTF-16, not UTF-8; convert .* iconv -f UTF-16"),
    ("utf-16-le", "f, row 1: mostly NUL bytes, as in UTF-16"),
    ("utf-32", "f, row 1: UTF-32, not UTF-8"),
    ("latin-1", r"f, row 1: not UTF-8 at byte 3 \(0xe9; perhaps Latin-1"),
  ],
)
def test_other_encodings_are_named(encoding, message):
  with pytest.raises(UserError, match=message):
    decoding.decode("café au lait".encode(encoding), "f, row 1")
  assert decoding.decode(BOM + "café".encode(), "f") == "café"
  with pytest.raises(UserError, match="^f: not UTF-8 but .* an Excel workbook"):
    decoding.decode(b"PK\x03\x04" + bytes(20), "f")
  assert decoding.decode(b"PAR1 PK", "f") == "PAR1 PK"


def _beir(folder):
  (folder / "qrels").mkdir(parents=True)
  (folder / "corpus.jsonl").write_text(
    '{"_id": "d1", "text": "a river of copper"}\n'
    '{"_id": "d2", "text": "a lamp in the garden"}\n'
  )
  (folder / "queries.jsonl").write_text(
    '{"_id": "q1", "text": "copper \\ud83d river"}\n'
    '{"_id": "q2", "text": "garden lamp"}\n'
  )
  (folder / "qrels" / "test.tsv").write_text(
    "query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td2\t1\n"
  )
  return folder


# Every function that reads the user's text, applied to a file in a folder.
def _task(folder):
  task = beir.read(_beir(folder / "beir"), "beir")
  return [*task.queries, *task.documents]


def _table(name, content):
  def read(folder):
    (folder / name).write_text(content, encoding="utf-8")
    _, found = rows.read(
      folder,
      "test",
      {"sentence1": rows.TEXT, "sentence2": rows.TEXT, "score": rows.NUMBER},
    )
    assert [r["score"] for r in found] == [4, 0]
    return [t for r in found for t in (r["sentence1"], r["sentence2"])]

  return read


def _corpus(folder):
  (folder / "c.jsonl").write_text('{"text": "copper \\ud83d river"}\n')
  return [text for text, _ in corpus.read(folder / "c.jsonl")]


def _lines_of_text(folder):
  (folder / "c.txt").write_text("a river\na river\n")
  texts = [text for text, _ in corpus.read(folder / "c.txt")]
  assert len(set(texts)) == 1
  return texts + list(formats.texts(folder / "c.txt", "text"))


def _column(folder):
  (folder / "c.jsonl").write_text('{"text": "copper \\ud83d river"}\n')
  return list(formats.texts(folder / "c.jsonl", "text"))


def _against(folder):
  (folder / "c.jsonl").write_text('{"text": "copper \\ud83d river"}\n')
  found = Evaluation([str(folder / "c.jsonl")], 8, 0.5)
  assert found.find("", "Copper river").share == 1
  return [text for text, _ in found.texts]


def _against_beir(folder):
  return [
    text for text, _ in Evaluation([str(_beir(folder / "beir"))], 8, 0.5).texts
  ]


def _mined(folder):
  corpora.copy([str(_beir(folder / "beir"))], folder / "others")
  return list(corpora.Others(folder / "others"))


def _beir_reader(folder):
  _beir(folder / "beir")
  return [x for both in beir_reader.corpus(str(folder / "beir")) for x in both]


def _prepared(folder):
  (folder / "s.jsonl").write_text(
    '{"query": "copper river", "document": "a river"}\n' * 2
  )
  return [
    r[k]
    for r in Rows(find(str(folder / "s.jsonl"), Columns()), None, 0)
    for k in ("query", "document")
  ]


def _prepared_text(folder):
  (folder / "s.txt").write_text("copper river\na river\n")
  return [
    r["document"] for r in Rows(find(str(folder / "s.txt"), Columns()), None, 0)
  ]


def _json(folder):
  (folder / "config.json").write_text('{"copper \\ud83d": ["river"]}')
  return list(keys.read_json(folder / "config.json"))


READERS = {
  "beir": _task,
  "corpus": _corpus,
  "text": _lines_of_text,
  "column": _column,
  "against": _against,
  "against_beir": _against_beir,
  "mined": _mined,
  "beir_reader": _beir_reader,
  "prepared": _prepared,
  "prepared_text": _prepared_text,
  "json": _json,
  "jsonl": _table(
    "test.jsonl",
    (
      '{"sentence1": "a \\ud83d", "sentence2": "b", "score": 4}\n'
      '{"sentence1": "c", "sentence2": "d\\u2028\u2028", "score": 0}\n'
    ),
  ),
  "csv": _table("test.csv", 'sentence1,sentence2,score\na,"b\nc",4\nd,e,0\n'),
  "csv;": _table("test.csv", "sentence1;sentence2;score\na,a;b;4\nd;e;0\n"),
  "csv tab": _table(
    "test.csv", "sentence1\tsentence2\tscore\na,a\tb\t4\nd\te\t0\n\t\t\n"
  ),
  "tsv": _table("test.tsv", 'sentence1\tsentence2\tscore\na\t"b\t4\nd\te\t0\n'),
}


def _with_every_file(monkeypatch, change):
  """Changes the bytes of files that are written as text."""

  def write(path, text, encoding="utf-8"):
    path.write_bytes(change(text.encode(encoding)))

  monkeypatch.setattr(pathlib.Path, "write_text", write)


@pytest.mark.parametrize("name", READERS)
def test_what_is_read_can_be_written(tmp_path, name):
  for text in READERS[name](tmp_path):
    text.encode("utf-8")


@pytest.mark.parametrize("name", READERS)
def test_a_byte_order_mark_and_other_line_ends_change_nothing(
  tmp_path, monkeypatch, name
):
  plain = tmp_path / "plain"
  plain.mkdir()
  expected = READERS[name](plain)
  for i, change in enumerate(
    (
      lambda data: BOM + data,
      lambda data: data.replace(b"\n", b"\r\n"),
      lambda data: BOM + data.rstrip(b"\n").replace(b"\n", b"\r"),
    )
  ):
    with monkeypatch.context() as patch:
      _with_every_file(patch, change)
      (tmp_path / str(i)).mkdir()
      assert READERS[name](tmp_path / str(i)) == expected


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_another_encoding_is_one_line_with_file_and_row(
  tmp_path, monkeypatch, name, encoding
):
  if encoding == "utf-16":
    change = lambda data: data.decode().encode("utf-16")
  else:
    change = lambda data: data.replace(b"river", b"r\xefver").replace(
      b"d", b"\xed"
    )
  _with_every_file(monkeypatch, change)
  with pytest.raises(UserError, match=rf"{tmp_path}.*UTF-8") as error:
    READERS[name](tmp_path)
  assert "\n" not in str(error.value)
  assert (
    name == "json"
    or ", row " in str(error.value)
    or (", line " in str(error.value))
  )


def test_long_cells_and_a_quote_without_its_partner(tmp_path):
  (tmp_path / "test.csv").write_text(
    "sentence1,sentence2,score\n" + "a " * 70_000 + ",b,1\nc,d,2\n"
  )
  found = tasks.find([str(tmp_path)])[0]
  assert len(found.first[0]) == 140_000 and found.first[1] == "c"
  (tmp_path / "test.csv").write_text(
    'sentence1,sentence2,score\na,b,1\n"c,d,2\ne,f,3\n'
  )
  with pytest.raises(UserError, match="test.csv, row 2: not a table"):
    rows.read(tmp_path, "test", {"sentence1": rows.TEXT})


def test_an_evaluation_of_half_a_surrogate_pair_is_written(tmp_path):
  output = tmp_path / "s.json"
  evaluate([], [str(_beir(tmp_path / "beir"))], str(output), ["bm25"])
  assert output.with_suffix(".html").stat().st_size
  assert output.with_suffix(".md").stat().st_size


@pytest.mark.parametrize("data", [b"", b"\n\r\n", BOM, "\u3000\n".encode()])
def test_empty_files(tmp_path, data):
  for name in ("a.jsonl", "a.txt"):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=f"{name}: has no rows"):
      list(Rows(find(str(tmp_path / name), Columns()), None, 0))
  (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(data))
  assert not list(formats.each(tmp_path / "a.jsonl.gz"))


def test_lines_that_look_blank_are_skipped(tmp_path):
  source = tmp_path / "w.txt"
  source.write_text("a\n\u3000\n\u00a0\n\u200b\nb\n", encoding="utf-8")
  found = list(Rows(find(str(source), Columns()), None, 0))
  assert [r["document"] for r in found] == ["a", "b"]
  assert found[1]["location"].endswith("w.txt:5")


def test_names_that_are_not_utf8(tmp_path):
  name = os.fsdecode(b"\xe9.jsonl")
  try:
    source = small_data.write_jsonl(tmp_path / name)
  except OSError:
    pytest.skip("this file system takes no such names")
  prepare(str(source), tmp_path / "out", vocab_size=150, held_out=0.1)
  row = dataset.open_split(tmp_path / "out", "train")[0]
  assert row["source"] == "\ufffd" and "\ufffd.jsonl:" in row["location"]
  again = prepare(str(source), tmp_path / "out", vocab_size=150, held_out=0.1)
  assert again["arguments"]["source"] == str(source)
  with pytest.raises(UserError, match="this path is not UTF-8") as error:
    prepare(str(source), tmp_path / f"{name}.out", vocab_size=150)
  str(error.value).encode()


def test_a_model_in_a_folder_whose_name_is_not_utf8(tmp_path):
  folder = tmp_path / os.fsdecode(b"\xe9")
  tokenizer_lib.save(tiny.words(), folder)
  assert tokenizer_lib.load(folder).to_str() == tiny.words().to_str()
  (folder / "tokenizer.json").write_bytes(
    BOM + (folder / "tokenizer.json").read_bytes()
  )
  assert tokenizer_lib.load(folder).to_str() == tiny.words().to_str()
  (folder / "c.jsonl").write_text('{"text": "a"}\n')
  assert list(formats.texts(folder / "c.jsonl", "text")) == ["a"]
  pq.write_table(pa.table({"text": ["a"]}), tmp_path / "c.parquet")
  (tmp_path / "c.parquet").rename(folder / "c.parquet")
  assert list(formats.texts(folder / "c.parquet", "text")) == ["a"]
  with pytest.raises(
    UserError, match="so a work directory cannot be written there"
  ):
    decoding.check_name(folder / "w", "a work directory")
  decoding.check_name(tmp_path / "é", "a work directory")


@pytest.mark.slow
def test_a_terminal_that_shows_ascii(tmp_path):
  """The report also handles names of systems and tasks that are not UTF-8."""
  name = os.fsdecode(b"\xe9")
  task = _beir(tmp_path / "beir").rename(tmp_path / name)
  ran = subprocess.run(
    [
      sys.executable,
      "-m",
      "nomic_jax.main",
      "evaluate",
      "--baseline=bm25",
      f"--tasks=–{name}={task}",
      f"--output={tmp_path}/b.json",
    ],
    env={**os.environ, "PYTHONIOENCODING": "ascii"},
    capture_output=True,
  )
  assert ran.returncode == 0, ran.stderr
  assert (
    b"bm25" in ran.stdout
    and json.loads((tmp_path / "b.json").read_bytes())["models"]
  )
