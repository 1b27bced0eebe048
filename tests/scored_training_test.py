# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Scored pairs and triplets: read from a table, trained on, and evaluated."""

import json

import ml_collections
import numpy as np
import pytest
from support import small_data
from support import tiny

from nomic_jax.data import collate
from nomic_jax.data import pairs
from nomic_jax.data import records
from nomic_jax.data.prepare import prepare
from nomic_jax.evaluation import pairs as pair_tasks
from nomic_jax.evaluation import tasks
from nomic_jax.main import main

TOKENIZER = tiny.words()


def _config(**options):
  return ml_collections.ConfigDict(
    dict(
      kind="triplets",
      batch_size=4,
      row_length=32,
      slots=8,
      rows_multiple=2,
      query_length=12,
      document_length=12,
      token_dropout=0.0,
      query_prompt="",
      document_prompt="",
      negatives=2,
      one_source=False,
      path="data",
      split="train",
    )
    | options
  )


def _texts(batch, slots):
  """The texts in the slots."""
  found = []
  for slot in slots.tolist():
    row, place = divmod(slot, 8)
    held = batch["ids"][row][batch["segment_ids"][row] == place + 1]
    found.append(TOKENIZER.decode(held) if slot >= 0 else None)
  return found


def test_a_batch_has_every_negative_and_score():
  rows = [
    records.row("alpha", "beta", negatives=["gamma", "delta"], score=0.5),
    records.row("beta", "gamma", negatives=["beta"], score=2.0),
    records.row("eta", "gamma", negatives=["gamma", "theta"], score=1.0),
  ]
  prompts = {"": {"query": "", "document": ""}}
  batch = collate.collate(rows, (0, 0), TOKENIZER, _config(), prompts)
  assert _texts(batch, batch["text"]) == [
    *("beta", "gamma", "gamma"),
    *("gamma", "delta", "beta", None, "gamma", "theta"),
  ]
  assert (batch["candidate"] < 0).sum() > (batch["text"] < 0).sum() == 1
  assert "score" not in batch
  config = _config(kind="scores", negatives=0)
  batch = collate.collate(rows, (0, 0), TOKENIZER, config, prompts)
  np.testing.assert_array_equal(batch["score"], np.array([0.5, 2, 1], "f"))
  assert batch["score"].dtype == np.float32 and "text" not in batch
  for kind in ("scores", "triplets"):
    filled = list(
      pairs.one_pass(rows, TOKENIZER, _config(kind=kind, batch_size=2), 0, 0, 1)
    )
    counts = [int((b["query"] >= 0).sum()) for b in filled]
    assert counts == [2, 1] and len(filled[1]["query"][0]) == 2
    if kind == "triplets":
      assert filled[1]["text"][0].tolist()[1] == -1
      assert len(filled[1]["text"][0]) == 6


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
  """Pairs whose score is the number of words they share."""
  folder = tmp_path_factory.mktemp("scored")
  rng = np.random.default_rng(0)
  lines = ["sentence1;sentence2;score"]
  for i in range(120):
    words = rng.permutation(small_data.WORDS)
    shared = i % 5
    lines.append(
      f"{' '.join(words[:5])} {i};"
      f"{' '.join(words[5 - shared : 10 - shared])} {i};{shared},0".replace(
        ",0", ""
      )
    )
  (folder / "pairs.csv").write_text("\n".join(lines) + "\n")
  prepare(
    str(folder / "pairs.csv"), folder / "data", vocab_size=150, held_out=0.2
  )
  return folder


def _train(folder, name, *flags):
  code = main(
    [
      "train",
      small_data.config(name),
      f"--workdir={folder}/{name}",
      *small_data.TINY,
      *(f"--config.{flag}" for flag in flags),
    ]
  )
  assert code == 0
  lines = (folder / name / "metrics.jsonl").read_text().splitlines()
  return [json.loads(line) for line in lines]


@pytest.mark.slow
def test_a_training_on_scores_learns_their_order(scored, capsys):
  found = _train(
    scored,
    "scores",
    f"data.path={scored}/data",
    "steps=40",
    "log_every=20",
    "data.batch_size=32",
    "data.rows_multiple=16",
    "optimizer.learning_rate=1e-2",
    "evaluators.scores.every=20",
    "checkpoint.every=20",
  )
  spearman = [m["scores/spearman"] for m in found if "scores/spearman" in m]
  losses = [m["loss"] for m in found if "loss" in m]
  assert losses[-1] < losses[0] and spearman[-1] > 0.3
  (task,) = tasks.find([f"{scored}/data"])
  assert isinstance(task, pair_tasks.StsTask)
  assert task.prompts == ("search_query", "search_document")
  capsys.readouterr()
  assert (
    main(
      [
        "evaluate",
        f"--model={scored}/scores",
        f"--tasks={scored}/data",
        f"--output={scored}/scores.json",
      ]
    )
    == 0
  )
  result = json.loads((scored / "scores.json").read_text())["models"][0]
  after = result["tasks"]["data"]["scores"]["Spearman"]
  # The same texts, prompts and weights.
  assert after == pytest.approx(spearman[-1], abs=1e-3)


@pytest.mark.slow
def test_triplets_train_and_what_does_not_fit_is_refused(
  scored, tmp_path, capsys
):
  rows = [
    {"anchor": f"{a} {i}", "positive": f"{a} {i} too", "negative": f"{b} no"}
    for i, (a, b) in enumerate(
      zip(small_data.WORDS * 2, small_data.WORDS[3:] * 2)
    )
  ]
  source = tmp_path / "t.jsonl"
  source.write_text("".join(json.dumps(row) + "\n" for row in rows))
  prepare(str(source), tmp_path / "data", vocab_size=120, held_out=0.2)
  found = _train(tmp_path, "triplets", f"data.path={tmp_path}/data")
  assert np.isfinite(found[-1]["loss"])
  for flags, message in (
    (["data.kind=pairs"], "the loss triplet reads rows of kind triplets"),
    (["data.negatives=0"], "needs config.data.negatives of 1 or more"),
    (["loss.name=cosent"], "the loss cosent has no such argument"),
  ):
    with_flags = [
      "train",
      small_data.config("triplets"),
      f"--workdir={tmp_path}/other",
      f"--config.data.path={tmp_path}/data",
      *small_data.TINY,
      *(f"--config.{flag}" for flag in flags),
    ]
    assert main(with_flags) == 2
    assert message in capsys.readouterr().err
  scores = [
    "train",
    small_data.config("scores"),
    f"--workdir={tmp_path}/other",
    f"--config.data.path={tmp_path}/data",
    *small_data.TINY,
  ]
  assert main(scores) == 2
  assert "its rows have no scores" in capsys.readouterr().err
