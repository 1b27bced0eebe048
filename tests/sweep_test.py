# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A sweep trains every point once with its values."""

import json
import pathlib
import shutil
import subprocess

import plot_test
import pytest
from support import small_data

from nomic_jax import sweep
from nomic_jax.cli import config_flags
from nomic_jax.errors import Diverged
from nomic_jax.errors import UserError
from nomic_jax.main import main

pytestmark = pytest.mark.slow

CONFIG = """
import ml_collections

def get_config(arg=None):
  return ml_collections.ConfigDict(dict(steps=1, rate=0.0, other=1.0))

def sweep(add):
  for rate in (0.5, 0.25):
    add(rate=rate)
"""


def test_points_are_trained_with_their_values(tmp_path, monkeypatch, capsys):
  config = tmp_path / "some.py"
  config.write_text(CONFIG)
  seen = []

  def train(config, workdir):
    seen.append((config.rate, config.other))
    folder = tmp_path / "runs" / workdir.rsplit("/", 1)[1]
    folder.mkdir(parents=True, exist_ok=True)
    line = {"step": 1, "loss": config.rate, "seconds": 60.0}
    (folder / "metrics.jsonl").write_text(json.dumps(line) + "\n")

  monkeypatch.setattr("nomic_jax.training.train", train)
  flags = [f"--config={config}", "--config.other=3"]
  assert not main(["sweep", *flags, f"--workdir={tmp_path}/runs"])
  assert seen == [(0.5, 3.0), (0.25, 3.0)]
  *table, drawn = capsys.readouterr().out.splitlines()
  assert [line.split() for line in table] == [
    ["loss", "minutes", "rate"],
    ["0.2500", "1.0", "0.25"],
    ["0.5000", "1.0", "0.5"],
  ]
  assert drawn == f"{tmp_path}/runs/sweep.png: 1 charts"
  assert plot_test.size(tmp_path / "runs" / "sweep.png")[0] > 400
  assert (
    main(["sweep", *flags, f"--workdir={tmp_path}/runs", "--metric=lost"]) == 2
  )
  assert "Did you mean 'loss'?" in capsys.readouterr().err
  assert seen == [(0.5, 3.0), (0.25, 3.0)] * 2

  assert not main(["sweep", *flags, "--workdir=x", "--list"])
  assert capsys.readouterr().out.split() == ["rate=0.5", "rate=0.25"]
  config.write_text(
    CONFIG.replace("sweep(add)", "sweep(add, arg)").replace(
      "(0.5, 0.25)", "(float(arg),)"
    )
  )
  assert not main(["sweep", f"--config={config}:0.75", "--workdir=x", "--list"])
  assert capsys.readouterr().out.split() == ["rate=0.75"]
  config.write_text(CONFIG)
  assert not main(["sweep", *flags, "--workdir=x y", "--commands"])
  assert capsys.readouterr().out.splitlines()[0] == (
    f"train --config={config} --config.other=3 --config.rate=0.5 "
    "'--workdir=x y/rate=0.5'"
  )
  assert not main(
    [
      "sweep",
      *flags,
      "--workdir=x",
      "--commands=NAME=p-{n} bash launch/tpu_pod.sh babysit",
    ]
  )
  assert (
    capsys.readouterr()
    .out.splitlines()[1]
    .startswith("NAME=p-2 bash launch/tpu_pod.sh babysit train --config=")
  )
  assert len(seen) == 4  # none of these trains


def test_points_that_differ_in_a_seed_are_one_line(
  tmp_path, monkeypatch, capsys
):
  config = tmp_path / "some.py"
  config.write_text(
    CONFIG.replace(
      "add(rate=rate)",
      """for seed in (1, 2, 3):
      add(rate=rate, other=seed)""",
    )
  )

  def train(config, workdir):
    folder = tmp_path / "runs" / workdir.rsplit("/", 1)[1]
    folder.mkdir(parents=True)
    line = {
      "step": 1,
      "seconds": 60.0,
      "dev/f1": config.rate + (config.other - 1) ** 2 / 100,
    }
    (folder / "metrics.jsonl").write_text(json.dumps(line) + "\n")

  monkeypatch.setattr("nomic_jax.training.train", train)
  command = ["sweep", f"--config={config}", f"--workdir={tmp_path}/runs"]
  assert not main([*command, "--metric=dev/f1", "--median=other"])
  *table, drawn = capsys.readouterr().out.splitlines()
  assert drawn.endswith("sweep.png: 1 charts")
  assert [line.split() for line in table[1:]] == [
    ["0.5100", "3.0", "0.5", "3:", "0.5000", "0.5400"],
    ["0.2600", "3.0", "0.25", "3:", "0.2500", "0.2900"],
  ]
  assert main([*command, "--median=othre"]) == 2
  assert "Did you mean 'other'?" in capsys.readouterr().err


