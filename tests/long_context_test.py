# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Evaluation of long texts: data sets, prompts and the tokens that are read."""

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from support import tiny

from nomic_jax.embed import model as embed
from nomic_jax.errors import UserError
from nomic_jax.evaluation import long_context
from nomic_jax.evaluation import needle
from nomic_jax.evaluation import systems
from nomic_jax.evaluation import tasks
from nomic_jax.evaluation.retrieval import RetrievalTask
from nomic_jax.model.encoder import Encoder


class Reader(systems.Dense):
  """Finds a document if its first characters contain the query."""

  def __init__(self, characters):
    self.characters, self.model = characters, self

  def reading(self, tokens):
    return Reader(self.characters if tokens is None else tokens)

  def encode(self, texts, prompt, normalize=True):
    return np.eye(len(texts), 3, dtype=np.float32)  # for the map

  def search(self, queries, documents, k, prompts=()):
    scores = np.array(
      [
        [
          float(q in d[: self.model.characters]) - i / 1000
          for i, d in enumerate(documents)
        ]
        for q in queries
      ]
    )
    order = np.argsort(-scores, 1)[:, :k]
    return np.take_along_axis(scores, order, 1), order


def _module(name, functions=8):
  body = "".join(
    f"def {name}_{i}(value):\n"
    f'  """Return the {name} number {i} of all values."""\n'
    f"  return [{', '.join(str(n + i) for n in range(60))}]\n\n"
    for i in range(functions)
  )
  return f'"""Module {name}."""\n\n{body}'


