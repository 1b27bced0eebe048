# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The filter decides every row once, and survives being killed."""

import hashlib
import json
import re
import types

import numpy as np
import pytest

from nomic_jax.curate import decide
from nomic_jax.curate import filter as filter_lib
from nomic_jax.data import dataset
from nomic_jax.errors import UserError
from nomic_jax.search import neighbours


class BagOfWords:
  """Embeds a text as the sum of its words' vectors, which are drawn by hash.

  The prompt does not count, but must be one of `prompts`.
  """

  prompts = {"search_query": "Q: ", "search_document": "D: "}

  def __init__(self, width=64, fail_after=None):
    self.width, self.fail_after, self.seen = width, fail_after, []

  def encode(self, texts):
    if self.fail_after is not None and len(self.seen) >= self.fail_after:
      raise KeyboardInterrupt
    self.seen += texts
    assert {t[:3] for t in texts} <= set(self.prompts.values())
    vectors = np.stack([self._one(t[3:]) for t in texts])
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

  def _one(self, text):
    total = np.zeros(self.width, np.float32)
    for word in text.split():
      seed = hashlib.sha256(word.encode()).digest()[:8]
      rng = np.random.default_rng(int.from_bytes(seed, "little"))
      total += rng.standard_normal(self.width).astype(np.float32)
    return total


def _directory(path, rows, test=None):
  tokenizer = path.parent / "tokenizer"
  tokenizer.mkdir(exist_ok=True)
  (tokenizer / "tokenizer.json").write_text("{}")
  splits = {"train": rows}
  if test:
    splits["test"] = test
  dataset.write(path, splits, stats={}, tokenizer=tokenizer)
  return path


def _rows(path, split="train"):
  source = dataset.open_split(path, split)
  return [source[i] for i in range(len(source))]


def _good(n):
  return [
    dataset.row(
      f"apple{i} pear{i} plum{i}",
      f"apple{i} pear{i} fig{i}",
      source="ab"[i % 2],
      location=f"file.py:{i}",
    )
    for i in range(n)
  ]


def test_drops_shuffled_pairs_and_counts_every_row(tmp_path, capsys):
  rows = _good(40)
  for i in range(0, 8, 2):  # Swap documents: eight pairs are wrong now.
    a, b = rows[i]["document"], rows[i + 1]["document"]
    rows[i], rows[i + 1] = (
      {**rows[i], "document": b},
      {**rows[i + 1], "document": a},
    )
  data = _directory(tmp_path / "in", rows, test=_good(3))
  stats = filter_lib.filter_pairs(BagOfWords(), data, tmp_path / "out", k=1)
  kept = _rows(tmp_path / "out")
  assert [r["query"] for r in kept] == [r["query"] for r in rows[8:]]
  assert [r["location"] for r in kept] == [r["location"] for r in rows[8:]]
  assert stats["rows"] == {
    "input": 40,
    "kept": 32,
    "dropped": {"not among nearest": 8},
    "bad": {},
  }
  assert stats["sources"]["a"] == {"kept": 16, "not among nearest": 4}
  assert json.loads((tmp_path / "out/stats.json").read_text()) == stats
  assert [r["query"] for r in _rows(tmp_path / "out", "test")] == [
    r["query"] for r in _good(3)
  ]
  assert (tmp_path / "out/tokenizer/tokenizer.json").is_file()
  assert not (tmp_path / "out.parts").exists()
  model = BagOfWords()
  q = model.encode(["Q: " + r["query"] for r in kept])
  d = model.encode(["D: " + r["document"] for r in kept])
  np.testing.assert_allclose(
    [r["score"] for r in kept], (q * d).sum(1), atol=1e-6
  )
  printed = capsys.readouterr().out
  assert "32 of 40 pairs kept" in printed
  assert "dropped (not among nearest)" in printed


def test_same_document_thrice_does_not_drop_itself(tmp_path):
  rows = _good(12)
  common = "red green blue grey"
  rows += [
    dataset.row(q, common)
    for q in ("red green blue", "green blue grey", "blue grey red")
  ]
  data = _directory(tmp_path / "in", rows)
  filter_lib.filter_pairs(BagOfWords(), data, tmp_path / "out", k=2)
  assert len(_rows(tmp_path / "out")) == 15
  # Control: comparing row numbers, as the reference does, drops the third.
  model = BagOfWords()
  q = model.encode(["Q: " + r["query"] for r in rows])
  d = model.encode(["D: " + r["document"] for r in rows])
  _, found = neighbours.top_k(q, d, 2)
  naive = (found == np.arange(15)[:, None]).any(axis=1)
  assert naive.tolist() == [True] * 14 + [False]


