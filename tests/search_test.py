# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The search job: its output, and when the index is rebuilt."""

import io
import json
import sys
import types

import numpy as np
import pytest

import nomic_jax
from nomic_jax.embed.embedding_model import EmbeddingModel
from nomic_jax.errors import UserError
from nomic_jax.search import answer as search_lib
from nomic_jax.search import corpus as corpus_lib


class FakeModel(EmbeddingModel):
  """Embeds a text by which of two words it has."""

  architecture = "fake"
  prompts = {"search_query": "q: ", "search_document": "d: "}
  tokenizer = types.SimpleNamespace(to_str=lambda: "tokenizer")

  def __init__(self):
    self.params = {"weights": np.ones(2, np.float32)}
    self.calls = []

  def encode(self, texts, prompt=None, normalize=True, show_progress=False):
    self.calls.append((prompt, len(texts)))
    return np.array([["red" in t, "blue" in t] for t in texts], np.float32)


@pytest.fixture(name="model")
def _model(tmp_path, monkeypatch):
  model = FakeModel()
  (tmp_path / "model").mkdir()
  monkeypatch.setattr(nomic_jax, "load", lambda path: model)
  return model


def _write_jsonl(path, rows):
  path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_hits_with_their_places(tmp_path, model, capsys):
  corpus = tmp_path / "corpus.jsonl"
  _write_jsonl(
    corpus,
    [
      {"document": "a blue thing\nmore", "location": "things.py:7"},
      {"text": "the red one " + "and so on " * 20},
      {"text": "a blue thing\nmore", "location": "copy.py:1"},
    ],
  )
  search_lib.search(f"{tmp_path}/model", corpus, ["red", "blue"], top=2)
  out = capsys.readouterr().out
  red, blue = out.split("\n? ")[1:]
  hits = red.splitlines()[1:]
  assert len(hits) == 2, "two distinct texts"
  assert hits[0].split()[0] == "1.000" and "corpus.jsonl:2" in hits[0]
  assert all(len(hit) <= 100 for hit in hits) and hits[0].endswith("…")
  assert blue.splitlines()[1].split()[:2] == ["1.000", "things.py:7"]
  assert hits[0].index("the red one") == hits[1].index("a blue thing")


def test_hits_as_json_and_nothing_else(tmp_path, model, capsys):
  corpus = tmp_path / "corpus.jsonl"
  _write_jsonl(
    corpus, [{"text": "red é\nmore", "id": 0}, {"text": "blue", "_id": "b"}]
  )
  questions = ["red", "blue"]
  search_lib.search(f"{tmp_path}/model", corpus, questions, 2, as_json=True)
  out, err = capsys.readouterr()
  red, blue = map(json.loads, out.splitlines())
  assert red == {
    "question": "red",
    "hits": [
      {"score": 1.0, "location": "0", "title": "red é"},
      {"score": 0.0, "location": "b", "title": "blue"},
    ],
  }
  assert [hit["location"] for hit in blue["hits"]] == ["b", "0"]
  assert "saved the index" in err and "\\u" not in out


def test_index_is_kept_until_something_changes(tmp_path, model, capsys):
  corpus = tmp_path / "corpus.txt"
  corpus.write_text("red\n\nblue\n")
  index = tmp_path / "index"

  def ask(question="blue"):
    model.calls.clear()
    search_lib.search(f"{tmp_path}/model", corpus, [question], 1, index)
    return capsys.readouterr().out

  assert "corpus.txt:3" in ask()
  assert ("search_document", 2) in model.calls
  assert "1.000" in ask("red")
  assert model.calls == [("search_query", 1)], "the corpus is not embedded"
  model.params["weights"][0] = 2
  assert "the model changed" in ask()
  corpus.write_text("red\nblue\ngreen\n")
  assert "the corpus changed" in ask("green")
  assert model.calls[0] == ("search_document", 3)


