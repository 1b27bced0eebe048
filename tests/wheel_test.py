# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A wheel works without a clone, configs/ included."""

import pathlib
import shutil
import subprocess
import sys
import sysconfig

import pytest

from nomic_jax.cli import config_flags
from nomic_jax.errors import UserError

ROOT = pathlib.Path(__file__).parents[1]


def _run(*command, cwd):
  done = subprocess.run(
    [*map(str, command)], cwd=cwd, capture_output=True, text=True
  )
  assert done.returncode == 0, done.stderr
  return done


@pytest.mark.slow
def test_an_installed_wheel_finds_its_configs_from_any_folder(
  tmp_path, monkeypatch
):
  pytest.importorskip("setuptools")
  monkeypatch.delenv("PYTHONPATH", raising=False)
  source, venv, empty = (tmp_path / n for n in ("source", "venv", "empty"))
  empty.mkdir()
  for name in ("nomic_jax", "configs"):
    shutil.copytree(
      ROOT / name, source / name, ignore=lambda *_: ["__pycache__"]
    )
  for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
    shutil.copy(ROOT / name, source)
  pip = (sys.executable, "-m", "pip", "--quiet")
  _run(
    *pip,
    "wheel",
    "--no-build-isolation",
    "--no-deps",
    "--wheel-dir=w",
    ".",
    cwd=source,
  )
  _run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=empty)
  # The other libraries are those of the tests.
  packages = (
    f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
  )
  (venv / packages / "tests.pth").write_text(sysconfig.get_path("purelib"))
  _run(
    *pip,
    *("--python", venv / "bin/python", "install", "--no-deps", "--no-index"),
    "--force-reinstall",
    *(source / "w").glob("*.whl"),
    cwd=empty,
  )
  done = _run(
    venv / "bin/python",
    "-c",
    "import nomic_jax\n"
    "from nomic_jax.cli import config_flags\n"
    "load = lambda name: config_flags.load([f'--config=configs/{name}.py'])\n"
    "print(nomic_jax.__file__, load('mlm').steps, load('finetune').steps)",
    cwd=empty,
  )
  where, *steps = done.stdout.split()
  assert where.startswith(str(venv))
  assert steps == [
    str(config_flags.load([f"--config={ROOT}/configs/{name}.py"]).steps)
    for name in ("mlm", "finetune")
  ]
  found = venv / "share/nomic_jax/configs/mlm.py"
  assert f"configs/mlm.py not found here; using {found}" in done.stderr
  assert not list(empty.iterdir())


def test_a_file_of_that_name_here_comes_first(tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  load = lambda path: config_flags.load([f"--config={path}"])
  assert load("configs/mlm.py").steps > 5
  told = capsys.readouterr()
  assert not told.out and told.err.count("\n") == 1
  (tmp_path / "configs").mkdir()
  (tmp_path / "configs" / "mlm.py").write_text(
    "import ml_collections\n"
    "def get_config(arg=None):\n"
    f"  return ml_collections.ConfigDict({dict(steps=5)})\n"
  )
  assert load("configs/mlm.py").steps == 5
  assert not capsys.readouterr().err
  with pytest.raises(UserError, match="Did you mean 'configs/glue.py'"):
    load("configs/gluee.py")
  with pytest.raises(UserError, match="no file elsewhere/mlm.py"):
    load("elsewhere/mlm.py")
  (tmp_path / "config.yaml").write_text("steps: 5\n")
  with pytest.raises(UserError, match="config.yaml: expected a Python file"):
    load("config.yaml")