@pytest.mark.parametrize("tells", [True, False])
def test_documents_with_equal_tokens_are_one(tmp_path, tells):

  class Uncased(BagOfWords):
    def _one(self, text):
      return super()._one(text.lower())

    if tells:
      identities = staticmethod(lambda texts: [t.lower() for t in texts])

  rows = [
    dataset.row("red green blue", "red green grey"),
    dataset.row("far away", "Red Green Blue"),
    dataset.row("far off", "RED green blue"),
    dataset.row("quite far", "red GREEN blue"),
  ]
  data = _directory(tmp_path / "in", rows)
  filter_lib.filter_pairs(Uncased(), data, tmp_path / "out", k=2)
  # One document is nearer, or three are.
  kept = [r["query"] for r in _rows(tmp_path / "out")]
  assert ("red green blue" in kept) == tells


def test_a_tie_with_the_last_is_inside(tmp_path):
  rows = [
    dataset.row("one two", "one two"),
    dataset.row("one two", "two one"),  # Another text, the same vector.
    dataset.row("far away", "three"),
  ]
  data = _directory(tmp_path / "in", rows)
  stats = filter_lib.filter_pairs(BagOfWords(), data, tmp_path / "out", k=1)
  assert stats["sources"][""]["kept"] >= 2
  assert [r["document"] for r in _rows(tmp_path / "out")][:2] == [
    "one two",
    "two one",
  ]


def test_a_tie_is_wider_than_rounding_and_no_more():
  best = np.array([[0.9, 0.5]] * 4, np.float32)
  own = np.array([0.9, 0.5 - 4e-7, 0.5 - 4e-6, 0.5 - 4e-6], np.float32)
  is_own = np.array([[True, False], [False] * 2, [False] * 2, [False, True]])
  behind = decide._behind(own, best, is_own, None)
  assert behind.tolist() == [False, False, True, False]


@pytest.mark.parametrize("size,chunks", [(1, 11), (3, 4), (10, 2), (11, 1)])
def test_chunks_lose_no_row(tmp_path, size, chunks):
  rows = _good(11)
  rows[4]["document"] = " "
  data = _directory(tmp_path / "in", rows)
  names = []
  save = filter_lib.parts.Parts.save

  def record(self, name, **arrays):
    names.append((name, len(arrays["decision"])))
    save(self, name, **arrays)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(filter_lib.parts.Parts, "save", record)
    stats = filter_lib.filter_pairs(
      BagOfWords(), data, tmp_path / "out", chunk_size=size
    )
  assert stats["rows"] == {
    "input": 11,
    "kept": 10,
    "dropped": {},
    "bad": {"empty text": 1},
  }
  sizes = [n for _, n in names]
  assert len(sizes) == chunks and sum(sizes) == 11
  assert max(sizes) <= size and max(sizes) - min(sizes) <= 1


def test_similarity_and_margin(tmp_path):
  rows = [
    dataset.row("a b c d", "a b c d"),
    dataset.row("e f g h", "e f x y"),  # Weak.
    dataset.row("a b c z", "a b m n"),  # "a b c d" is nearer, by 0.25.
  ]
  data = _directory(tmp_path / "in", rows)

  def kept(name, k=1, **flags):
    filter_lib.filter_pairs(
      BagOfWords(4096), data, tmp_path / name, k=k, **flags
    )
    return [r["query"] for r in _rows(tmp_path / name)]

  assert len(kept("two", k=2)) == 3
  assert kept("one") == ["a b c d", "e f g h"]
  assert len(kept("near", margin=0.3)) == 3
  assert kept("not near", margin=0.2) == ["a b c d", "e f g h"]
  assert kept("similar", k=2, minimum_similarity=0.7) == ["a b c d"]
  assert len(kept("any", k=0, minimum_similarity=0.4)) == 3
  assert kept("alone", k=0, minimum_similarity=0.7) == ["a b c d"]


@pytest.mark.parametrize("fail_after", [1, 7, 8, 25, 40, 44])
def test_killed_then_resumed_embeds_nothing_twice(
  tmp_path, monkeypatch, fail_after
):
  monkeypatch.setattr(filter_lib.embeddings, "PIECE", 4)
  rows = _good(24)
  rows[3]["document"] = rows[20]["document"]
  data = _directory(tmp_path / "in", rows)
  whole = BagOfWords()
  want = filter_lib.filter_pairs(whole, data, tmp_path / "whole", chunk_size=8)
  killed, resumed = BagOfWords(fail_after=fail_after), BagOfWords()
  with pytest.raises(KeyboardInterrupt):
    filter_lib.filter_pairs(killed, data, tmp_path / "out", chunk_size=8)
  assert not (tmp_path / "out").exists()
  got = filter_lib.filter_pairs(resumed, data, tmp_path / "out", chunk_size=8)
  assert got == want
  assert killed.seen + resumed.seen == whole.seen
  assert repr(_rows(tmp_path / "out")) == repr(_rows(tmp_path / "whole"))
  assert not (tmp_path / "out.parts").exists()


