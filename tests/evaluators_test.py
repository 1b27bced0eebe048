# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Evaluators: their data, the weights they score, and the best checkpoint."""

import dataclasses
import json
import math
import pathlib
import re
import types

import jax
import ml_collections
import numpy as np
import pyarrow as pa
from pyarrow import parquet
import pytest
from support import small_data
from support import tiny

from nomic_jax import program
from nomic_jax.cli import config_flags
from nomic_jax.data import dataset
from nomic_jax.data import loader
from nomic_jax.evaluation import evaluators
from nomic_jax.losses.mlm import MLM
from nomic_jax.main import main
from nomic_jax.mesh import processes
from nomic_jax.model.encoder import Encoder
from nomic_jax.report import evaluate
from nomic_jax.run import best as best_lib
from nomic_jax.run import checkpoint
from nomic_jax.run import models
from nomic_jax.run import resolve as resolve_lib
from nomic_jax.run.start import Start
from nomic_jax.text import tokenizer as tokenizer_lib

pytestmark = pytest.mark.slow


@pytest.fixture(name="place", scope="module")
def _place(tmp_path_factory):
  folder = tmp_path_factory.mktemp("evaluators")
  small_data.make(folder)
  return folder


def _mean(model, config, **changes):
  """The loss of the saved model, as a user would measure it."""
  data = config.data.copy_and_resolve_references()
  with data.unlocked():
    data.update(dict(split="test", mask_rate=0.15) | changes)
  tokenizer = tokenizer_lib.load(model.tokenizer_path)
  params = {"encoder": model.params, "mlm_head": model.mlm_head}
  loss = tiny.jit(MLM(Encoder(model.architecture)))
  total = weight = 0.0
  for batch in tiny.take(loader.make(data, tokenizer, config.seed), 2):
    for part in range(2):
      micro = {k: v[part] for k, v in batch.items()}
      sums = loss(params, loader.nested(micro), jax.random.key(5))
      total, weight = total + float(sums[0]), weight + float(sums[1])
  return total / weight


def test_the_loss_on_the_held_out_split_is_logged(place):
  arguments = small_data.train(
    "mlm",
    place / "pairs",
    place / "run",
    "steps=5",
    "checkpoint.every=4",
    "evaluators.eval.every=5",
    "evaluators.eval.batches=2",
    "log_every=100",
    "compute.dropout=0.5",
  )
  assert main(arguments) == 0
  before, last = [
    json.loads(line)
    for line in (place / "run/metrics.jsonl").read_text().splitlines()
  ]
  assert (before["step"], last["step"]) == (4, 5)
  assert not any(key.startswith("eval/") for key in before)
  assert last["eval/perplexity"] == pytest.approx(math.exp(last["eval/loss"]))
  assert 0 <= last["eval/accuracy"] <= 1

  config = config_flags.load([a for a in arguments if "--config" in a])
  model = models.read_model(place / "run")
  expected = _mean(model, config)
  assert last["eval/loss"] == pytest.approx(expected, rel=1e-5)
  for changes in (dict(split="train"), dict(mask_rate=0.3)):  # controls
    assert abs(_mean(model, config, **changes) / expected - 1) > 1e-4


def _lines(workdir):
  text = (workdir / "metrics.jsonl").read_text()
  return {row["step"]: row for row in map(json.loads, text.splitlines())}


def _write_nano(folder):
  """A repository of NanoBEIR; one query is itself a document."""
  texts = [
    f"{a} and {b}" for a in small_data.WORDS[:5] for b in small_data.WORDS[5:9]
  ]
  parts = {
    "corpus": [{"_id": f"d{i}", "text": t} for i, t in enumerate(texts)],
    "queries": [
      {"_id": "d3", "text": texts[3]},
      {"_id": "q1", "text": "silver lamp"},
    ],
    "qrels": [
      {"query-id": q, "corpus-id": d}
      for q, d in (("d3", "d4"), ("q1", "d8"), ("q1", "d9"))
    ],
  }
  for part, rows in parts.items():
    (folder / part).mkdir(parents=True)
    parquet.write_table(
      pa.Table.from_pylist(rows), folder / part / "train-0.parquet"
    )


