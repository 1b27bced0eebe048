# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Every job reads the tables that prepare reads, and says what it omits."""

import json

import ml_collections
import pytest
from support import small_data
from support import tiny

from nomic_jax.curate import rewrite
from nomic_jax.curate.clean import clean
from nomic_jax.data import dataset
from nomic_jax.data import kinds
from nomic_jax.data import lengths
from nomic_jax.data.prepare import prepare
from nomic_jax.errors import UserError
from nomic_jax.evaluation import pairs
from nomic_jax.evaluation import retrieval
from nomic_jax.evaluation import tasks
from nomic_jax.search import corpus


def test_a_table_is_a_task(tmp_path):
  file = tmp_path / "mine.csv"
  file.write_text("Sentence1;Sentence2;Score\na;b;1\nc;d;2\n")
  (task,) = tasks.find([str(file)])
  assert isinstance(task, pairs.StsTask) and task.name == "mine"
  assert (task.first, task.second, task.gold) == (
    ["a", "c"],
    ["b", "d"],
    [1.0, 2.0],
  )
  file.write_text("question,answer\na,b\nc,d\na,e\n")
  (task,) = tasks.find([f"own={file}"])
  assert isinstance(task, retrieval.RetrievalTask) and task.name == "own"
  assert task.relevant == [[0, 2], [1], [0, 2]]
  file.write_text("text,label\na,1\n")
  with pytest.raises(UserError, match="its rows are labels; expected pairs or"):
    tasks.find([str(file)])
  file.write_text("sentence1,sentence2,score\na,b,1\nc,d,1\n")
  with pytest.raises(UserError, match="score of every pair is 1; a cor"):
    tasks.find([str(file)])


def test_a_corpus_is_a_table_or_markdown(tmp_path):
  (tmp_path / "a.csv").write_text("id;body\n1;first\n2;second\n")
  assert [t for t, _ in corpus.read(tmp_path / "a.csv")] == ["first", "second"]
  parquet = pytest.importorskip("pyarrow.parquet")
  import pyarrow

  table = pyarrow.table({"document": ["x", "y"]})
  parquet.write_table(table, tmp_path / "a.parquet")
  assert [t for t, _ in corpus.read(tmp_path / "a.parquet")] == ["x", "y"]
  docs = tmp_path / "docs" / "deep"
  docs.mkdir(parents=True)
  (docs / "a.md").write_text("# Top\n\nwords\n\n## Under\n\nmore\n")
  for path in (docs / "a.md", tmp_path / "docs"):
    assert list(corpus.read(path)) == [
      ("Top\nwords", f"{docs}/a.md:1"),
      ("Top: Under\nmore", f"{docs}/a.md:5"),
    ]


@pytest.mark.parametrize("count, whole", [(40, True), (40, False)])
def test_few_held_out_queries_are_asked_of_all_documents(
  tmp_path, count, whole, monkeypatch
):
  if not whole:
    monkeypatch.setattr(retrieval, "WHOLE", 10)
  source = small_data.write_jsonl(tmp_path / "a.jsonl", count)
  with open(source, "a") as stream:
    stream.write(json.dumps({"query": "one", "document": "THE same"}) + "\n")
    stream.write(json.dumps({"query": "two", "document": "the same"}) + "\n")
  prepare(str(source), tmp_path / "data", vocab_size=100, held_out=0.2)
  task = retrieval.read_task(tmp_path / "data")
  held_out = len(dataset.open_split(tmp_path / "data", "test"))
  assert len(task.queries) == held_out
  rows = count + 2
  # Copies are one document, unless both are held out.
  assert len(task.documents) in ((rows - 1, rows) if whole else (held_out,))
  assert task.relevant == retrieval.relevance(
    task.queries, task.documents[:held_out]
  )


def _data(**options):
  return ml_collections.ConfigDict(
    dict(
      kind="pairs",
      split="train",
      row_length=64,
      query_length=8,
      document_length=64,
      query_prompt="",
      document_prompt="",
    )
    | options
  )


def test_rows_follow_their_texts_and_what_is_cut_is_said(tmp_path):
  data = _data(document_length=96)
  assert "row_length: raised from 64 to 96, since config.data.doc" in (
    lengths.fit(data)
  )
  assert data.row_length == 96 and lengths.fit(data) == ""
  assert lengths.fit(_data()) == "" == lengths.fit(_data(kind="text"))
  source = tmp_path / "a.jsonl"
  words = tiny.WORDS
  source.write_text(
    "".join(
      json.dumps({"query": "alpha", "document": " ".join(words[: 1 + i % 10])})
      + "\n"
      for i in range(100)
    )
  )
  prepare(
    str(source), tmp_path / "out", vocab_size=99, held_out=0, keep_copies=True
  )
  tokenizer = tiny.words()
  of = lambda **options: lengths.truncated(
    _data(path=str(tmp_path / "out"), **options), tokenizer
  )
  assert of() == ""
  # Of 1 to 10 words and two ends, 3 to 12 tokens, 4 of 10 have more than 8.
  assert of(document_length=8).startswith(
    "truncated: 40.0% of the documents, at 8 tokens (document_length)"
  )
  assert "100.0% of the queries, at 2 tokens" in of(query_length=2)
  data = _data(path=str(tmp_path / "out"))
  assert lengths.unknown(data, tokenizer) == ""
  source.write_text(
    "".join(
      json.dumps(
        {"query": f"\u65e5\u672c {i}", "document": "\u6771\u4eac " * i}
      )
      + "\n"
      for i in range(1, 9)
    )
  )
  prepare(
    str(source), tmp_path / "out", vocab_size=99, held_out=0, overwrite=True
  )
  assert "document tokens are [UNK]" in lengths.unknown(data, tokenizer)


def test_a_kind_outlives_curation(tmp_path, capsys):
  source = tmp_path / "a.csv"
  lines = [f"text {i} of it,other {i},{i % 3}" for i in range(9)]
  source.write_text("\n".join(["sentence1,sentence2,score", *lines]))
  prepare(str(source), tmp_path / "in", vocab_size=60, held_out=0)
  clean(tmp_path / "in", tmp_path / "out")
  assert kinds.of(tmp_path / "out") == kinds.of(tmp_path / "in")
  with pytest.raises(UserError, match="have scores to train on, which filter"):
    rewrite.check_kind(tmp_path / "in", "filter")
