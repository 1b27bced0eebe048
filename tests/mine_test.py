# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Mined negatives are near and never a positive; mining survives kills."""

import json
import math

import numpy as np
import pytest

from nomic_jax import jobs
from nomic_jax.curate import corpus as corpus_lib
from nomic_jax.curate import mine
from nomic_jax.data import dataset
from nomic_jax.data import kinds
from nomic_jax.errors import UserError


class Angles:
  """Embeds "Q: name@30" or "D: name@30" as the unit vector at 30 degrees."""

  prompts = {"search_query": "Q: ", "search_document": "D: "}

  def __init__(self, fail_after=None):
    self.fail_after, self.seen = fail_after, []

  def encode(self, texts):
    if self.fail_after is not None and len(self.seen) >= self.fail_after:
      raise KeyboardInterrupt
    self.seen += texts
    assert {t[:3] for t in texts} <= set(self.prompts.values())
    angles = np.radians([float(t.split("@")[1]) for t in texts])
    return np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)


def _cos(degrees):
  return math.cos(math.radians(degrees))


def _directory(path, rows, test=None):
  tokenizer = path.parent / "tokenizer"
  tokenizer.mkdir(exist_ok=True)
  (tokenizer / "tokenizer.json").write_text("{}")
  dataset.write(
    path,
    {"train": rows, "test": test or rows[:1]},
    stats={},
    tokenizer=tokenizer,
  )
  return path


def _rows(path, split="train"):
  source = dataset.open_split(path, split)
  return [source[i] for i in range(len(source))]


def _mined(tmp_path, rows, name="out", **flags):
  data = tmp_path / "in"
  if not data.exists():
    _directory(data, rows)
  stats = mine.mine_negatives(Angles(), data, tmp_path / name, **flags)
  return _rows(tmp_path / name), stats


_FAN = [
  dataset.row("q@0", "answer@10", location="f.py:1"),
  dataset.row("q@0", "second@20"),  # Another answer to the same query.
  dataset.row("same@12", "twin@50"),
  dataset.row("other@100", "same@12"),  # A document equal to a query.
  dataset.row("more@120", "near@25"),
  dataset.row("most@140", "far@60"),
  dataset.row("last@160", "answer@10"),  # The first answer's text again.
]


def test_nearest_without_positives_and_own_text(tmp_path):
  rows, stats = _mined(tmp_path, _FAN, negatives=2, margin=None)
  by_query = {r["query"]: r for r in rows}
  # The answers of q@0 are at 10 and 20, so its nearest negatives are 12 and 25.
  for row in rows[:2]:
    assert row["negatives"] == ["same@12", "near@25"]
    np.testing.assert_allclose(
      row["negative_scores"], [_cos(12), _cos(25)], atol=1e-6
    )
  assert rows[0]["score"] == pytest.approx(_cos(10), abs=1e-6)
  assert rows[1]["score"] == pytest.approx(_cos(20), abs=1e-6)
  assert rows[0]["location"] == "f.py:1"
  # A query's own text is no negative, however near.
  assert by_query["same@12"]["negatives"] == ["answer@10", "second@20"]
  assert stats["rows"] == {"input": 7, "kept": 7, "dropped": {}, "bad": {}}
  assert stats["negatives"] == {"mined": 14, "random": 0, "missing": 0}
  assert [r["query"] for r in _rows(tmp_path / "out", "test")] == ["q@0"]
  assert (tmp_path / "out/tokenizer/tokenizer.json").is_file()
  assert not (tmp_path / "out.parts").exists()


def test_margin_is_a_share_of_the_least_similar_positive(tmp_path):
  limit = 0.95 * _cos(20)  # 0.893: 25 degrees (0.906) is too near.
  assert _cos(25) > limit > _cos(50)
  rows, _ = _mined(tmp_path, _FAN, negatives=2, margin=0.95)
  assert rows[0]["negatives"] == rows[1]["negatives"] == ["twin@50", "far@60"]
  rows, _ = _mined(tmp_path, _FAN, "loose", negatives=2, margin=0.97)
  assert rows[0]["negatives"] == ["near@25", "twin@50"]


