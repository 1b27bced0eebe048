# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The best checkpoint: includes the start, keeps the earlier of ties, patience.

With patience, a training ends after so many evaluations without improvement.
"""

import json
import math

import pytest
from support import small_data

from nomic_jax.errors import UserError
from nomic_jax.main import main
from nomic_jax.mesh import processes
from nomic_jax.run import best as best_lib
from nomic_jax.run import checkpoint
from nomic_jax.run import metrics


@pytest.fixture(name="place", scope="module")
def _place(tmp_path_factory):
  folder = tmp_path_factory.mktemp("best")
  small_data.make(folder)
  return folder


@pytest.mark.parametrize(
  "metric, values, best",
  [
    ("a/nDCG@10", (0.5, 0.5, 0.4, math.nan), (0.5, 0, 3)),
    ("a/nDCG@10", (0.5, 0.6, 0.6, 0.5), (0.6, 1, 2)),
    ("a/loss", (2.0, 3.0, 1.0, 1.0), (1.0, 2, 1)),
    ("a/loss", (math.nan, 3.0), (3.0, 1, 0)),
  ],
)
def test_the_best_is_the_earliest_of_equals(metric, values, best):
  record, replayed = best_lib.Record(metric, 2), best_lib.Record(metric, 2)
  rows = [{"step": n, metric: v} for n, v in enumerate(values)]
  better = [record.add(row["step"], row) for row in rows]
  assert (record.value, record.step, record.since) == best
  assert better[best[1]] and not any(better[best[1] + 1 :])
  assert not record.add(9, {"other": 1.0}) and record.since == best[2]
  assert record.exhausted == (best[2] >= 2)
  replayed.replay(rows)
  assert (replayed.value, replayed.step, replayed.since) == best


def test_patience_needs_a_figure():
  with pytest.raises(UserError, match="patience: 3, but config.checkpoint.be"):
    best_lib.Record("", 3)


def _train(place, workdir, *overrides):
  return small_data.train(
    "contrastive",
    place / "pairs",
    workdir,
    "data.batch_size=8",
    "data.rows_multiple=16",
    "optimizer.schedule=constant",
    "optimizer.warmup=0 steps",
    "checkpoint.best=eval/loss",
    "evaluators.eval.every=1",
    "evaluators.eval.batches=1",
    "evaluators.eval.data.split=train",
    *overrides,
  )


def _lines(workdir):
  rows = metrics.read(workdir / "metrics.jsonl")
  return {row["step"]: row["eval/loss"] for row in rows}


@pytest.mark.slow
def test_no_checkpoint_beats_the_start(place, capsys, monkeypatch):
  """A learning rate of 0 changes nothing, so every step is a tie."""
  still = ["steps=6", "optimizer.learning_rate=0.0", "checkpoint.patience=3"]
  workdir = place / "still"
  assert main(_train(place, workdir, *still)) == 0
  out = capsys.readouterr().out
  assert "no checkpoint beat the initial model; best eval/loss was" in out
  assert "stopped early after 3 measurements without improvement" in out
  losses = _lines(workdir)
  assert [*losses] == [0, 1, 2, 3] and len(set(losses.values())) == 1
  assert checkpoint.best(workdir) is None
  assert checkpoint.latest_step(workdir) == 3
  export = ["export", f"--workdir={workdir}", f"--output={place}/model"]
  assert main([*export, "--step=best"]) == 2
  assert "no checkpoint of" in (err := capsys.readouterr().err)
  assert f"eval/loss is {losses[0]:.4g}" in err

  # Run again, it takes no further step; with more patience, it continues.
  assert main(_train(place, workdir, *still)) == 0
  assert "stopped early" in capsys.readouterr().out
  assert checkpoint.latest_step(workdir) == 3
  more = [*still[:2], "checkpoint.patience=4"]
  assert main(_train(place, workdir, *more)) == 0
  assert checkpoint.latest_step(workdir) == 4

  # If stopped at any step and resumed, it ends at the same step.
  for stop in (1, 2, None):
    monkeypatch.setattr(
      processes.Preemption, "reached", lambda self, step: step == stop
    )
    status = main(_train(place, place / "stopped", *still))
    assert status == (75 if stop else 0)
  assert _lines(place / "stopped") == losses


@pytest.mark.slow
def test_a_training_that_learns_has_a_best_after_the_start(place, capsys):
  workdir = place / "learns"
  learning = ["steps=4", "optimizer.learning_rate=2e-3"]
  assert main(_train(place, workdir, *learning, "checkpoint.patience=4")) == 0
  losses = _lines(workdir)
  step = min(losses, key=lambda s: (losses[s], s))
  assert [*losses] == [0, 1, 2, 3, 4] and step > 0
  assert checkpoint.best(workdir) == (step, "eval/loss", losses[step])
  assert f"at step {step}: {workdir}/checkpoints" in capsys.readouterr().out


@pytest.mark.slow
def test_epochs_are_whole_batches_of_the_rows(place, capsys):
  """54 rows and batches of 8: 6 steps."""
  workdir = place / "epochs"
  flags = ["optimizer.learning_rate=0.0", "evaluators.eval.every=100"]
  assert main(_train(place, workdir, *flags, "epochs=0.5")) == 0
  assert checkpoint.latest_step(workdir) == 3
  assert main(_train(place, workdir, *flags, "epochs=0.5")) == 0
  assert "already trained to step 3" in capsys.readouterr().out
  assert main(_train(place, workdir, *flags, "epochs=1")) == 0
  assert "extended from 0.5 to 1 epochs" in capsys.readouterr().out
  assert checkpoint.latest_step(workdir) == 6
  assert main(_train(place, workdir, *flags, "steps=7")) == 2
  assert "config.epochs was 1" in capsys.readouterr().err
  kept = json.loads((workdir / "config.json").read_text())
  assert (kept["steps"], kept["epochs"]) == (0, 1.0)