def test_search_while_training_scores_as_evaluate_does(place, capsys):
  data, workdir = place / "pairs", place / "search"
  arguments = small_data.train(
    "contrastive",
    data,
    workdir,
    "steps=4",
    "checkpoint.every=2",
    "checkpoint.best=retrieval/MRR@10",
    "checkpoint.keep=9",
    "evaluators.retrieval.every=2",
    "evaluators.eval.every=3",
    "evaluators.eval.data.split=train",
    "data.query_length=64",
    "mesh.fsdp=2",
    "mesh.rules=fsdp",
    f"evaluators.retrieval.data={place}",
    f"evaluators.retrieval.tasks={data},nanobeir/SciFact",
  )
  _write_nano(place / "NanoSciFact")
  assert main(arguments) == 0
  lines = _lines(workdir)
  assert [s for s, row in lines.items() if "eval/loss" in row] == [3, 4]
  scores = {}
  for step in (2, 4):
    saved = evaluate.evaluate(
      [f"{workdir}/checkpoints/{step}"],
      [f"{data}", "nanobeir/SciFact"],
      data=str(place),
    )["models"][0]["tasks"]
    names = ("pairs", "nanobeir/SciFact")
    for metric in saved["pairs"]["scores"]:
      both = [saved[name]["scores"][metric] for name in names]
      for name, one in zip(names, both):
        assert lines[step][f"retrieval/{name}/{metric}"] == pytest.approx(one)
      assert lines[step][f"retrieval/{metric}"] == pytest.approx(np.mean(both))
    scores[step] = {
      "MRR@10": lines[step]["retrieval/MRR@10"],
      "each": saved["pairs"]["scores"],
    }
  assert scores[2] != scores[4]  # control

  start = lines[0]["retrieval/MRR@10"]
  best = max((2, 4), key=lambda s: (scores[s]["MRR@10"], -s))
  # If no checkpoint beats the start, there is no best; see best_test.
  step = "best" if scores[best]["MRR@10"] > start else best
  capsys.readouterr()
  assert (
    main(
      [
        "export",
        f"--workdir={workdir}",
        f"--step={step}",
        f"--output={place}/best",
      ]
    )
    == 0
  )
  if step == "best":
    assert f"at step {best}" in capsys.readouterr().out
  exported, saved = (
    models.read_model(p)
    for p in (place / "best", workdir / f"checkpoints/{best}")
  )
  tiny.assert_close(exported.params, saved.params, 1e-7)
  assert (
    main(
      ["export", f"--workdir={workdir}", "--step=3", f"--output={place}/none"]
    )
    == 2
  )
  assert "expected latest, best or one of 2, 4" in capsys.readouterr().err


def test_a_stop_before_an_evaluation_changes_no_line(place, monkeypatch):
  """SIGTERM arrives at a step with an evaluation, and between two lines."""

  def lines(name, *stops):
    for stop in (*stops, None):
      monkeypatch.setattr(
        processes.Preemption, "reached", lambda self, step: step == stop
      )
      assert main(
        small_data.train(
          "mlm",
          place / "pairs",
          place / name,
          "steps=6",
          "log_every=3",
          "checkpoint.every=4",
          "evaluators.eval.every=2",
          "evaluators.eval.batches=1",
        )
      ) == (0 if stop is None else 75)
    return {
      step: {
        k: row.get(k)
        for k in ("loss", "padding", "eval/loss", "gradient_norm", "unfinished")
      }
      for step, row in _lines(place / name).items()
      if "unfinished" not in row
    }

  whole = lines("whole")
  assert [s for s, row in whole.items() if row["eval/loss"]] == [2, 4, 6]
  assert lines("at2and4", 2, 4) == whole
  assert lines("at5", 5) == whole


def _steps(folder):
  return {int(p.name) for p in (folder / "checkpoints").iterdir()}