def test_the_command_takes_no_margin_as_none():
  command = ["mine", "--model=m", "--input=i", "--output=o"]
  parser, _ = jobs.parser()
  margin = lambda *more: parser.parse_args([*command, *more]).margin
  assert (margin(), margin("--margin=0.9"), margin("--margin=none")) == (
    0.95,
    0.9,
    None,
  )


def test_margin_below_zero_is_stricter_too(tmp_path):
  # The positive is at 120 degrees, -0.5. 95 % of it would be -0.475, which
  # would allow a candidate nearer than the positive (119 degrees, -0.485).
  rows = [
    dataset.row("q@0", "positive@120"),
    dataset.row("x@200", "a@119"),
    dataset.row("y@210", "b@160"),
  ]
  got, _ = _mined(tmp_path, rows, negatives=1, margin=0.95)
  assert got[0]["negatives"] == ["b@160"]


def test_window_skips_the_nearest(tmp_path):
  rows, _ = _mined(tmp_path, _FAN, negatives=2, margin=None, skip=1)
  assert rows[0]["negatives"] == ["near@25", "twin@50"]
  rows, _ = _mined(
    tmp_path, _FAN, "shallow", negatives=2, margin=None, depth=2, short="keep"
  )
  assert rows[0]["negatives"] == ["same@12"]  # The other one is its positive.


def test_too_few_negatives_are_filled_dropped_or_kept(tmp_path):
  # All documents but one are within the margin of q@0's answer.
  rows = (
    [dataset.row("q@0", "a@30")]
    + [dataset.row(f"q@{90 + i}", f"d@{i}") for i in range(9)]
    + [dataset.row("z@180", "e@90")]
  )
  filled, stats = _mined(tmp_path, rows, "fill", negatives=3)
  assert filled[0]["negatives"][0] == "e@90"
  added = filled[0]["negatives"][1:]
  assert len(set(added)) == 2 and all(t.startswith("d@") for t in added)
  assert np.isnan(filled[0]["negative_scores"][1:]).all()
  assert (
    stats["negatives"]["random"]
    == sum(int(np.isnan(r["negative_scores"]).sum()) for r in filled)
    > 0
  )
  for row in filled:
    assert len(set(row["negatives"])) == 3
    assert row["document"] not in row["negatives"]
  other, _ = _mined(tmp_path, rows, "seed", negatives=3, seed=1)
  assert [r["negatives"] for r in other] != [r["negatives"] for r in filled]
  kept, stats = _mined(tmp_path, rows, "keep", negatives=3, short="keep")
  assert kept[0]["negatives"] == ["e@90"] and len(kept) == 11
  assert stats["negatives"]["missing"] > 0 == stats["negatives"]["random"]
  dropped, stats = _mined(tmp_path, rows, "drop", negatives=3, short="drop")
  short = sum(len(r["negatives"]) < 3 for r in kept)
  assert stats["rows"] == {
    "input": 11,
    "kept": 11 - short,
    "dropped": {"too few negatives": short},
    "bad": {},
  }
  assert len(dropped) == 11 - short
  assert "q@0" not in [r["query"] for r in dropped]


def test_depth_zero_is_all_random_never_a_positive(tmp_path):
  rows, stats = _mined(tmp_path, _FAN, negatives=2, depth=0)
  assert stats["negatives"] == {"mined": 0, "random": 14, "missing": 0}
  for row in rows:
    assert not {row["document"], row["query"]} & set(row["negatives"])
  for row in rows[:2]:
    assert not {"answer@10", "second@20"} & set(row["negatives"])


def test_where_nothing_is_searched_there_is_no_recall(tmp_path):
  for depth in (0, 3):
    _, stats = _mined(
      tmp_path, _FAN, f"{depth}", negatives=2, depth=depth, store="int8"
    )
    assert ("recall" in stats) == bool(depth)


def test_earlier_negatives_are_candidates(tmp_path):
  rows = [
    dataset.row("q@0", "a@5", negatives=["n@30", "a@5"]),
    dataset.row("p@90", "b@95"),
  ]
  got, _ = _mined(tmp_path, rows, negatives=1)
  assert got[0]["negatives"] == ["n@30"]