@pytest.mark.parametrize(
  "place,name",
  [
    (filter_lib.parts.Parts, "save"),
    (filter_lib.parts.Parts, "discard"),
    (filter_lib.rewrite, "write"),
    (filter_lib.parts.Parts, "remove"),
  ],
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_around_a_step(tmp_path, monkeypatch, place, name, when):
  data = _directory(tmp_path / "in", _good(16))
  model, step = BagOfWords(), getattr(place, name)

  def killed(*args, **kwargs):
    if when == "after":
      step(*args, **kwargs)
    raise KeyboardInterrupt

  monkeypatch.setattr(place, name, killed)
  with pytest.raises(KeyboardInterrupt):
    filter_lib.filter_pairs(model, data, tmp_path / "out", chunk_size=8)
  monkeypatch.undo()
  stats = filter_lib.filter_pairs(model, data, tmp_path / "out", chunk_size=8)
  assert stats["rows"]["kept"] == len(_rows(tmp_path / "out")) == 16
  assert len(model.seen) == len(set(model.seen)) == 32
  assert sorted(p.name for p in tmp_path.iterdir()) == [
    "in",
    "out",
    "tokenizer",
  ]


def test_complete_or_other_arguments(tmp_path, capsys):
  data = _directory(tmp_path / "in", _good(6))
  first = filter_lib.filter_pairs(BagOfWords(), data, tmp_path / "out")
  again = BagOfWords()
  assert filter_lib.filter_pairs(again, data, tmp_path / "out") == first
  assert not again.seen
  assert "already complete" in capsys.readouterr().out
  with pytest.raises(UserError, match="k was 2, now 3"):
    filter_lib.filter_pairs(again, data, tmp_path / "out", k=3)
  other = _directory(tmp_path / "other", _good(7))
  with pytest.raises(UserError, match="the content of its input was different"):
    filter_lib.filter_pairs(again, other, tmp_path / "out")
  with pytest.raises(UserError, match="not made by nomic-jax filter"):
    filter_lib.filter_pairs(again, data, other)
  with pytest.raises(KeyboardInterrupt):
    filter_lib.filter_pairs(BagOfWords(fail_after=0), data, tmp_path / "late")
  with pytest.raises(UserError, match="interrupted job.*k was 2, now 3"):
    filter_lib.filter_pairs(again, data, tmp_path / "late", k=3)


def test_model_by_path_is_loaded_only_if_there_is_something_to_do(
  tmp_path, monkeypatch
):
  data = _directory(tmp_path / "in", _good(6))
  (tmp_path / "model").mkdir()
  loads = []

  def load(path, dtype):
    loads.append((path, dtype))
    return BagOfWords()

  monkeypatch.setattr("nomic_jax.load", load)
  for _ in range(2):
    filter_lib.filter_pairs(
      tmp_path / "model", data, tmp_path / "out", chunk_size=2
    )
  assert loads == [(str(tmp_path / "model"), "float32")]
  (tmp_path / "model/config.json").write_text("{}")
  with pytest.raises(UserError, match="the content of its model was different"):
    filter_lib.filter_pairs(
      tmp_path / "model", data, tmp_path / "out", chunk_size=2
    )


class NotANumber(BagOfWords):
  def _one(self, text):
    return super()._one(text) * (np.nan if "fig3" in text else 1)


def test_clear_errors(tmp_path):
  data = _directory(tmp_path / "in", _good(6))
  with pytest.raises(UserError, match="train, row 3, document: .* not finite"):
    filter_lib.filter_pairs(NotANumber(), data, tmp_path / "out")
  with pytest.raises(UserError, match="all parameters .* finite; check this t"):
    model = NotANumber()
    model.params = {"a": np.zeros(2)}
    filter_lib.filter_pairs(model, data, tmp_path / "again")
  with pytest.raises(UserError, match="same as --input"):
    filter_lib.filter_pairs(BagOfWords(), data, data)
  with pytest.raises(UserError, match="no such directory"):
    filter_lib.filter_pairs(
      str(tmp_path / "model"), data, tmp_path / "elsewhere"
    )
  with pytest.raises(UserError, match="k=0"):
    filter_lib.filter_pairs(BagOfWords(), data, tmp_path / "elsewhere", k=0)
  with pytest.raises(UserError, match="k=-1"):
    filter_lib.filter_pairs(BagOfWords(), data, tmp_path / "elsewhere", k=-1)
  with pytest.raises(UserError, match="every pair .* was dropped"):
    filter_lib.filter_pairs(
      BagOfWords(), data, tmp_path / "none", minimum_similarity=2.0
    )
  assert not (tmp_path / "none").exists()


class Numbers:
  """Embeds "PROMPTn" as the unit vector at n degrees, and records prompts."""

  def __init__(self, prompts):
    self.prompts, self.seen = prompts, set()

  def encode(self, texts):
    split = [re.fullmatch(r"(.*?)(\d+)", t) for t in texts]
    self.seen |= {m[1] for m in split}
    angles = np.radians([float(m[2]) for m in split])
    return np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)


