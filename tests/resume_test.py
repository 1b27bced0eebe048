# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A training that is killed at any moment ends with the same bits."""

import json
import os
import shutil
import time

import jax
import numpy as np
import pytest
from support import small_data

from nomic_jax import training
from nomic_jax.cli import config_flags
from nomic_jax.errors import UserError
from nomic_jax.run import checkpoint
from nomic_jax.run import goodput
from nomic_jax.run import metrics

pytestmark = pytest.mark.slow

STEPS, EVERY, LOG = 40, 8, 3
FLAGS = [
  f"steps={STEPS}",
  f"log_every={LOG}",
  f"checkpoint.every={EVERY}",
  "optimizer.warmup=5 steps",
]
KINDS = {
  # Rows of text span documents, so the data iterator has a remainder to save.
  "mlm": ["data.row_length=48"],
  # Dropout, whose random numbers must be the same after resuming; and a frozen
  # table, which has no optimiser state.
  "contrastive": [
    "data.batch_size=8",
    "data.rows_multiple=16",
    "compute.dropout=0.1",
    "optimizer.lr_multipliers=(('.*/type/.*',0),('.*',1.0))",
    f"evaluators.eval.every={EVERY}",
    "evaluators.eval.batches=1",
    "evaluators.eval.data.split=train",
    "checkpoint.best=eval/loss",
  ],
}
# Metrics that may differ from run to run.
CLOCKS = {
  "seconds",
  "tokens_per_second",
  "data_wait",
  "data_wait_share",
  "compiled",
  "step_seconds_p50",
  "step_seconds_p90",
  "step_seconds_max",
  "clock",
  *(f"time/{cause}" for cause in goodput.CAUSES),
}


@pytest.fixture(name="place", scope="module")
def _place(tmp_path_factory):
  folder = tmp_path_factory.mktemp("resume")
  small_data.make(folder)
  return folder


def _start(place, kind, workdir, *more, held=""):
  command = small_data.train(
    kind, place / "pairs", workdir, *FLAGS, *KINDS[kind], *more
  )
  return small_data.Process(command, place / "compiled", held)


def _train(place, kind, workdir, *more):
  """Runs a training without interruption; returns its output."""
  status, out, err = _start(place, kind, workdir, *more).finish()
  assert status == 0, err
  return out


def _outcome(workdir):
  """Parameters, the data iterator's state and the lines of metrics.jsonl."""
  data = workdir / "checkpoints" / str(STEPS) / "data"
  lines = [
    {k: v for k, v in row.items() if k not in CLOCKS}
    for row in metrics.read(workdir / "metrics.jsonl")
  ]
  iterator = json.loads((data / "metadata").read_text())
  return checkpoint.restore_params(workdir), iterator, lines


def _same(one, other):
  return jax.tree.all(jax.tree.map(np.array_equal, one, other))


def _leftovers(workdir):
  return list(workdir.glob("checkpoints/*.orbax-checkpoint-tmp*"))


@pytest.fixture(name="whole", scope="module")
def _whole(place):
  """Returns a function that makes an uninterrupted training of a kind."""
  made = {}

  def whole(kind):
    if kind not in made:
      made[kind] = place / f"{kind}-whole"
      _train(place, kind, made[kind])
    return made[kind]

  return whole


@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_any_moment_ends_with_the_same_bits(place, whole, kind):
  workdir = place / kind
  file = workdir / "metrics.jsonl"

  def kill_when(moment, held):
    training = _start(place, kind, workdir, held=str(held))
    assert training.wait_for(moment), "it has run to its end"
    training.kill()

  # Before it has written anything.
  started = time.monotonic()
  kill_when(lambda: time.monotonic() > started + 1, held=1)
  assert checkpoint.latest_step(workdir) is None

  # With some steps done, but no checkpoint to resume from.
  kill_when(lambda: file.exists() and file.stat().st_size, held=EVERY - 1)
  assert checkpoint.latest_step(workdir) is None and metrics.read(file)

  # After the first checkpoint.
  folder = workdir / "checkpoints"
  kill_when((folder / str(EVERY)).exists, held=EVERY + 1)
  assert checkpoint.latest_step(workdir) == EVERY
  early = checkpoint.restore_params(workdir)["encoder"]

  # While a checkpoint is being written.
  assert not _leftovers(workdir)
  kill_when(lambda: _leftovers(workdir), held="rename")
  assert _leftovers(workdir) and checkpoint.latest_step(workdir) == EVERY

  # Just before the end.
  last = STEPS - EVERY
  kill_when((folder / str(last)).exists, held=STEPS - 1)
  assert checkpoint.latest_step(workdir) == last
  # As if also killed while it removed an old checkpoint.
  old = folder / str(last - EVERY)
  shutil.rmtree(old / "state")
  (old / "_CHECKPOINT_METADATA").unlink()

  assert f"resuming after step {last} of" in _train(place, kind, workdir)
  params, iterator, lines = _outcome(workdir)
  expected = _outcome(whole(kind))
  assert _same(params, expected[0])
  # Frozen parameters stay frozen after resuming.
  assert not _same(params["encoder"]["word"], early["word"])
  assert _same(params["encoder"]["type"], early["type"]) == (kind != "mlm")
  assert iterator and iterator == expected[1]
  assert lines == expected[2]
  best = checkpoint.best(workdir)
  assert best == checkpoint.best(whole(kind))
  assert (best is None) == (kind == "mlm")
  logged = {*range(LOG, STEPS, LOG), *range(EVERY, STEPS + 1, EVERY)}
  if kind != "mlm":
    logged.add(0)  # the best checkpoint is compared with the start
  assert [line["step"] for line in lines] == sorted(logged)
  assert not _leftovers(workdir)