def test_empty_texts_are_dropped_and_counted(tmp_path):
  rows = _FAN + [dataset.row("", "x@1"), dataset.row("x@1", "\n")]
  got, stats = _mined(tmp_path, rows, negatives=2)
  assert stats["rows"] == {
    "input": 9,
    "kept": 7,
    "dropped": {},
    "bad": {"empty text": 2},
  }
  assert len(got) == 7


_CIRCLE = [
  dataset.row(f"q@{i * 7 % 360}", f"d@{i * 7 % 360 + 1}", source="s")
  for i in range(30)
]


@pytest.mark.parametrize("chunk_size", [1, 7, 30])
def test_chunks_do_not_change_the_result(tmp_path, chunk_size):
  want, _ = _mined(tmp_path, _CIRCLE, "whole", negatives=4, margin=0.7)
  got, _ = _mined(
    tmp_path, _CIRCLE, negatives=4, margin=0.7, chunk_size=chunk_size
  )
  # Products of blocks of another size may differ in the last bit.
  scores = [[r.pop("negative_scores") for r in rows] for rows in (got, want)]
  np.testing.assert_allclose(*scores, atol=1e-6)
  assert repr(got) == repr(want)


@pytest.mark.parametrize("fail_after", [0, 4, 32, 56])
def test_killed_while_embedding(tmp_path, monkeypatch, fail_after):
  monkeypatch.setattr(mine.embeddings, "PIECE", 4)
  data = _directory(tmp_path / "in", _CIRCLE)
  whole = Angles()
  mine.mine_negatives(whole, data, tmp_path / "whole", negatives=4)
  killed, resumed = Angles(fail_after), Angles()
  with pytest.raises(KeyboardInterrupt):
    mine.mine_negatives(killed, data, tmp_path / "out", negatives=4)
  mine.mine_negatives(resumed, data, tmp_path / "out", negatives=4)
  assert killed.seen + resumed.seen == whole.seen
  assert repr(_rows(tmp_path / "out")) == repr(_rows(tmp_path / "whole"))


@pytest.mark.parametrize("saves", range(5))
def test_killed_while_searching(tmp_path, monkeypatch, saves):
  data = _directory(tmp_path / "in", _CIRCLE)
  flags = dict(negatives=4, chunk_size=8)
  mine.mine_negatives(Angles(), data, tmp_path / "whole", **flags)
  model, saved, searched = Angles(), [], []
  save, search = mine.parts.Parts.save, mine.neighbours.Index.search

  def limited(self, name, **arrays):
    if len(saved) == saves:
      raise KeyboardInterrupt
    saved.append(name)
    save(self, name, **arrays)

  def counted(self, queries, k, **kwargs):
    searched.append(len(queries))
    return search(self, queries, k, **kwargs)

  monkeypatch.setattr(mine.parts.Parts, "save", limited)
  with pytest.raises(KeyboardInterrupt):
    mine.mine_negatives(model, data, tmp_path / "out", **flags)
  monkeypatch.setattr(mine.parts.Parts, "save", save)
  monkeypatch.setattr(mine.neighbours.Index, "search", counted)
  mine.mine_negatives(model, data, tmp_path / "out", **flags)
  assert len(model.seen) == len(set(model.seen)) == 60
  assert len(searched) == 4 - saves
  assert repr(_rows(tmp_path / "out")) == repr(_rows(tmp_path / "whole"))


def test_complete_and_errors(tmp_path, capsys):
  data = _directory(tmp_path / "in", _FAN)
  out = tmp_path / "out"
  first = mine.mine_negatives(Angles(), data, out, negatives=2)
  again = Angles()
  assert mine.mine_negatives(again, data, out, negatives=2) == first
  assert not again.seen and "already complete" in capsys.readouterr().out
  for flags, message in (
    (dict(negatives=3), "negatives was 2, now 3"),
    (dict(negatives=0), "negatives=0: expected at least 1"),
    (dict(depth=3, negatives=7), "depth=3: expected at least .* = 7"),
    (dict(margin=1.5), "margin=1.5"),
    (dict(short="radnom"), "short=radnom.*Did you mean 'random'"),
  ):
    with pytest.raises(UserError, match=message):
      mine.mine_negatives(again, data, out, **flags)
  with pytest.raises(UserError, match="6 distinct documents are too few"):
    mine.mine_negatives(again, data, tmp_path / "new", negatives=7)
  empty = _directory(tmp_path / "empty", [dataset.row("", "x@1")])
  with pytest.raises(UserError, match="rows are single texts .text."):
    mine.mine_negatives(again, empty, tmp_path / "new", short="keep")


