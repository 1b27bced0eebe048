# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Long trainings: checkpoints by time, kept programs, goodput, hung steps."""

import json
import time

import jax
import pytest
from support import small_data

from nomic_jax import loop
from nomic_jax import main
from nomic_jax.run import checkpoint
from nomic_jax.run import compiled_programs
from nomic_jax.run import goodput
from nomic_jax.run import metrics

pytestmark = pytest.mark.slow

FLAGS = ["steps=8", "log_every=2", "checkpoint.keep=9", "data.row_length=48"]


@pytest.fixture(name="place", scope="module")
def _place(tmp_path_factory):
  folder = tmp_path_factory.mktemp("pod")
  small_data.make(folder)
  return folder


def _train(place, run, *more):
  return main.main(
    small_data.train("mlm", place / "pairs", place / run, *FLAGS, *more)
  )


def _steps(workdir):
  return sorted(int(p.name) for p in (workdir / "checkpoints").iterdir())


def _lines(workdir):
  return [
    {k: v for k, v in row.items() if k in ("step", "loss", "learning_rate")}
    for row in metrics.read(workdir / "metrics.jsonl")
  ]


def test_checkpoints_by_time_change_no_line(place, capsys):
  assert not _train(
    place, "often", "checkpoint.minutes=1e-9", "checkpoint.every=0"
  )
  assert not _train(place, "once", "checkpoint.every=0")
  assert _steps(place / "often") == [2, 4, 6, 8]
  assert _steps(place / "once") == [8]
  assert _lines(place / "often") == _lines(place / "once")
  told = capsys.readouterr().out.splitlines()
  assert [line for line in told if line.startswith("time: step ")]
  row = metrics.read(place / "once" / "metrics.jsonl")[-1]
  assert all(row[f"time/{cause}"] >= 0 for cause in goodput.CAUSES)
  assert row["time/compile"] > 0 and row["time/restart"] == 0


def test_a_training_of_an_older_version_resumes(place, capsys):
  """Its config has no `minutes`, and another default of `every`."""
  assert not _train(place, "old", "checkpoint.every=4")
  config = place / "old" / "config.json"
  found = json.loads(config.read_text())
  del found["checkpoint"]["minutes"], found["log"]["hang_minutes"]
  found["checkpoint"]["every"] = 100
  config.write_text(json.dumps(found))
  checkpoints = place / "old" / "checkpoints"
  (checkpoints / "8").rename(place / "gone")
  lines = _lines(place / "old")
  capsys.readouterr()
  assert not _train(place, "old", "checkpoint.every=0")
  assert "after step 4 of 8" in capsys.readouterr().out
  assert checkpoint.latest_step(place / "old") == 8
  assert _lines(place / "old")[:2] == lines[:2]
  row = metrics.read(place / "old" / "metrics.jsonl")[-1]
  assert row["time/restart"] > 0  # lost steps, pause and start


def test_seconds_go_where_they_belong(monkeypatch):
  now = [1000.0]
  monkeypatch.setattr(time, "monotonic", lambda: now[0])
  monkeypatch.setattr(time, "time", lambda: now[0])
  spent = goodput.Goodput({}, 990.0)
  with spent.of("compile"):
    now[0] += 30
  spent.add("input", 2)
  now[0] += 58
  row = spent.row()
  assert [row[f"time/{c}"] for c in goodput.CAUSES] == [56, 2, 30, 0, 0, 10, 0]
  assert row["clock"] == now[0]
  now[0] += 40  # killed, and started again
  again = goodput.Goodput(row, now[0] - 5)
  now[0] += 10
  assert again.row()["time/restart"] == 40
  assert again.row()["time/step"] == 66 and again.row()["time/start"] == 10
  assert str(again) == (
    "time: step 44.6%, input 1.4%, compile 20.3%, start 6.8%, restart 27.0% "
    "of 0.04 hours"
  )


@pytest.fixture(name="no_cache")
def _no_cache():
  names = {
    "jax_compilation_cache_dir": None,
    "jax_persistent_cache_min_compile_time_secs": 0.0,
  }
  before = {name: getattr(jax.config, name) for name in names}
  compiled_programs._set(names)
  yield
  compiled_programs._set(before)


def test_compiled_programs_are_kept_with_the_training(
  place, no_cache, monkeypatch, tmp_path
):
  assert not _train(place, "kept", "seed=7")
  folder = place / "kept" / compiled_programs.FOLDER
  kept = {p.name for p in folder.glob("jit_step*")}
  assert kept and jax.config.jax_compilation_cache_dir is None
  # A restarted training compiles none of them.
  hits = []
  listen = lambda name, **more: hits.append(name)
  jax.monitoring.register_event_listener(listen)
  jax.clear_caches()
  for path in (place / "kept" / "checkpoints").iterdir():
    path.rename(place / f"gone-{path.name}")
  assert not _train(place, "kept", "seed=7")
  assert "/jax/compilation_cache/cache_hits" in hits
  assert {p.name for p in folder.glob("jit_step*")} == kept
  # The user's own folder takes precedence.
  jax.config.update("jax_compilation_cache_dir", str(tmp_path / "mine"))
  with compiled_programs.kept(tmp_path):
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "mine")


def test_a_step_that_hangs_says_where(capfd):
  with loop._Watch(minutes=0.001) as watch:
    told = ""
    while not ("Timeout" in told and "pod_test.py" in told):
      watch.rearm()  # the first lines may be lost to the reader
      time.sleep(0.2)
      told += capfd.readouterr().err
