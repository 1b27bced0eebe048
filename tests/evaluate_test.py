# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The evaluate job with hand-made models whose scores are known."""

import json
import types

import numpy as np
import pytest

import nomic_jax
from nomic_jax.data import dataset
from nomic_jax.embed.embedding_model import EmbeddingModel
from nomic_jax.errors import UserError
from nomic_jax.evaluation import mteb_tasks
from nomic_jax.report import tables
from nomic_jax.report.evaluate import evaluate

WORDS = ("red", "green", "blue", "round", "square", "large")


class FakeModel(EmbeddingModel):
  """Embeds a text as the counts of some words."""

  architecture, width, max_tokens = "words", 6, 99
  matryoshka_dims = ()
  prompts = {"search_query": "q: ", "search_document": "d: "}
  tokenizer = types.SimpleNamespace(to_str=lambda: "tokenizer")

  def __init__(self, weights=(1, 1, 1, 1, 1, 1)):
    self.params = {"weights": np.array(weights, np.float32)}
    self.calls = []

  def encode(self, texts, prompt=None, show_progress=False, normalize=True):
    self.calls.append((prompt, len(texts)))
    counts = np.array(
      [[text.split().count(word) for word in WORDS] for text in texts]
    )
    vectors = counts * self.params["weights"]
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(length, 1e-9)).astype(np.float32)


@pytest.fixture(name="place")
def _place(tmp_path, monkeypatch):
  """A data directory, a model that knows words, and one that confuses them."""
  pairs = [
    ("red round", "a red round thing"),
    ("blue", "the blue one"),
    ("large", "quite large"),
    ("green square", "green and square"),
  ]
  dataset.write(
    tmp_path / "data",
    {
      "test": [
        dataset.row(q, d, location=f"things.py:{i}")
        for i, (q, d) in enumerate(pairs)
      ]
    },
    stats={},
  )
  models = {"good": FakeModel(), "blind": FakeModel((1, 0, 0, 0, 0, 0))}
  for name in models:
    (tmp_path / name).mkdir()
  monkeypatch.setattr(nomic_jax, "load", lambda path: models[path.name])
  return tmp_path, models