def test_fewer_than_the_minimum_is_short(tmp_path):
  # q@0 has one candidate within the margin, the others have several.
  rows = (
    [dataset.row("q@0", "a@30")]
    + [dataset.row(f"q@{90 + i}", f"d@{i}") for i in range(9)]
    + [dataset.row("z@180", "e@90")]
  )
  flags = dict(negatives=3, minimum=2)
  filled, stats = _mined(tmp_path, rows, "fill", **flags)
  assert len(filled[0]["negatives"]) == 2  # filled to the minimum only
  assert np.isnan(filled[0]["negative_scores"]).tolist() == [False, True]
  dropped, _ = _mined(tmp_path, rows, "drop", short="drop", **flags)
  assert "q@0" not in [r["query"] for r in dropped]
  assert all(len(r["negatives"]) >= 2 for r in dropped)
  one, _ = _mined(tmp_path, rows, "one", negatives=3, minimum=1, short="drop")
  assert one[0]["negatives"] == ["e@90"]


def test_sources_without_retrieval_get_random_negatives(tmp_path):
  rows = [
    dataset.row(f"q@{10 * i}", f"d@{10 * i}", source="search", score=0.5)
    for i in range(6)
  ]
  rows += [
    dataset.row(
      f"q{i}@1",
      f"t{i}@1",
      source="classes",
      negatives=["mine@1", "own@1"][:i],
      negative_scores=[0.1],
    )
    for i in range(3)
  ]
  data = _directory(tmp_path / "in", rows)
  written = json.loads((data / "sources.json").read_text())
  written["prompts"] = {
    "classes": {"query": "classification: ", "document": ""}
  }
  (data / "sources.json").write_text(json.dumps(written))
  model = Angles()
  stats = mine.mine_negatives(
    model, data, tmp_path / "out", negatives=2, margin=None
  )
  assert len(model.seen) == 12 and not any("@1" == t[-2:] for t in model.seen)
  got = _rows(tmp_path / "out")
  assert got[0]["negatives"] == ["d@10", "d@20"]
  classes = {"t0@1", "t1@1", "t2@1", "mine@1", "own@1"}
  for i, row in enumerate(got[6:]):
    assert row["negatives"][:i] == ["mine@1", "own@1"][:i]
    assert len(set(row["negatives"])) == 2
    assert set(row["negatives"]) <= classes - {row["document"]}
  assert got[7]["negative_scores"][0] == np.float32(0.1)
  assert np.isnan(got[7]["negative_scores"][1])
  assert stats["negatives"] == {
    "mined": 12,
    "random": 3,
    "missing": 0,
    "given": 3,
  }
  mine.mine_negatives(
    model,
    data,
    tmp_path / "none",
    negatives=2,
    random_sources=["search", "classes"],
  )
  assert len(model.seen) == 12
  assert _rows(tmp_path / "none")[0]["score"] == 0.5  # as it was
  with pytest.raises(UserError, match="no source 'klasses'.*mean 'classes'"):
    mine.mine_negatives(model, data, tmp_path / "x", random_sources=["klasses"])


def test_within_source(tmp_path):
  rows = [
    dataset.row(f"q@{i}", f"d@{i}", source="ab"[i % 2]) for i in range(10)
  ]
  got, _ = _mined(tmp_path, rows, negatives=2, margin=None, within_source=True)
  assert got[0]["negatives"] == ["d@2", "d@4"]
  assert got[1]["negatives"] == ["d@3", "d@5"]


