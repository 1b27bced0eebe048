# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Our scores equal mteb's on the same small data; its 56 data sets.

mteb computes its scores from the vectors of our adapter, and we compute ours
with our own tasks. The model counts letters.
"""

import collections
import json
import types

import numpy as np
import pytest
from scipy import stats

import nomic_jax
from nomic_jax.embed.embedding_model import EmbeddingModel
from nomic_jax.errors import UserError
from nomic_jax.evaluation import mteb_model
from nomic_jax.evaluation import mteb_tasks
from nomic_jax.evaluation import published
from nomic_jax.evaluation import systems
from nomic_jax.evaluation import tasks
from nomic_jax.report import evaluate

mteb = pytest.importorskip("mteb")
mteb_models = pytest.importorskip("mteb.models")
mteb_types = pytest.importorskip("mteb.types")

WORDS = "river stone cloud engine paper violin market winter".split()


class Letters(EmbeddingModel):
  """Counts letters and pairs of letters, so that similarities are plausible."""

  architecture, width, max_tokens = "letters", 24, 8192
  matryoshka_dims = (8, 16)
  prompts = {
    name: f"{name}: "
    for name in (
      "search_query",
      "search_document",
      "classification",
      "clustering",
    )
  }
  tokenizer = types.SimpleNamespace(to_str=lambda: "")
  params = {"w": np.random.default_rng(0).normal(size=(256, 24))}

  def __init__(self):
    self.asked = collections.Counter()

  def encode(self, texts, prompt=None, normalize=True, show_progress=False):
    self.asked[prompt, self.max_tokens] += 1
    vectors = np.stack(
      [
        sum(self.params["w"][b] for b in text.encode())
        + 5 * self.params["w"][text.encode()[0]]
        for text in texts
      ]
    )
    if normalize:
      vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32)


def sentences(count, seed):
  rng = np.random.default_rng(seed)
  return [
    " ".join(rng.choice(WORDS, rng.integers(2, 7))) + f" {seed} {i}"
    for i in range(count)
  ]


def labelled(count, seed):
  return [
    {"text": t, "label": WORDS.index(t.split()[0]) % 4}
    for t in sentences(count, seed)
  ]


def _write(path, rows):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _write_ranked(folder, queries, documents, qrels, candidates=None):
  """A retrieval repository of the hub: files and a card that names them."""
  tables = {
    "corpus": [
      {"_id": k, "title": "", "text": t} for k, t in documents.items()
    ],
    "queries": [{"_id": k, "text": t} for k, t in queries.items()],
    "default": [
      {"query-id": q, "corpus-id": d, "score": s}
      for q, some in qrels.items()
      for d, s in some.items()
    ],
  }
  if candidates:
    tables["top_ranked"] = [
      {"query-id": q, "corpus-ids": some} for q, some in candidates.items()
    ]
  card = ["---", "configs:"]
  for name, rows in tables.items():
    _write(folder / f"{name}.jsonl", rows)
    card += [
      f"- config_name: {name}",
      "  data_files:",
      "  - split: test",
      f"    path: {name}.jsonl",
    ]
  (folder / "README.md").write_text("\n".join([*card, "---", ""]))


@pytest.fixture(scope="module", name="made")
def _made(tmp_path_factory):
  """(folder in mteb's format, folder in the format of our tasks)."""
  from datasets import config

  place = tmp_path_factory.mktemp("mteb")
  theirs, ours = place / "theirs", place / "ours"
  a, b = sentences(60, 1), sentences(60, 2)
  rng = np.random.default_rng(3)
  scores = [
    {"sentence1": x, "sentence2": y, "score": float(s)}
    for x, y, s in zip(a, b, rng.integers(0, 6, 60))
  ]
  _write(theirs / "STSBenchmark" / "test.jsonl", scores)
  _write(ours / "STSBenchmark" / "test.jsonl", scores)

  gold = rng.integers(0, 2, 60).tolist()
  _write(
    theirs / "SprintDuplicateQuestions" / "test.jsonl",
    [{"sent1": a, "sent2": b, "labels": gold}],
  )
  _write(
    ours / "SprintDuplicateQuestions" / "test.jsonl",
    [
      {"sentence1": x, "sentence2": y, "label": s}
      for x, y, s in zip(a, b, gold)
    ],
  )

  for folder in (theirs, ours):
    name = folder / "Banking77Classification"
    _write(name / "train.jsonl", labelled(150, 4))
    _write(name / "test.jsonl", labelled(80, 5))
    _write(
      folder / "TwentyNewsgroupsClustering" / "test.jsonl",
      [
        {
          "sentences": [r["text"] for r in rows],
          "labels": [r["label"] for r in rows],
        }
        for rows in (labelled(90, 6), labelled(70, 7))
      ],
    )

  documents = {f"d{i}": t for i, t in enumerate(sentences(80, 8))}
  queries = {f"q{i}": t for i, t in enumerate(sentences(12, 9))}
  qrels = {
    q: {
      f"d{d}": int(g)
      for d, g in zip(rng.choice(80, 5, replace=False), rng.integers(0, 3, 5))
    }
    for q in queries
  }
  _write_ranked(theirs / "SciFact", queries, documents, qrels)
  _write(
    ours / "SciFact" / "corpus.jsonl",
    [{"_id": k, "text": t} for k, t in documents.items()],
  )
  _write(
    ours / "SciFact" / "queries.jsonl",
    [{"_id": k, "text": t} for k, t in queries.items()],
  )
  (ours / "SciFact" / "qrels").mkdir()
  (ours / "SciFact" / "qrels" / "test.tsv").write_text(
    "".join(
      f"{q}\t{d}\t{s}\n" for q, some in qrels.items() for d, s in some.items()
    )
  )

  lists = {
    q: [f"d{6 * i + j}" for j in range(6)] for i, q in enumerate(queries)
  }
  best = {
    q: {d: int(j < 2) for j, d in enumerate(some)} for q, some in lists.items()
  }
  _write_ranked(
    theirs / "AskUbuntuDupQuestions", queries, documents, best, lists
  )
  _write(
    ours / "AskUbuntuDupQuestions" / "test.jsonl",
    [
      {
        "query": queries[q],
        "positive": [documents[d] for d in some[:2]],
        "negative": [documents[d] for d in some[2:]],
      }
      for q, some in lists.items()
    ],
  )

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(config, "HF_DATASETS_CACHE", place / "cache")
    yield theirs, ours


@pytest.mark.parametrize(
  "name, prompts",
  [
    ("STSBenchmark", {"classification"}),
    ("SprintDuplicateQuestions", {"classification"}),
    ("Banking77Classification", {"classification"}),
    ("TwentyNewsgroupsClustering", {"clustering"}),
    ("SciFact", {"search_query", "search_document"}),
    ("AskUbuntuDupQuestions", {"classification"}),
  ],
)
def test_our_score_is_mtebs(made, name, prompts):
  theirs, ours = made
  their_model, our_model = Letters(), Letters()
  (their_task,) = tasks.find([name], theirs)
  (our_task,) = tasks.find([str(ours / name)])
  assert isinstance(their_task, mteb_tasks.MtebTask)
  assert not isinstance(our_task, mteb_tasks.MtebTask)
  (expected,) = their_task.scores(
    their_task.run(systems.Dense(their_model)).items
  ).values()
  outcome = our_task.run(systems.Dense(our_model))
  found = our_task.main(outcome.items)
  assert found == pytest.approx(expected, abs=1e-4)
  assert 0.05 < abs(found) < 0.99
  assert set(their_model.asked) == {(prompt, 512) for prompt in prompts}
  assert set(our_model.asked) == {(prompt, 8192) for prompt in prompts}
  assert their_model.max_tokens == 8192


def test_tasks_of_mteb_are_scored_at_each_dimension_and_as_bits(
  made, tmp_path, monkeypatch
):
  pytest.importorskip("matplotlib")
  theirs, _ = made
  model = Letters()
  monkeypatch.setattr(nomic_jax, "load", lambda path: model)
  (tmp_path / "letters").mkdir()
  written = evaluate.evaluate(
    [str(tmp_path / "letters")],
    ["STSBenchmark"],
    str(tmp_path / "s.json"),
    data=str(theirs),
    dims=[24, 16, 8],
    with_curves=True,
  )
  rows = [
    json.loads(line)
    for line in (theirs / "STSBenchmark/test.jsonl").read_text().splitlines()
  ]
  a, b = (
    Letters().encode([row[side] for row in rows], normalize=False)
    for side in ("sentence1", "sentence2")
  )

  def expected(dim, change=lambda x: x):
    x, y = change(a[:, :dim]), change(b[:, :dim])
    cosines = (
      (x * y).sum(1) / np.linalg.norm(x, axis=1) / (np.linalg.norm(y, axis=1))
    )
    return stats.spearmanr(cosines, [r["score"] for r in rows]).statistic

  found = {m["name"]: m["tasks"]["STSBenchmark"] for m in written["models"]}
  assert [*found] == ["letters@24", "letters@16", "letters@8"]
  scores = [t["scores"]["cosine_spearman"] for t in found.values()]
  assert scores == pytest.approx([expected(d) for d in (24, 16, 8)], abs=1e-4)
  assert len({round(s, 6) for s in scores}) == 3  # they do differ
  curve = {
    (p["precision"], p["dim"]): p["score"] for p in found["letters@24"]["curve"]
  }
  for dim in (24, 16, 8):
    assert curve["float32", dim] == pytest.approx(expected(dim), abs=1e-4)
    # With so few bits there are many ties, which rounding orders.
    assert curve["binary", dim] == pytest.approx(
      expected(dim, lambda x: np.where(x > 0, 1.0, -1.0)), abs=0.02
    )
  assert set(model.asked) == {("classification", 512)}


@pytest.mark.parametrize(
  "kind, normal",
  [
    ("Classification", False),
    ("PairClassification", True),
    ("Clustering", True),
    ("Retrieval", True),
  ],
)
def test_only_vectors_of_classification_keep_their_length(kind, normal):
  model = mteb_model.MtebModel(systems.Dense(Letters()))
  vectors = model.encode(
    [{"text": ["red", "blue"]}, {"text": ["green"]}],
    task_metadata=types.SimpleNamespace(type=kind),
    hf_split="test",
    hf_subset="default",
    prompt_type=mteb_types.PromptType.document,
  )
  assert vectors.shape == (3, 24)
  lengths = np.linalg.norm(vectors, axis=1)
  assert np.allclose(lengths, 1, atol=1e-5) == normal
  assert isinstance(model, mteb_models.EncoderProtocol)


def test_all_56_tasks_of_the_paper_and_their_folders(made, capsys, monkeypatch):
  monkeypatch.setenv("HF_HUB_OFFLINE", "1")
  monkeypatch.setattr(mteb_tasks, "_cache", lambda: made[0] / "none")
  mteb_tasks._hub_answers.cache_clear()
  with pytest.raises(UserError, match="61 data sets .* specify --data=FOLDER"):
    tasks.find(["mteb-en-v1"], made[0])
  lines = capsys.readouterr().out.splitlines()
  assert str(made[0]) in lines[0] and f"{made[0]}/none" in lines[0]
  assert "  EmotionClassification: mteb/emotion" in lines
  assert not any("STSBenchmark" in line for line in lines)
  assert sum("CQADupstackRetrieval:" in line for line in lines) == 12
  names = [name for some in mteb_tasks.SETS.values() for name in some]
  theirs = mteb.get_benchmark("MTEB(eng, v1)").tasks
  assert sorted(names) == sorted(t.metadata.name for t in theirs)
  for task in theirs:
    assert task.metadata.name in mteb_tasks.SETS[task.metadata.type]


def test_data_that_cannot_be_read_are_one_line(made, tmp_path):
  _write(tmp_path / "STSBenchmark" / "test.jsonl", [{"a": 1}])
  (task,) = tasks.find(["STSBenchmark"], tmp_path)
  with pytest.raises(UserError, match="STSBenchmark: mteb cannot use .*"):
    task.run(systems.Dense(Letters()))


def test_a_typo_in_a_data_set_names_the_nearest():
  with pytest.raises(UserError, match="Did you mean 'STSBenchmark'"):
    tasks.find(["STSBenchmrk"])


def test_averages_are_of_whole_parts():
  names = [name for some in mteb_tasks.SETS.values() for name in some]
  scores = {name: 0.1 * (name in mteb_tasks.SETS["STS"]) for name in names}
  found = mteb_tasks.averages(scores | {"other": 9.0})
  assert found["mteb-en-v1/STS"] == (pytest.approx(0.1), 10)
  assert found["mteb-en-v1"] == (pytest.approx(0.1 * 10 / 56), 56)
  del scores["STS12"]
  assert set(mteb_tasks.averages(scores)) == set(found) - {
    "mteb-en-v1",
    "mteb-en-v1/STS",
  }
  assert published.of("mteb-en-v1/STS")["nomic-embed-text-v1"] == 82.1