def test_table_and_json(place, capsys):
  path, models = place
  output = path / "out.json"
  evaluate(
    models=[f"{path}/good", f"poor={path}/blind"],
    tasks=[f"{path}/data"],
    output=output,
    baselines=["bm25"],
  )
  lines = capsys.readouterr().out.splitlines()
  table = lines[lines.index("data: 4 queries, 4 documents") + 1 :]
  rows = {line.split()[0]: line.split()[1:] for line in table[1:4]}
  assert list(rows) == ["bm25", "good", "poor"]
  assert rows["good"][:5] == ["1.000"] * 5
  assert float(rows["poor"][0]) < 1
  ends = {line.index("1.000") for line in table[1:3]}
  assert len(ends) == 1, "columns do not align"

  written = json.loads(output.read_text())
  poor = written["models"][2]["tasks"]["data"]
  assert poor["scores"]["MRR@10"] == pytest.approx(
    (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4
  )  # the lower index wins a tie
  assert written["models"][1]["tasks"]["data"]["worst"] == []
  assert {w["rank"] for w in poor["worst"]} == {2, 3, 4}
  assert models["good"].calls == [("search_document", 4), ("search_query", 4)]


def test_each_dimension_is_scored_and_texts_are_embedded_once(place, capsys):
  path, models = place
  job = dict(
    models=[f"{path}/good"],
    tasks=[f"{path}/data"],
    baselines=["good"],
    output=path / "dims.json",
  )
  written = evaluate(**job, dims=[6, 2])
  assert models["good"].calls == [("search_document", 4), ("search_query", 4)]
  assert written["baselines"] == ["good@6", "good@2"]
  found = {
    m["name"]: m["tasks"]["data"]["scores"]["nDCG@10"]
    for m in written["models"]
  }
  # Two dimensions distinguish red and green, but not blue and large.
  assert found == {
    "good@6": 1.0,
    "good@2": pytest.approx(
      (1 + 1 + 1 / np.log2(3) + 1 / np.log2(4)) / 4, abs=0.2
    ),
  }
  assert found["good@2"] < 1
  whole = evaluate(**job)["models"][0]["tasks"]["data"]["scores"]["nDCG@10"]
  assert whole == found["good@6"]
  with pytest.raises(UserError, match="--dim=7: good has vectors of 6"):
    evaluate(**job, dims=[2, 7])


def test_texts_are_truncated_for_local_folders_too(place):
  path, models = place
  seen = []
  model = models["good"]
  usual = model.encode
  model.encode = lambda *a, **k: seen.append(model.max_tokens) or usual(*a, **k)
  job = dict(
    models=[f"{path}/good"], tasks=[f"{path}/data"], output=path / "cut.json"
  )
  evaluate(**job, max_tokens=12)
  evaluate(**job, max_tokens=500)  # above its limit: another fingerprint
  assert seen == [12, 12, 99, 99] and model.max_tokens == 99
  with pytest.raises(UserError, match="--max_tokens=2: expected 3 or more"):
    evaluate(**job, max_tokens=2)


def test_known_results_are_kept_until_the_weights_change(place):
  path, models = place
  job = dict(
    models=[f"{path}/good"], tasks=[f"{path}/data"], output=path / "o.json"
  )
  first = evaluate(**job)
  models["good"].calls.clear()
  assert evaluate(**job) == json.loads(json.dumps(first))
  assert not models["good"].calls
  models["good"].params["weights"][0] = 0
  assert evaluate(**job)["models"] != first["models"]
  assert models["good"].calls


def test_an_interrupted_evaluation_resumes(place):
  path, models = place
  job = dict(
    models=[f"{path}/good", f"{path}/blind"],
    tasks=[f"{path}/data"],
    output=path / "o.json",
  )
  models["blind"].params["weights"][0] = np.nan
  with pytest.raises(UserError, match="not finite"):
    evaluate(**job)
  assert not (path / "o.json").exists()
  models["blind"].params["weights"][0] = 1
  models["good"].calls.clear()
  evaluate(**job)
  assert not models["good"].calls and models["blind"].calls
  assert sorted(p.name for p in path.glob("o.*")) == [
    "o.html",
    "o.json",
    "o.md",
  ]


def test_several_tasks_are_one_table_beside_what_is_published(place, capsys):
  path, models = place
  rows = [
    {"sentence1": "red", "sentence2": f"{word} red", "score": s}
    for s, word in enumerate(("blue large", "blue", "round", "red"))
  ]
  (path / "sts").mkdir()
  (path / "sts" / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
  output = path / "out.json"
  evaluate(
    models=[f"{path}/good", f"{path}/blind"],
    tasks=[f"{path}/data", f"{path}/sts"],
    output=output,
    baselines=["bm25", "blind"],
  )
  lines = capsys.readouterr().out.splitlines()
  assert "blind on sts: no Spearman, since all items score alike" in lines
  at = lines.index("All tasks: main scores in per cent")
  assert lines[at + 1].split() == ["bm25", "good", "blind"]
  row = lines[at + 3].split()
  assert row[:3] == ["sts,", "Spearman", "–"] and row[-1] == "–"
  assert lines[at + 2].startswith("data, nDCG@10")
  written = json.loads(output.read_text())
  assert "sts" not in written["models"][0]["tasks"], "BM25 has no cosine"
  assert written["models"][2]["tasks"]["sts"]["scores"]["Spearman"] is None
  assert set(written["models"][1]["tasks"]["data"]["map"]["points"]) >= {"PCA"}
  assert "| data, nDCG@10 | " in output.with_suffix(".md").read_text()
  page = output.with_suffix(".html").read_text()
  assert "over blind" not in page and "over bm25" in page
  assert "Maps of the vectors" in page


def test_published_scores_stand_beside_whole_groups():
  names = mteb_tasks.SETS["STS"]
  results = {
    "tasks": {
      n: {
        "kind": "mteb",
        "metrics": ["s"],
        "size": "",
        "published": {},
        "group": "mteb-en-v1/STS",
      }
      for n in names
    },
    "models": [
      {
        "name": "ours",
        "path": "p",
        "tasks": {
          n: {
            "scores": {"s": 0.8},
            "interval": [None, None],
            "draws": [None, None],
          }
          for n in names
        },
      }
    ],
  }
  (table,) = tables.tables(results)
  assert table.head[:3] == ["", "ours", "nomic-embed-text-v1 (published)"]
  assert table.rows[-1][:3] == ["mteb-en-v1/STS, mean of 10", "80.0 ", "82.1"]
  del results["tasks"]["STS12"], results["models"][0]["tasks"]["STS12"]
  (table,) = tables.tables(results)
  assert len(table.rows) == 9 and len(table.head) == 2


def test_mistakes_are_one_line(place):
  path, models = place
  good, data = f"{path}/good", f"{path}/data"
  with pytest.raises(UserError, match="bm26.*Did you mean 'bm25'"):
    evaluate([good], [data], baselines=["bm26"])
  with pytest.raises(UserError, match="nowhere: no such directory"):
    evaluate([f"{path}/nowhere"], [data])
  with pytest.raises(UserError, match="dataa: no such folder, and no task"):
    evaluate([good], [f"{data}a"])
  with pytest.raises(UserError, match="has no test file with rows; expected"):
    evaluate([good], [good])
  with pytest.raises(UserError, match="'data' is taken"):
    evaluate([good], [data, f"data={data}"])
  with pytest.raises(UserError, match="'good' is taken"):
    evaluate([good, f"good={path}/blind"], [data])
  with pytest.raises(UserError, match="nothing to evaluate"):
    evaluate([], [data])
  with pytest.raises(UserError, match="ends in .json"):
    evaluate([good], [data], output=path / "scores.txt")
  models["good"].params["weights"][1] = np.nan
  output = path / "never.json"
  with pytest.raises(
    UserError, match=("not finite, .* parameters weights are not finite")
  ):
    evaluate([good], [data], output=output)
  assert not output.exists()


def test_a_hybrid_is_compared_with_both_of_its_parts(place, capsys):
  path, models = place
  job = dict(
    models=[f"{path}/blind"],
    tasks=[f"{path}/data"],
    output=path / "hybrid.json",
    hybrid="bm25",
  )
  written = evaluate(**job)
  names = [m["name"] for m in written["models"]]
  assert names == ["bm25", "blind", "blind+bm25"]
  assert models["blind"].calls == [("search_document", 4), ("search_query", 4)]
  out = capsys.readouterr().out
  line = next(x for x in out.splitlines() if x.startswith("blind+bm25 beats"))
  bm25, blind, both = (
    m["tasks"]["data"]["scores"]["nDCG@10"] for m in written["models"]
  )
  assert blind < both <= bm25
  assert f"{both - blind:+.3f}" in line and f"{both - bm25:+.3f}" in line
  assert "beats both" not in line
  evaluate(**job)
  assert "blind+bm25 on data: already in the output" in capsys.readouterr().out
  with pytest.raises(UserError, match="--hybrid=bm26"):
    evaluate(**job | {"hybrid": "bm26"})


def test_earlier_results_are_taken_from_another_file(place, capsys):
  path, models = place
  job = dict(models=[f"{path}/good"], tasks=[f"{path}/data"])
  evaluate(**job, output=path / "before.json")
  models["good"].calls.clear()
  evaluate(**job, output=path / "after.json", known_from=[path / "before.json"])
  assert not models["good"].calls and (path / "after.json").is_file()


def test_one_dimension_has_scores_and_no_map(place):
  path, _ = place
  models = evaluate([f"{path}/good"], [f"{path}/data"], dims=[1, 2])["models"]
  one, two = (model["tasks"]["data"] for model in models)
  assert "map" not in one and "map" in two
  assert 0 < one["scores"]["nDCG@10"] < 1