def test_an_answer_in_other_letters_is_an_answer(tmp_path):
  """Case, accents and spaces change the vector, not what answers what."""
  rows = [
    dataset.row("réf@0", "answer@10"),
    dataset.row("REF@3", "second@20"),  # another answer to the first
    dataset.row("other@100", "ANSWER@11"),
    dataset.row("more@120", "near@25"),
    dataset.row("most@140", "Near@26"),
    dataset.row("last@160", "ref@12"),  # the query's own text
    dataset.row("z@170", "far@60"),
  ]
  for row in rows:  # the number is a vector, not a word
    for side in ("query", "document"):
      row[side] = row[side].replace("@", " @ ")

  class Words(Angles):
    def encode(self, texts):
      return super().encode([t.replace(" @ ", "@") for t in texts])

  by_angle = str.maketrans("", "", "0123456789")
  with pytest.MonkeyPatch.context() as patch:
    same = corpus_lib.unicode_text.same
    patch.setattr(
      corpus_lib.unicode_text,
      "same",
      lambda text: same(text.translate(by_angle)),
    )
    data = _directory(tmp_path / "in", rows)
    mine.mine_negatives(
      Words(),
      data,
      tmp_path / "out",
      negatives=2,
      margin=0.9,
      short="keep",
      depth=7,
    )
    mine.mine_negatives(Words(), data, tmp_path / "drawn", negatives=2, depth=0)
  got = {r["query"]: r for r in _rows(tmp_path / "out")}
  # 0.9 of the least similar answer, at 20 degrees; that of REF alone would
  # allow 26.
  assert got["réf @ 0"]["negatives"] == ["far @ 60"]
  assert got["REF @ 3"]["negatives"] == ["far @ 60"]
  assert got["réf @ 0"]["score"] == pytest.approx(_cos(10), abs=1e-6)
  assert got["REF @ 3"]["score"] == pytest.approx(_cos(17), abs=1e-6)
  for row in _rows(tmp_path / "drawn")[:2]:
    names = {t.split()[0].lower() for t in row["negatives"]}
    assert names == {"near", "far"}


def test_further_corpora_are_candidates_too(tmp_path):
  beir = tmp_path / "beir"
  (beir / "qrels").mkdir(parents=True)
  (beir / "qrels/train.tsv").write_text("query-id\tcorpus-id\tscore\n")
  (beir / "corpus.jsonl").write_text(
    "".join(
      json.dumps({"_id": str(i), "title": t, "text": x}) + "\n"
      for i, (t, x) in enumerate(
        (("", "a@5"), ("title", "of b@30"), ("", "  "), ("é", "c@40"))
      )
    )
  )
  (tmp_path / "more.jsonl").write_text('{"text": "m@35"}\n')
  rows = [dataset.row("q@0", "a@5"), dataset.row("p@170", "z@170")]
  got, stats = _mined(
    tmp_path,
    rows,
    negatives=3,
    margin=None,
    corpus=[str(beir), str(tmp_path / "more.jsonl")],
  )
  # The positive's copy in the corpus is not a negative.
  assert got[0]["negatives"] == ["title of b@30", "m@35", "é c@40"]
  assert stats["rows"]["kept"] == 2
  for path, message in (
    ("missing", "--corpus=.*missing: no such file or folder"),
    ("beir", "row 2: 'text' or 'title' is not a string"),
    ("beir", "row 1: not valid JSON"),
  ):
    (beir / "corpus.jsonl").write_text(
      "{" if "JSON" in message else '{"_id": 1, "text": "a@1"}\n{"_id": 2}'
    )
    with pytest.raises(UserError, match=message) as error:
      mine.mine_negatives(
        Angles(),
        tmp_path / "in",
        tmp_path / "bad",
        corpus=[str(tmp_path / path)],
      )
    assert "skip_bad" not in str(error.value)
    assert not (tmp_path / "bad.parts").exists()


def test_what_is_mined_are_triplets_though_first_rows_may_have_none(tmp_path):
  # No query has a candidate within the margin.
  rows = [dataset.row(f"q@{5 * i}", f"d@{5 * i}") for i in range(3)]
  data = _directory(tmp_path / "in", rows)
  stats = mine.mine_negatives(
    Angles(), data, tmp_path / "out", negatives=1, minimum=0, short="keep"
  )
  assert stats["kind"]["name"] == kinds.of(tmp_path / "out").name == "triplets"
