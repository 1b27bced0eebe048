# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The whole pipeline at a small size, by its commands.

Every stage runs once, and its outputs are checked. Then every command runs
again, which must change nothing.
"""

import hashlib
import html.parser
import json

import jax
from jax.experimental.compilation_cache import compilation_cache
import numpy as np
import pytest
from support import miniature

import nomic_jax
from nomic_jax.data import dataset
from nomic_jax.run import checkpoint
from nomic_jax.run import metrics

pytestmark = pytest.mark.slow


@pytest.fixture(name="compiled", scope="module", autouse=True)
def _compiled(tmp_path_factory):
  """Keeps compiled programs in a folder of the test, as the command does."""
  names = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
  )
  before = {name: getattr(jax.config, name) for name in names}
  jax.config.update(names[0], str(tmp_path_factory.mktemp("compiled")))
  jax.config.update(names[1], 0.1)
  compilation_cache.reset_cache()
  yield
  for name, value in before.items():
    jax.config.update(name, value)
  compilation_cache.reset_cache()


@pytest.fixture(name="place", scope="module")
def _place(tmp_path_factory):
  place = tmp_path_factory.mktemp("pipeline")
  miniature.copy_python(place / "python")
  return place


@pytest.fixture(name="printed", scope="module")
def _printed(place):
  """Runs the pipeline; returns what each command printed."""
  lines = miniature.commands(place)
  return {name: miniature.run(line) for name, line in lines.items()}


def _rows(path, split):
  source = dataset.open_split(path, split)
  return [source[i] for i in range(len(source))]


def test_prepare_holds_out_whole_packages(place, printed):
  train, test = (_rows(place / "pairs", s) for s in ("train", "test"))
  held_out = {r["source"] for r in test}
  assert held_out and not held_out & {r["source"] for r in train}
  assert held_out | {r["source"] for r in train} == {
    *miniature.PACKAGES,
    *miniature.MODULES,
  }
  assert 0 < len(test) <= 0.1 * (len(train) + len(test))
  assert (
    "held out whole: " + ", ".join(sorted(held_out)) in (printed["prepare"][0])
  )
  assert (place / "pairs" / "tokenizer" / "tokenizer.json").is_file()


def test_a_manifest_holds_the_history_down_to_the_text(place, printed):
  said, _ = miniature.run(["verify", f"{place}/model"])
  assert ": was " not in said and "cannot be compared" not in said
  lines = [line.removesuffix(": the same") for line in said.splitlines()]
  for name in ("mined", "kept", "filtered", "mlm", "python"):
    assert any(line.endswith(f"{place}/{name}") for line in lines), name
  assert len(lines) == len(set(lines)) < 40  # each thing once


@pytest.mark.parametrize("stage", miniature.STAGES)
def test_training_leaves_a_work_directory(place, printed, stage):
  workdir = place / stage
  config = json.loads((workdir / "config.json").read_text())
  rows = metrics.read(workdir / "metrics.jsonl")
  assert [row["step"] for row in rows] == [*range(1, config["steps"] + 1)]
  for row in rows:
    assert np.isfinite(row["loss"]) and row["gradient_norm"] > 0
    assert 0 <= row["padding"] < 1 and row["tokens_per_second"] > 0
  assert rows[0]["learning_rate"] == 0 < rows[1]["learning_rate"]
  assert checkpoint.latest_step(workdir) == config["steps"]
  assert _sha(workdir / "tokenizer" / "tokenizer.json") == _sha(
    place / "pairs" / "tokenizer" / "tokenizer.json"
  )
  assert "loss" in printed[stage][1], "progress is shown"


def test_masked_language_modelling_learns(place, printed):
  losses = [r["loss"] for r in metrics.read(place / "mlm" / "metrics.jsonl")]
  uniform = np.log(
    json.loads((place / "mlm" / "encoder.json").read_text())["vocab_size"]
  )
  assert abs(losses[0] - uniform) < 0.1, "nothing is known at first"
  assert losses[-1] < losses[0] - 0.05
  assert all(
    r["padding"] == 0 for r in metrics.read(place / "mlm" / "metrics.jsonl")
  )


def test_each_stage_starts_from_the_one_before(place, printed):
  weights = {
    name: np.concatenate(
      [
        leaf.ravel()
        for leaf in jax.tree.leaves(nomic_jax.load(place / name).params)
      ]
    )
    for name in miniature.MODELS
  }
  for stage, (_, before, _) in miniature.STAGES.items():
    far = {
      name: np.linalg.norm(weights[stage] - weights[name])
      for name in miniature.MODELS[: miniature.MODELS.index(stage)]
    }
    assert min(far.values()) > 0
    assert min(far, key=far.get) == (before or "untrained"), far


def test_filter_keeps_some_rows_and_all_that_is_held_out(place, printed):
  rows, kept = (_rows(place / d, "train") for d in ("pairs", "kept"))
  assert 16 <= len(kept) < len(rows)
  texts = {(r["query"], r["document"]) for r in rows}
  assert all((r["query"], r["document"]) in texts for r in kept)
  assert all(-1 <= r["score"] <= 1 for r in kept)
  assert str(_rows(place / "kept", "test")) == str(
    _rows(place / "pairs", "test")
  )
  assert f"{len(kept)} of {len(rows)} pairs kept" in printed["filter"][0]


def test_mine_gives_every_row_negatives(place, printed):
  kept, mined = (_rows(place / d, "train") for d in ("kept", "mined"))
  assert [r["query"] for r in mined] == [r["query"] for r in kept]
  documents = {r["document"] for r in kept}
  for row in mined:
    assert len(set(row["negatives"])) == 4
    assert set(row["negatives"]) <= documents - {row["document"]}
  found = np.array([r["negative_scores"] for r in mined])
  assert np.isfinite(found).mean() > 0.5, "most are mined, not random"


def test_export_opens_in_sentence_transformers(place, printed):
  sentence_transformers = pytest.importorskip("sentence_transformers")
  theirs = sentence_transformers.SentenceTransformer(
    str(place / "model"), device="cpu"
  )
  ours = nomic_jax.load(place / "model")
  rows = _rows(place / "pairs", "test")[:12]
  longest = max(r["document"] for r in rows) * 3
  assert len(ours.tokenizer.encode(longest).ids) > ours.max_tokens
  for prompt, column in (
    ("search_query", "query"),
    ("search_document", "document"),
  ):
    texts = [r[column] for r in rows] + [longest, "", "Ünï-cøde 你好"]
    expected = theirs.encode(
      texts, prompt_name=prompt, normalize_embeddings=True
    )
    np.testing.assert_allclose(
      ours.encode(texts, prompt=prompt), expected, atol=1e-5
    )
    without = theirs.encode(texts, normalize_embeddings=True)
    assert np.abs(without - expected).max() > 1e-3, "the prompt counts"
  np.testing.assert_allclose(
    nomic_jax.load(place / "finetune").encode(["a text"]),
    ours.encode(["a text"]),
    atol=1e-6,
  )


def test_json_and_table_of_evaluate_agree(place, printed):
  scores = json.loads((place / "scores.json").read_text())
  head, *lines = printed["evaluate"][0].split("documents\n")[1].splitlines()
  metrics = scores["tasks"]["pairs"]["metrics"]
  assert head.split()[: len(metrics)] == metrics
  rows = {
    line.split()[0]: [float(n) for n in line.split()[1 : len(metrics) + 1]]
    for line in lines[: len(scores["models"])]
  }
  assert [*rows] == ["bm25", *miniature.MODELS, "exported"]
  for model in scores["models"]:
    found = model["tasks"]["pairs"]["scores"]
    np.testing.assert_allclose(
      rows[model["name"]], [*found.values()], atol=5e-4
    )
    assert all(0 < value <= 1 for value in found.values())
  assert rows["exported"] == rows["finetune"] != rows["untrained"]
  count = len(_rows(place / "pairs", "test"))
  assert scores["tasks"]["pairs"]["size"].startswith(f"{count:,} queries")


def test_search_shows_places_that_exist(place, printed):
  answer = printed["search"][0].split(f"? {miniature.QUESTION}\n")[1]
  lines = answer.splitlines()
  assert len(lines) == 3
  values = [float(line.split()[0]) for line in lines]
  assert values == sorted(values, reverse=True) and values[0] <= 1
  for line in lines:
    _, where, name = line.split(maxsplit=2)
    path, number = where.rsplit(":", 1)
    # Long locations are truncated at the front to fit the columns.
    files = [
      f
      for f in (place / "python").rglob("*.py")
      if str(f).endswith(path.lstrip("…"))
    ]
    # splitlines() would also break lines at form feeds, which Python does not.
    codes = [f.read_text().split("\n")[int(number) - 1 :] for f in files]
    assert any(
      name.split(".")[-1].rstrip("…") in code[0] for code in codes if code
    )


class _Loads(html.parser.HTMLParser):
  """Collects what a page would fetch."""

  def __init__(self):
    super().__init__()
    self.places = []

  def handle_starttag(self, tag, attrs):
    loads = {"src", "href", "xlink:href", "data", "srcset", "action"}
    self.places += [value for name, value in attrs if name in loads]


def test_report_is_one_file_with_all_stages_and_scores(place, printed):
  page = (place / "report.html").read_text()
  found = _Loads()
  found.feed(page)
  assert all(p.startswith(("#", "data:")) for p in found.places)
  assert "@import" not in page and "url(" not in page
  assert "<svg" in page and "<script" not in page
  scores = json.loads((place / "scores.json").read_text())
  for model in scores["models"]:
    value = model["tasks"]["pairs"]["scores"]["nDCG@10"]
    assert model["name"] in page and f"{value:.3f}" in page
  for stage in miniature.STAGES:
    assert f"<figcaption>{stage}</figcaption>" in page


def _sha(path):
  return hashlib.sha256(path.read_bytes()).hexdigest()


def _state(place):
  """Returns the contents of every file and the modification time of paths."""
  paths = [p for p in place.rglob("*")]
  contents = {p: _sha(p) for p in paths if p.is_file()}
  return contents, {p: p.stat().st_mtime_ns for p in paths}


# The message of each command that has nothing to do; the others write the same
# bytes again.
DONE = {
  "prepare": "already exists, made with the same arguments",
  **{stage: "already trained to step" for stage in miniature.STAGES},
  "filter": "already complete with these arguments",
  "mine": "already complete with these arguments",
  "evaluate": "already in the output file, reused",
}


def test_repeating_every_command_changes_nothing(place, printed):
  for name, line in miniature.commands(place).items():
    contents, times = _state(place)
    out, err = miniature.run(line)
    again, later = _state(place)
    assert again == contents, name
    if name in DONE:
      assert DONE[name] in out, name
      assert "embedding" not in err and "steps" not in err, name
    if name in DONE and name != "evaluate":
      assert later == times, name
    if name == "search":
      assert out.split("\n?")[1] == printed["search"][0].split("\n?")[1]
      assert "index of" not in out, "the corpus is not embedded again"
