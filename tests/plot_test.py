# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Plots of trainings: the lines drawn, and errors."""

import json
import struct
import sys

import pytest

from nomic_jax import main
from nomic_jax.report import plot

pytest.importorskip("matplotlib")


def size(path):
  """Width and height of a PNG, from its header."""
  head = path.read_bytes()[:24]
  assert head[:8] == b"\x89PNG\r\n\x1a\n"
  return struct.unpack(">II", head[16:])


def _run(folder, factor, steps=50, **more):
  folder.mkdir(parents=True)
  rows = [
    {"step": n, "loss": factor / n, "seconds": float(n), **more}
    for n in range(1, steps + 1)
  ]
  (folder / "metrics.jsonl").write_text(
    "".join(json.dumps(r) + "\n" for r in rows)
  )
  return str(folder)


@pytest.fixture(name="drawn")
def _drawn(monkeypatch):
  """{title: {line: points}} of the last figure that was saved."""
  seen = {}
  save = plot._save

  def spy(figure, output):
    seen.clear()
    for axes in figure.axes:
      seen[axes.get_title() or axes.get_xlabel()] = {
        line.get_label(): list(zip(*line.get_data()))
        for line in axes.get_lines()
        if len(line.get_xdata())
      }
    save(figure, output)

  monkeypatch.setattr(plot, "_save", spy)
  return seen


def test_runs_side_by_side(tmp_path, drawn, capsys):
  first = _run(tmp_path / "rate=0.1", 1.0, accuracy=0.5)
  second = _run(tmp_path / "b", 2.0)
  output = tmp_path / "plot.png"
  assert not main.main(
    ["plot", first, f"longer={second}", f"--output={output}"]
  )
  assert capsys.readouterr().out == f"{output}: 2 charts\n"
  assert size(output)[0] > 800
  assert drawn["loss"].keys() == {"rate=0.1", "longer"}
  assert drawn["loss"]["longer"][3] == (4, 0.5)
  assert drawn["accuracy"].keys() >= {"rate=0.1"}
  assert "longer" not in drawn["accuracy"]
  assert not main.main(
    ["plot", first, "--metric=seconds", f"--output={output}"]
  )
  assert list(drawn) == ["seconds"]


def test_a_long_curve_is_averaged(tmp_path, drawn):
  plot.plot(
    [_run(tmp_path / "long", 0.0, 4000, mfu=0.25)], str(tmp_path / "p.png")
  )
  (curve,) = drawn["mfu"].values()
  assert len(curve) == 400 and curve[-1] == (4000, 0.25)


def test_points_of_a_sweep(tmp_path, drawn):
  varied = [
    {"loss.temperature": t, "optimizer.learning_rate": r}
    for t in (0.02, 0.05)
    for r in (4e-4, 1e-4)
  ]
  plot.points([1.0, 2.0, 3.0, 4.0], varied, "loss", tmp_path / "s.png")
  assert drawn["optimizer.learning_rate"] == {
    "temperature=0.02": [(1e-4, 2.0), (4e-4, 1.0)],
    "temperature=0.05": [(1e-4, 4.0), (4e-4, 3.0)],
  }
  varied = [{"schedule": "cosine"}, {"schedule": "linear"}]
  plot.points([1.0, 2.0], varied, "loss", tmp_path / "s.png")
  assert len(drawn["schedule"]) == 1


@pytest.mark.parametrize(
  "arguments, message",
  [
    (["nowhere"], "nowhere: no metrics.jsonl, or an empty one"),
    (
      ["RUN", "--metric=los"],
      "no run has 'los'; they have loss, seconds. Did you mean 'loss'?",
    ),
    (["RUN", "RUN"], "the same name; specify each as NAME=PATH"),
    (
      ["RUN", "--output=p.pdf"],
      "--output=p.pdf: expected a name that ends in .png",
    ),
  ],
)
def test_what_cannot_be_drawn(tmp_path, capsys, arguments, message):
  run = _run(tmp_path / "run", 1.0)
  arguments = [a.replace("RUN", run) for a in arguments]
  output = f"--output={tmp_path}/p.png"
  assert main.main(["plot", output, *arguments]) == 2
  assert message in capsys.readouterr().err


def test_without_matplotlib_the_error_names_the_extra(
  tmp_path, capsys, monkeypatch
):
  monkeypatch.delitem(sys.modules, "matplotlib.figure", raising=False)
  monkeypatch.setitem(sys.modules, "matplotlib", None)
  run = _run(tmp_path / "run", 1.0)
  assert main.main(["plot", run, f"--output={tmp_path}/p.png"]) == 2
  assert "pip install 'nomic_jax[plot]'" in capsys.readouterr().err