def _mixed(path):
  """Two sources; each query is nearest to a document of the other one."""
  rows = [
    dataset.row(f"{q}", f"{d}", source=s)
    for q, d, s in (
      (10, 14, "search"),
      (12, 10, "clusters"),
      (80, 84, "search"),
      (82, 80, "clusters"),
    )
  ]
  _directory(path, rows)
  written = json.loads((path / "sources.json").read_text())
  written["prompts"] = {"clusters": {"query": "c: ", "document": "c: "}}
  (path / "sources.json").write_text(json.dumps(written))
  return path


def test_each_source_has_its_prompts_and_competes_under_them(tmp_path):
  data = _mixed(tmp_path / "in")
  run = lambda name, model, **flags: filter_lib.filter_pairs(
    model, data, tmp_path / name, k=1, **flags
  )["rows"]["kept"]
  knows = Numbers(
    {"search_query": "q: ", "search_document": "d: ", "clustering": "c: "}
  )
  assert run("known", knows) == 4 and knows.seen == {"q: ", "d: ", "c: "}
  stranger = Numbers({"search_query": "query: "})
  # With the model's own prompt, all sources compete: 14 loses to 10.
  assert run("own", stranger) == 2 and stranger.seen == {"query: ", ""}
  none = types.SimpleNamespace(encode=Numbers({}).encode)
  assert run("none", none) == 2
  assert run("within", none, within_source=True) == 4
  told = Numbers({"search_query": "q: "})
  run("told", told, query_prompt="ask: ", document_prompt="")
  assert told.seen == {"ask: ", ""}
  prompts = json.loads((tmp_path / "known/sources.json").read_text())["prompts"]
  assert prompts == {"clusters": {"query": "c: ", "document": "c: "}}


def test_report(tmp_path, monkeypatch, capsys):
  rows = _good(70)
  rows[0], rows[1] = (
    {**rows[0], "document": rows[1]["document"]},
    {**rows[1], "document": rows[0]["document"]},
  )
  data = _directory(tmp_path / "in", rows)
  monkeypatch.setattr(
    filter_lib.similarity_report.importlib.util, "find_spec", lambda name: None
  )
  filter_lib.filter_pairs(BagOfWords(), data, tmp_path / "out", k=1)
  report = (tmp_path / "out/report.md").read_text()
  assert re.search(r"\n  a +35 +34 +97.1%  not among nearest 1\n", report)
  assert "dropped (not among nearest), similarity" in report
  assert f"  document  {rows[0]['document']}\n" in report
  assert f"  nearest   {rows[1]['document']}\n" in report  # its own, before
  assert "pip install matplotlib" in capsys.readouterr().out
  assert not (tmp_path / "out/similarity.png").exists()
  monkeypatch.undo()
  pytest.importorskip("matplotlib")
  filter_lib.filter_pairs(BagOfWords(), data, tmp_path / "drawn", k=1)
  picture = (tmp_path / "drawn/similarity.png").read_bytes()
  assert picture.startswith(b"\x89PNG") and len(picture) > 10_000


def test_a_smaller_store_reports_its_recall(tmp_path):
  data = _directory(tmp_path / "in", _good(40))
  stats = filter_lib.filter_pairs(
    BagOfWords(), data, tmp_path / "out", store="int8"
  )
  assert stats["rows"]["kept"] == 40 and 0.7 < stats["recall"] <= 1
  with pytest.raises(UserError, match="store=int9.*Did you mean 'int8'"):
    filter_lib.filter_pairs(BagOfWords(), data, tmp_path / "no", store="int9")


def test_rows_without_queries_are_refused_before_the_work(tmp_path):
  for name, more in (("text", {}), ("labels", {"labels": [1.0]})):
    data = _directory(
      tmp_path / name, [dataset.row("", f"apple{i}", **more) for i in range(3)]
    )
    model = BagOfWords()
    with pytest.raises(UserError, match=f"single texts .{name}., but filter"):
      filter_lib.filter_pairs(model, data, tmp_path / "out")
    assert not model.seen and not list(tmp_path.glob("out*"))
  # Pairs with classes have queries.
  pairs = [row | {"labels": [1.0]} for row in _good(8)]
  data = _directory(tmp_path / "pairs", pairs)
  stats = filter_lib.filter_pairs(BagOfWords(), data, tmp_path / "out")
  assert stats["kind"]["name"] == "labels"