def test_needles_are_found_within_the_tokens_read(tmp_path):
  texts = [_module(f"word{c}") for c in "abcdefghijklm"]
  length = min(map(len, texts))
  for i, text in enumerate(texts):
    (tmp_path / f"m{i:02}.py").write_text(text)
  (tmp_path / "short.py").write_text(_module("short", 2))
  task = needle.read(tmp_path, length)
  assert len(task.documents) == 13 and len(task.queries) == 52
  for query, (answer,), part in zip(task.queries, task.relevant, task.parts):
    at = task.documents[answer].index(query)
    assert part == at * 4 // length
    assert sum(query in d for d in task.documents) == 1
  scores = task.scores(task.run(Reader(length // 2)).items)
  assert scores["quarter 1"] == scores["quarter 2"] == 1
  # Documents that do not match keep their order.
  assert scores["quarter 3"] == scores["quarter 4"] < 0.5
  assert scores["nDCG@10"] == pytest.approx(
    np.mean([scores[f"quarter {q}"] for q in range(1, 5)])
  )
  assert task.scores(task.run(Reader(length)).items)["nDCG@10"] == 1
  with pytest.raises(UserError, match="no module with 999,999 characters"):
    needle.read(tmp_path, 999_999)


def _write_loco(folder):
  for name in ("summ_screen_fd", "gov_report", "qmsum"):
    (folder / name).mkdir()
    (folder / name / "validation.jsonl").write_text(
      "".join(
        json.dumps({"output": f"{name} ask {i}", "input": f"{name} text {i}"})
        + "\n"
        for i in range(3)
      )
    )
  (folder / "qasper").mkdir()
  papers = {
    f"p{i}": {
      "title": f"title {i}",
      "abstract": f"abstract {i}",
      "full_text": [
        {"section_name": "One", "paragraphs": [f"a {i}", "b"]},
        {"section_name": None, "paragraphs": ["c"]},
      ],
    }
    for i in range(2)
  }
  (folder / "qasper/qasper-test-v0.3.json").write_text(json.dumps(papers))


def test_loco_is_read_as_its_makers_give_it_out(tmp_path):
  _write_loco(tmp_path)
  found = {t.name: t for t in tasks.find(["loco@4096"], tmp_path)}
  assert [*found] == [
    f"loco@4096/{n}"
    for n in (
      "summ_screen_fd",
      "gov_report",
      "qmsum",
      "qasper_title",
      "qasper_abstract",
    )
  ]
  report = found["loco@4096/gov_report"]
  assert report.group == "loco@4096" and "up to 4,096 tokens" in report.size
  assert report.task.queries[1] == "gov_report ask 1"
  assert report.task.documents[1] == "gov_report text 1"
  title = found["loco@4096/qasper_title"].task
  assert title.queries[0] == "title 0"
  assert title.documents[0] == "One\na 0\nb\n\nc"
  (one,) = tasks.find(["loco@2048/gov_report"], tmp_path)
  assert one.task == report.task and one.fingerprint() != report.fingerprint()


def test_loco_v1_names_its_answers(tmp_path):
  def write(kind, rows):
    (tmp_path / f"LoCoV1-{kind}/data").mkdir(parents=True)
    pa.parquet.write_table(
      pa.Table.from_pylist(rows),
      tmp_path / f"LoCoV1-{kind}/data/test-00000.parquet",
    )

  passage = lambda i, of="qmsum": {
    "dataset": of,
    "pid": f"d{i}",
    "passage": f"passage {i}",
  }
  write("Documents", [passage(0), passage(1), passage(9, "gov_report")])
  ask = lambda i, answers, of="qmsum": {
    "dataset": of,
    "qid": f"d{i}",
    "query": f"ask {i}",
    "answer_pids": answers,
  }
  write(
    "Queries", [ask(5, ["d1"]), ask(1, ["d0"]), ask(3, ["d7"], "gov_report")]
  )
  task = tasks.find(["locov1@8192/qmsum"], tmp_path)[0].task
  assert task.documents == ["passage 0", "passage 1"]
  assert (task.queries, task.relevant) == (["ask 5", "ask 1"], [[1], [0]])
  assert list(task.itself) == [-1, 1]
  with pytest.raises(UserError, match="no judgement names a query"):
    tasks.find(["locov1@8192/gov_report"], tmp_path)


def test_jinas_sets_are_folders_and_what_is_missing_is_named(tmp_path):
  (tmp_path / "WikiCitiesClustering").mkdir()
  (tmp_path / "WikiCitiesClustering/test.jsonl").write_text(
    '{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n'
  )
  (one,) = tasks.find(["jina@512/WikiCitiesClustering"], tmp_path)
  assert (one.kind, one.metrics) == ("clustering", ("v-measure",))
  with pytest.raises(
    UserError,
    match="NarrativeQARetrieval, SciFact, BigPatentClustering not "
    f"found in --data={tmp_path}",
  ):
    tasks.find(["jina@512"], tmp_path)
  with pytest.raises(UserError, match="specify --data"):
    tasks.find(["loco@2048"])
  with pytest.raises(UserError, match="NanoNFCorpus, .* not found in no fold"):
    tasks.find(["nanobeir"])
  with pytest.raises(UserError, match="mean 'loco@2048'"):
    tasks.find(["loco@204"])


def test_a_model_reads_up_to_its_limit_with_ntk_beyond_training():
  config = dataclasses.replace(
    tiny.CONFIG, vocab_size=256, trained_length=16, max_length=16
  ).architecture
  params = tiny.params(Encoder(config))
  params["layers"]["qkv"]["kernel"] *= 50  # else attention is nearly uniform
  model = embed.Model(config, params, tiny.words(), {})
  text = " ".join(tiny.WORDS * 3)  # 30 words, 32 tokens
  short = " ".join((tiny.WORDS * 3)[:10])
  encode = lambda m, t: m.encode([t])[0]
  further = model.reading(64)
  assert further.architecture.rope.factor == 2 and further.max_tokens == 64
  np.testing.assert_allclose(  # NTK changes nothing within the trained length
    encode(further, short), encode(model, short), atol=1e-6
  )
  with pytest.warns(UserWarning, match="more than 16 tokens"):
    assert np.abs(encode(model, text) - encode(further, text)).max() > 1e-3
  plain = embed.Model(
    dataclasses.replace(config, max_length=64),
    model.params,
    model.tokenizer,
    {},
  )
  assert np.abs(encode(plain, text) - encode(further, text)).max() > 1e-5
  table = dataclasses.replace(
    tiny.CONFIG, vocab_size=256, max_length=16, position="learned"
  ).architecture
  with pytest.raises(UserError, match="16 learned positions"):
    embed.Model(table, tiny.params(Encoder(table)), tiny.words(), {}).reading(
      17
    )


def test_the_model_of_a_hybrid_reads_up_to_the_length_too():
  documents = ["another text", "a text with the needle"]
  task = RetrievalTask("n", ["needle"], documents, ["", ""], [[1]])
  at = long_context.AtLength(task, len(documents[1]), "n@22", "n")
  hybrid = systems.Hybrid(Reader(9), systems.Lexical("bm25"))
  hybrid.lexical.search = lambda *_: (np.zeros((1, 2)), np.full((1, 2), -1))
  assert at.run(hybrid).items[0, 0] == 1
  assert task.run(hybrid).items[0, 0] < 1  # control: it reads 9 characters