def test_another_seed_gives_another_model(place, whole):
  """Control: the comparisons above detect a different run."""
  workdir = place / "other"
  _train(place, "mlm", workdir, "seed=43")
  mine, other = _outcome(whole("mlm")), _outcome(workdir)
  assert not _same(mine[0], other[0])
  assert mine[2] != other[2]


def test_two_stops_by_sigterm_leave_no_trace_in_the_curve(place, whole):
  workdir = place / "stopped-twice"
  file = workdir / "metrics.jsonl"

  def start_until(held, line):
    training = _start(place, "mlm", workdir, held=str(held))
    assert training.wait_for(
      lambda: any(row["step"] == line for row in metrics.read(file))
    )
    return training

  def stop(training, step):
    training.terminate()
    status, _, err = training.finish()
    assert status == 75 and checkpoint.latest_step(workdir) == step, err
    assert metrics.read(file)[-1]["step"] == step

  stop(start_until(held=17, line=16), 17)
  # Killed between its first line and its first checkpoint: restarts at 17.
  start_until(held=19, line=18).kill()
  stop(start_until(held=22, line=21), 22)
  _train(place, "mlm", workdir)
  params, iterator, lines = _outcome(workdir)
  expected = _outcome(whole("mlm"))
  assert _same(params, expected[0]) and iterator == expected[1]
  assert lines == expected[2]


def test_stopped_in_an_evaluation_it_is_made_on_resume(place, whole):
  workdir = place / "stopped-evaluating"
  training = _start(place, "contrastive", workdir, held="evaluation")
  training.read_line("evaluates")
  training.terminate()
  status, _, err = training.finish()
  assert status == 75 and checkpoint.latest_step(workdir) == EVERY, err
  assert checkpoint.best(workdir) is None
  # The work directory knows its config, except for the flags of this run.
  alone = small_data.Process(
    ["train", f"--workdir={workdir}"], place / "compiled"
  )
  status, _, err = alone.finish()
  assert status == 0, err
  params, *rest = _outcome(workdir)
  expected, *others = _outcome(whole("contrastive"))
  assert _same(params, expected) and rest == others
  assert checkpoint.best(workdir) == checkpoint.best(whole("contrastive"))


def test_stopped_by_sigterm_and_its_last_checkpoint_truncated(place, whole):
  workdir = place / "stopped"
  command = small_data.train(
    "mlm",
    place / "pairs",
    workdir,
    *FLAGS,
    *KINDS["mlm"],
    "checkpoint.keep_every=16",
  )
  training = small_data.Process(command, place / "compiled", held="19")
  file = workdir / "metrics.jsonl"
  assert training.wait_for(
    lambda: any(row["step"] > 16 for row in metrics.read(file))
  )
  training.terminate()
  status, _, err = training.finish()
  assert status == 75, err
  stopped = checkpoint.latest_step(workdir)
  assert stopped == 19
  assert err.splitlines()[-1] == (
    f"nomic-jax: stopped: SIGTERM: saved step {stopped} of {STEPS} under "
    f"{workdir}; run the same command to resume"
  )

  folder = workdir / "checkpoints"
  before = sorted(int(p.name) for p in folder.iterdir())[-2]
  # All of them, since the largest may hold only unused data.
  for part in (folder / str(stopped)).rglob("d/*"):
    os.truncate(part, part.stat().st_size // 2)
  training = small_data.Process(
    [*command, "--profile=38:39"], place / "compiled"
  )
  status, out, err = training.finish()
  assert status == 0, err
  assert f"warning: the checkpoint of step {stopped} cannot be read" in err
  assert f"resuming after step {before} of" in out
  assert (workdir / "damaged" / str(stopped)).is_dir()
  assert {p.name for p in folder.iterdir()} == {"16", "32", "40"}
  assert list(workdir.glob("profile/plugins/profile/*/*.xplane.pb"))
  params, iterator, _ = _outcome(workdir)
  expected = _outcome(whole("mlm"))
  assert _same(params, expected[0]) and iterator == expected[1]


@pytest.mark.parametrize("wrong", ["3", "5:4", "a:b", "0:2"])
def test_a_profile_of_no_steps_is_an_error(wrong, tmp_path):
  config = config_flags.load([small_data.config("mlm")])
  with pytest.raises(UserError, match=f"'{wrong}'; expected FIRST:LAST"):
    training.train(config, tmp_path / "none", wrong)


def test_a_profile_beyond_the_training_is_an_error(tmp_path):
  data = small_data.make(tmp_path)
  config = config_flags.load(
    [
      small_data.config("mlm"),
      f"--config.data.path={data}",
      "--config.steps=4",
      *small_data.TINY,
    ]
  )
  with pytest.raises(UserError, match="--profile=3:9: .* has only 4 steps"):
    training.train(config, tmp_path / "none", "3:9")
  assert not (tmp_path / "none").exists()


def test_a_damaged_checkpoint_is_named(place, whole):
  workdir = place / "damaged"
  shutil.copytree(whole("mlm"), workdir)
  for path in (workdir / "checkpoints" / str(STEPS)).rglob("d/*"):
    path.unlink()
  with pytest.raises(UserError, match=f"checkpoints/{STEPS}: cannot be read"):
    checkpoint.restore_params(workdir)
  shutil.rmtree(workdir / "checkpoints" / str(STEPS))  # as the error advises
  assert checkpoint.latest_step(workdir) == STEPS - EVERY
  assert not _same(
    checkpoint.restore_params(workdir), _outcome(whole("mlm"))[0]
  )
