# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The commands of launch/quickstart.sh, at a size for tests."""

import contextlib
import io
import pathlib
import shutil
import sysconfig

from support import small_data

from nomic_jax import main

PACKAGES = ("json", "email", "http", "logging", "wsgiref")
MODULES = ("argparse", "ftplib", "heapq", "queue", "random", "statistics")

# stage -> (config, init_from, data)
STAGES = {
  "mlm": ("mlm", None, "pairs"),
  "contrastive": ("contrastive", "mlm", "pairs"),
  "filtered": ("contrastive", "contrastive", "kept"),
  "finetune": ("finetune", "filtered", "mined"),
}
MODELS = ("untrained", *STAGES)
QUESTION = "parse an email message from a file"


def commands(place):
  """Every command of the pipeline, in order, by a name for each."""

  def train(stage):
    config, before, data = STAGES[stage]
    return [
      "train",
      small_data.config(config),
      f"--workdir={place}/{stage}",
      f"--config.data.path={place}/{data}",
      *([f"--config.init_from={place}/{before}"] if before else []),
    ]

  named = [f"--model={m}={place}/{m}" for m in MODELS]
  return {
    "prepare": [
      "prepare",
      f"--source=docstrings:{place}/python",
      "--held_out=0.1",
      "--vocab_size=600",
      f"--output={place}/pairs",
    ],
    "mlm": train("mlm"),
    "contrastive": train("contrastive"),
    "filter": [
      "filter",
      f"--model={place}/contrastive",
      f"--input={place}/pairs",
      f"--output={place}/kept",
      "--k=40",
    ],
    "filtered": train("filtered"),
    "mine": [
      "mine",
      f"--model={place}/filtered",
      f"--input={place}/kept",
      f"--output={place}/mined",
      "--negatives=4",
      "--depth=30",
      "--margin=1",
    ],
    "finetune": train("finetune"),
    "export": [
      "export",
      f"--workdir={place}/finetune",
      f"--output={place}/model",
    ],
    "untrained": [
      "export",
      small_data.config("contrastive"),
      f"--config.data.path={place}/pairs",
      f"--output={place}/untrained",
    ],
    "evaluate": [
      "evaluate",
      *named,
      f"--model=exported={place}/model",
      f"--tasks={place}/pairs",
      "--baseline=bm25",
      f"--output={place}/scores.json",
    ],
    "search": [
      "search",
      f"--model={place}/model",
      f"--corpus={place}/pairs",
      "--top=3",
      QUESTION,
    ],
    "report": [
      "report",
      *(f"--workdir={place}/{s}" for s in STAGES),
      f"--scores={place}/scores.json",
      f"--output={place}/report.html",
    ],
  }


def run(command):
  """Returns what a command printed, on standard output and on error."""
  with contextlib.redirect_stdout(io.StringIO()) as out:
    with contextlib.redirect_stderr(io.StringIO()) as err:
      status = main.main(command)
  assert status == 0, err.getvalue()
  return out.getvalue(), err.getvalue()


def copy_python(folder: pathlib.Path) -> None:
  """Copies a few packages and modules of the standard library."""
  library = pathlib.Path(sysconfig.get_paths()["stdlib"])
  for name in PACKAGES:
    shutil.copytree(library / name, folder / name)
  for name in MODULES:
    shutil.copy(library / f"{name}.py", folder)
