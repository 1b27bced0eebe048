# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The evaluate job with models made by hand, so that scores are known."""

import json
import types

import numpy as np
import pytest

import nomic_jax
from nomic_jax.data import dataset
from nomic_jax.errors import UserError
from nomic_jax.evaluation.evaluate import evaluate

WORDS = ("red", "green", "blue", "round", "square", "large")


class FakeModel:
  """Embeds a text as the counts of some words."""

  config = "fake"
  prompts = {"search_query": "q: ", "search_document": "d: "}
  tokenizer = types.SimpleNamespace(to_str=lambda: "tokenizer")

  def __init__(self, weights=(1, 1, 1, 1, 1, 1)):
    self.params = {"weights": np.array(weights, np.float32)}
    self.calls = []

  def encode(
      self, texts, prompt=None, show_progress=False, normalize=True):
    self.calls.append((prompt, len(texts)))
    counts = np.array(
        [[text.split().count(word) for word in WORDS] for text in texts])
    vectors = counts * self.params["weights"]
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(length, 1e-9)).astype(np.float32)


@pytest.fixture(name="place")
def _place(tmp_path, monkeypatch):
  """A data directory and two models, one that knows words and one that does
  not tell them apart."""
  pairs = [("red round", "a red round thing"), ("blue", "the blue one"),
           ("large", "quite large"), ("green square", "green and square")]
  dataset.write(tmp_path / "data", {"test": [
      dataset.row(q, d, location=f"things.py:{i}")
      for i, (q, d) in enumerate(pairs)
  ]}, stats={})
  models = {"good": FakeModel(), "blind": FakeModel((1, 0, 0, 0, 0, 0))}
  for name in models:
    (tmp_path / name).mkdir()
  monkeypatch.setattr(
      nomic_jax, "load", lambda path: models[path.name])
  return tmp_path, models


def test_table_and_json(place, capsys):
  path, models = place
  output = path / "out.json"
  evaluate(
      models=[f"{path}/good", f"poor={path}/blind"], tasks=[f"{path}/data"],
      output=output, baselines=["bm25"],
  )
  lines = capsys.readouterr().out.splitlines()
  table = lines[lines.index("data: 4 queries, 4 documents") + 1:]
  rows = {line.split()[0]: line.split()[1:] for line in table[1:4]}
  assert list(rows) == ["bm25", "good", "poor"]
  assert rows["good"][:5] == ["1.000"] * 5
  assert float(rows["poor"][0]) < 1
  ends = {line.index("1.000") for line in table[1:3]}
  assert len(ends) == 1, "columns do not align"

  written = json.loads(output.read_text())
  poor = written["models"][2]["tasks"]["data"]
  assert poor["scores"]["MRR@10"] == pytest.approx(
      (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)  # ties fall to the lower index
  assert written["models"][1]["tasks"]["data"]["worst"] == []
  assert {w["rank"] for w in poor["worst"]} == {2, 3, 4}
  assert models["good"].calls == [("search_document", 4), ("search_query", 4)]


def test_known_results_are_kept_until_the_weights_change(place):
  path, models = place
  job = dict(
      models=[f"{path}/good"], tasks=[f"{path}/data"], output=path / "o.json")
  first = evaluate(**job)
  models["good"].calls.clear()
  assert evaluate(**job) == json.loads(json.dumps(first))
  assert not models["good"].calls
  models["good"].params["weights"][0] = 0
  assert evaluate(**job)["models"] != first["models"]
  assert models["good"].calls


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
  models["good"].params["weights"][1] = np.nan
  output = path / "never.json"
  with pytest.raises(UserError, match="not finite"):
    evaluate([good], [data], output=output)
  assert not output.exists()