@pytest.mark.parametrize("parallel", [1, 2])
def test_a_point_that_diverges_is_a_line_of_the_table(
  tmp_path, monkeypatch, capsys, parallel
):
  config = tmp_path / "some.py"
  config.write_text(CONFIG.replace("(0.5, 0.25)", "(0.5, 1e30, -1.0, 0.25)"))
  trained = []

  def train(config, workdir):
    trained.append(config.rate)
    if config.rate < 0:
      raise UserError("no such rate")
    folder = pathlib.Path(workdir)
    folder.mkdir(parents=True, exist_ok=True)
    line = {"step": 1, "loss": config.rate, "seconds": 60.0}
    (folder / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    if config.rate > 1:
      (folder / "diverged.json").write_text('{"step": 3}')
      raise Diverged("step 3: loss is nan", 3)

  def run(command, **kwargs):
    *flags, workdir = command[4:]
    try:
      train(config_flags.load(flags), workdir.removeprefix("--workdir="))
    except UserError as e:
      kwargs["stderr"].write(f"nomic-jax: error: {e}\n")
      return subprocess.CompletedProcess(command, 2)
    return subprocess.CompletedProcess(command, 0)

  monkeypatch.setattr("nomic_jax.training.train", train)
  monkeypatch.setattr(subprocess, "run", run)
  command = [
    "sweep",
    f"--config={config}",
    f"--workdir={tmp_path}/runs",
    f"--parallel={parallel}",
  ]
  for again in (False, True):
    trained.clear()
    assert main(command) == 2
    out, err = capsys.readouterr()
    assert sorted(trained) == [-1.0, 0.25, 0.5, *([] if again else [1e30])]
    lines = [line.split("  ") for line in out.splitlines()]
    table = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    start = table.index(["loss", "minutes", "rate"])
    assert table[start + 1 : start + 4] == [
      ["0.2500", "1.0", "0.25"],
      ["0.5000", "1.0", "0.5"],
      ["diverged at step 3", "1.0", "1e+30"],
    ]
    assert "1 of 4 points failed: rate=-1.0; " in err
    if parallel == 1:
      assert "no such rate" in err
    assert (
      "diverged at step 3 in an earlier run and is not trained again" in out
    ) == again


def test_a_metric_that_some_points_lack(tmp_path, monkeypatch, capsys):
  config = tmp_path / "some.py"
  config.write_text(CONFIG)

  def train(config, workdir):
    folder = pathlib.Path(workdir)
    folder.mkdir(parents=True, exist_ok=True)
    line = {"step": 1, "loss": 1.0, "seconds": 60.0}
    line |= {"eval/loss": 2.0} if config.rate == 0.25 else {}
    (folder / "metrics.jsonl").write_text(json.dumps(line) + "\n")

  monkeypatch.setattr("nomic_jax.training.train", train)
  assert not main(
    [
      "sweep",
      f"--config={config}",
      f"--workdir={tmp_path}/runs",
      "--metric=eval/loss",
    ]
  )
  table = capsys.readouterr().out.splitlines()
  assert table[1].split() == ["2.0000", "1.0", "0.25"]
  assert table[2].split() == ["no", "eval/loss", "1.0", "0.5"]


def test_names_of_points_are_those_of_folders(tmp_path, capsys):
  config = tmp_path / "some.py"
  config.write_text(
    CONFIG.partition("def sweep")[0]
    + """
def sweep(add):
  add(init_from="model")
  add(init_from="./model")
  add(init_from=".-model")
  add(rules="(('.*/word/.*', 0.1), ('[a-z]?', 1.0))")
  add(text="\u00e9" * 200)
  add(text="\u00e9" * 201)
  add(**{"a.rate": 1, "b.rate": 2})
  add(**{"b.rate": 1, "a.rate": 2})
  add(init_from="model")
"""
  )
  assert not main(["sweep", f"--config={config}", "--workdir=x", "--list"])
  out = capsys.readouterr().out.splitlines()
  assert "trained once" in out[0]
  names = out[1:]
  assert len(set(names)) == len(names) == 8
  assert names[0] == "init_from=model" and names[2] == "init_from=.-model"
  for name in names:
    (tmp_path / name).mkdir()
    (tmp_path / f"{name}.log").touch()
    assert len(f".{name}.12345678.tmp".encode()) < 255
    assert not set(name) & set("/*?[]")


@pytest.mark.parametrize(
  "flag, message",
  [
    ("--config.optimizer.learning_rate=1", "learning_rate: the sweep of"),
    ("--parallel=0", "--parallel=0: expected 1 or more"),
  ],
)
def test_flags_without_an_effect_are_refused(capsys, flag, message):
  command = ["sweep", small_data.config("adapt"), "--workdir=x", "--list"]
  assert not main(command)
  capsys.readouterr()
  assert main([*command, flag]) == 2
  assert message in small_data.complaint(capsys.readouterr().err)


def test_points_side_by_side(tmp_path, capsys):
  """The first point's schedule does not fit, and does not stop the other."""
  small_data.make(tmp_path)
  config = tmp_path / "config.py"
  config.write_text(
    (small_data.ROOT / "configs" / "mlm.py")
    .read_text()
    .partition("def sweep")[0]
    + """
def sweep(add):
  for warmup in ("5 steps", "1 steps"):
    add(**{"optimizer.warmup": warmup})
"""
  )
  shutil.copy(small_data.ROOT / "configs" / "common.py", tmp_path)
  flags = [
    f"--config={config}:miniature",
    "--config.steps=2",
    *small_data.TINY,
    f"--config.data.path={tmp_path}/pairs",
  ]
  command = ["sweep", *flags, f"--workdir={tmp_path}/runs", "--parallel=2"]
  assert main(command) == 2
  out, err = capsys.readouterr()
  assert "warmup=1 steps: done" in out
  assert "warmup=5 steps.log: nomic-jax: error: config.optimizer.warmup" in out
  assert "1 of 2 points failed: warmup=5 steps; their .log files" in err
  log = (tmp_path / "runs" / "warmup=5 steps.log").read_text()
  assert "config.optimizer.warmup: '5 steps'" in log


def test_a_config_without_points_is_an_error(tmp_path):
  config = tmp_path / "none.py"
  config.write_text("def get_config(arg=None): pass\n")
  with pytest.raises(UserError, match="no sweep"):
    sweep.points([f"--config={config}"])