def test_an_int8_index_holds_a_quarter_and_finds_the_same(
  tmp_path, model, capsys, monkeypatch
):
  corpus = tmp_path / "corpus.txt"
  corpus.write_text("red\nblue\nred and blue\n")
  index = tmp_path / "index"

  def ask(**options):
    search_lib.search(
      f"{tmp_path}/model", corpus, ["blue"], 3, index, **options
    )
    return capsys.readouterr().out

  exact = ask()
  assert np.load(index / "vectors.npy").dtype == np.float32
  small = ask(precision="int8")
  assert "rebuilding, since the precision changed" in small
  assert np.load(index / "vectors.npy").dtype == np.int8
  places = lambda text: [line.split()[1] for line in text.splitlines()[-3:]]
  assert places(exact) == places(small)
  scores = [float(line.split()[0]) for line in small.splitlines()[-3:]]
  np.testing.assert_allclose(scores, [1, 0.5**0.5, 0], atol=1e-2)
  model.calls.clear()
  assert "rebuilding" not in ask(precision="int8")
  assert model.calls == [("search_query", 1)]
  assert "rebuilding, since the precision changed" in ask()
  monkeypatch.setattr(FakeModel, "by_cosine", False)
  with pytest.raises(UserError, match="--precision=int8: keeps no lengths"):
    ask(precision="int8")


def test_index_beside_the_model_knows_several_corpora(tmp_path, model):
  for name in ("one.txt", "two.txt"):
    (tmp_path / name).write_text("red\n")
    search_lib.search(f"{tmp_path}/model", tmp_path / name, ["red"])
  assert len(list((tmp_path / "model.index").iterdir())) == 2


def test_another_directory_is_not_overwritten(tmp_path, model):
  (tmp_path / "corpus.txt").write_text("red\n")
  home = tmp_path / "home"
  home.mkdir()
  (home / "letter").write_text("dear")
  with pytest.raises(UserError, match="not a search index"):
    search_lib.search(
      f"{tmp_path}/model", tmp_path / "corpus.txt", ["red"], index=home
    )
  assert (home / "letter").exists()


@pytest.mark.parametrize(
  "name, text, message",
  [
    ("none.txt", None, "none.txt: no such file"),
    ("empty.txt", "\n\n", "contains no texts"),
    ("bad.jsonl", '{"document": "red"}\n{"body": "x"}\n', "row 2.*'body'"),
    ("sheet.xlsx", "red", "unknown file format"),
  ],
)
def test_mistakes_are_one_line(tmp_path, model, name, text, message):
  if text is not None:
    (tmp_path / name).write_text(text)
  with pytest.raises(UserError, match=message):
    search_lib.search(f"{tmp_path}/model", tmp_path / name, ["red"])
  assert not (tmp_path / "model.index").exists()


def test_piped_questions_are_utf8_whatever_the_terminal_is(
  tmp_path, model, capsys, monkeypatch
):
  corpus = tmp_path / "corpus.txt"
  corpus.write_text("a blue thing\nthe red one\n")

  def ask(data):
    monkeypatch.setattr(
      sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="ascii")
    )
    search_lib.search(f"{tmp_path}/model", corpus, top=1)
    return capsys.readouterr().out

  asked = ask("\ufeff漢 red?\r\n\u3000\nblue".encode())
  assert asked.count("\n? ") == 2 and "? 漢 red?\n" in asked
  with pytest.raises(UserError, match="standard input, row 2: not UTF-8 at"):
    ask(b"red\ncaf\xe9\n")


def test_hybrid_search_fuses_words_and_vectors(tmp_path, model, capsys):
  """The model knows neither word, but BM25 finds the only lamp."""
  corpus = tmp_path / "corpus.txt"
  corpus.write_text("a red chair\na red lamp\nblue\n")

  def first(**options):
    search_lib.search(f"{tmp_path}/model", corpus, ["lamp"], 2, **options)
    return capsys.readouterr().out.splitlines()[-2]

  assert "red chair" in first()
  assert "red lamp" in (line := first(hybrid="bm25"))
  assert line.split()[0] == f"{1 / 61 + 1 / 62:.3f}"


def test_documents_of_a_beir_folder_are_called_by_their_ids(tmp_path):
  (tmp_path / "qrels").mkdir()
  (tmp_path / "corpus.jsonl").write_text(
    '{"_id": "d7", "title": "A", "text": "lamp"}\n\n'
    '{"_id": 0, "text": "red"}\n{"text": "blue"}\n'
  )
  assert list(corpus_lib.read(tmp_path)) == [
    ("A lamp", "d7"),
    ("red", "0"),
    ("blue", f"{tmp_path}/corpus.jsonl:4"),
  ]