@pytest.mark.parametrize(
  "metric, order",
  [("search/nDCG@10", (0.3, 0.9, 0.5)), ("eval/loss", (3.0, 1.0, 2.0))],
)
def test_the_best_checkpoint_is_kept_over_restarts(tmp_path, metric, order):
  class Data:  # the parts that a checkpoint uses
    get_state = staticmethod(lambda: {})

  def save(*values, start):
    saved = checkpoint.Checkpoints(tmp_path, keep=1, best=metric)
    for step, value in enumerate(values, start):
      results = {} if value is None else {metric: value, "other": 9.0}
      saved.save(step, {"x": np.arange(3.0) + step}, Data(), results)
    saved.close()

  worst, best, middle = order
  save(worst, best, None, float("nan"), start=1)
  assert _steps(tmp_path) == {2, 4}
  save(middle, start=5)
  assert _steps(tmp_path) == {2, 5}
  assert checkpoint.best(tmp_path) == (2, metric, best)
  save(best, None, start=6)  # of equally good ones, the earlier is kept
  assert _steps(tmp_path) == {2, 7}


@pytest.mark.parametrize(
  "overrides, expected",
  [
    (
      ["evaluators.eval.every=1", "evaluators.eval.data.split=tset"],
      "mean 'test'",
    ),
    (["evaluators.eval.kind=los"], "no kind 'los'.*mean 'loss'"),
    (
      ["checkpoint.best=eval/los", "evaluators.eval.every=1"],
      "nothing measures 'eval/los'; .*eval/accuracy.*mean 'eval/loss'",
    ),
    (
      ["checkpoint.best=eval/loss"],
      r"enable an evaluator by config.evaluators.NAME.every",
    ),
  ],
)
def test_an_impossible_evaluation_is_an_error_at_the_start(
  place, capsys, overrides, expected
):
  arguments = small_data.train(
    "mlm", place / "pairs", place / "wrong", *overrides
  )
  assert main(arguments) == 2
  assert re.search(expected, small_data.complaint(capsys.readouterr().err))
  assert not (place / "wrong").exists()


def test_the_page_adds_an_evaluator(place, monkeypatch):
  """The code of the page is run as it is."""
  page = pathlib.Path(evaluators.__file__).parent / "README.md"
  code, line, asked = re.findall(
    r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL
  )
  module = types.ModuleType("nomic_jax.evaluation.evaluators.uniformity")
  exec(compile(code, "uniformity.py", "exec"), module.__dict__)
  monkeypatch.setattr(evaluators, "_KINDS", dict(evaluators._KINDS))
  exec(line, {"_KINDS": evaluators._KINDS, **vars(module)})
  config = ml_collections.ConfigDict(
    config_flags.load(
      [
        small_data.config("mlm"),
        f"--config.data.path={place / 'pairs'}",
        "--config.steps=200",
      ]
    )
  )
  with config.unlocked():
    exec(asked, {"c": config})
  config.evaluators.spread.texts = 20
  words = tokenizer_lib.load(place / "pairs" / "tokenizer")
  architecture = dataclasses.replace(
    tiny.CONFIG, vocab_size=192, max_length=128
  ).architecture
  # Fills in the lengths and prompts that the page leaves to the model.
  start = Start(architecture, place / "pairs" / "tokenizer", None)
  config, _ = resolve_lib.resolve(config, start)
  run = program.setup(config, architecture, jax.devices())
  called = evaluators.Evaluators(config, words, run)
  assert called.due(100) == ["spread"] and not called.due(99)
  params = tiny.params(run.loss)
  ((name, value),) = called(["spread"], params).items()
  assert name == "spread/uniformity_loss"
  assert best_lib.goodness(name, -2.0) > best_lib.goodness(name, -1.0)
  # Independently: one text at a time, in float64.
  embed = tiny.jit(lambda p, t: Encoder(architecture).embed(p, t, 1).vectors)
  rows = dataset.open_split(place / "pairs", "train")
  x = []
  for i in range(20):
    ids = np.array([words.encode(rows[i]["document"]).ids[:128]])
    padded = lambda x: np.pad(x, ((0, 0), (0, 128 - ids.size)))
    tokens = {
      "ids": padded(ids),
      "segment_ids": padded(np.ones_like(ids)),
      "positions": padded(np.arange(ids.size)[None]),
    }
    vector = np.asarray(embed(params["encoder"], tokens), "d")[0, 0]
    x.append(vector / np.linalg.norm(vector))
  apart = [
    np.exp(-2 * np.square(a - b).sum())
    for i, a in enumerate(x)
    for j, b in enumerate(x)
    if i != j
  ]
  assert value == pytest.approx(np.log(np.mean(apart)), rel=1e-4) and value < 0
