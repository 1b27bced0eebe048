# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""launch/paper.sh: its commands, its counts, and a miniature run."""

import gzip
import json
import os
import pathlib
import runpy
import shlex
import subprocess
import sys
import types

import numpy as np
import pytest
from support import compiler
from support import small_data
from support import tiny

import nomic_jax
from nomic_jax import jobs
from nomic_jax.cli import config_flags
from nomic_jax.data import dataset
from nomic_jax.run import models
from nomic_jax.text import tokenizer as tokenizer_lib

pytestmark = pytest.mark.slow

SCRIPT = small_data.ROOT / "launch" / "paper.sh"
MIXTURES = types.SimpleNamespace(
  **runpy.run_path(str(small_data.ROOT / "configs" / "mixtures.py"))
)
STAGES = (
  "mlm",
  "pretrain",
  "finetune",
  "finetune-v1.5",
  "ablated",
  "glue",
  "evaluate",
)
# task: the columns of its files (CoLA's have no names) and the labels.
GLUE = {
  "MNLI": (
    ("gold_label", "sentence1", "sentence2"),
    ("entailment", "neutral", "contradiction"),
  ),
  "CoLA": ((), "01"),
  "SST-2": (("label", "sentence"), "01"),
  "QQP": (("is_duplicate", "question1", "question2"), "01"),
  "QNLI": (("label", "question", "sentence"), ("entailment", "not_entailment")),
  "MRPC": (("Quality", "#1 String", "#2 String"), "01"),
  "STS-B": (("score", "sentence1", "sentence2"), ("0.5", "2.25", "4")),
  "RTE": (
    ("label", "sentence1", "sentence2"),
    ("entailment", "not_entailment"),
  ),
}
# Tasks to train: each kind of loss, and both kinds of starting weights.
SWEPT = ("mnli", "cola", "stsb", "rte")
PATH = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"


def _paper(*arguments, **settings):
  """Runs the script with settings in the environment."""
  return subprocess.run(
    ["bash", str(SCRIPT), *arguments],
    text=True,
    capture_output=True,
    timeout=120,
    env={
      "PATH": PATH,
      "PYTHONPATH": str(small_data.ROOT),
      "HOME": os.environ.get("HOME", "/"),
    }
    | settings,
  )


def _commands(*arguments, **settings):
  done = _paper(*arguments, "--dry_run", **settings)
  assert done.returncode == 0, done.stderr
  return [shlex.split(line) for line in done.stdout.splitlines()]


def test_every_command_of_every_stage_is_one_that_there_is():
  all_of_them = _commands("all")
  assert all_of_them == [c for stage in STAGES for c in _commands(stage)]
  parser, _ = jobs.parser()
  steps = {}
  for command in all_of_them:
    if command[0] != "nomic-jax":
      assert command[0] == "python"
      continue
    parsed, rest = parser.parse_known_args(command[1:])
    assert not rest or parsed.command in ("train", "sweep")
    if rest:
      config = config_flags.load(rest)
      assert config.recipe == "published"
      steps[parsed.workdir.rpartition("/")[2]] = config.steps
  assert steps == {
    "mlm": 100_000,
    "nomic-embed-text-v1-unsupervised": 14_316,
    "nomic-embed-text-v1": 6_612,
    "nomic-embed-text-v1.5": 6_612,
    "nomic-embed-text-v1-ablated": 4_119,
    "mnli": 245_438,
    "cola": 5_344,
    "sst2": 42_093,
    "qqp": 227_403,
    "qnli": 65_464,
    "mrpc": 2_292,
    "stsb": 3_593,
    "rte": 1_556,
  }


def test_settings_reach_the_commands():
  train = next(
    c
    for c in _commands(
      "pretrain",
      LENGTHS="code",
      RECIPE="recommended",
      RUN="gs://b/paper",
      TRAIN="bash launch/tpu_pod.sh babysit train",
    )
    if "bash" in c
  )
  assert train[:4] == ["bash", "launch/tpu_pod.sh", "babysit", "train"]
  assert {
    "--config.data.query_length=32",
    "--config.data.document_length=256",
    "--config.recipe=recommended",
  } <= {*train}
  done = _paper("pretrian")
  assert done.returncode == 2 and "expected mlm|pretrain" in done.stderr
  assert _paper("mlm", LENGTHS="long").returncode == 2


def _paper_python(command):
  subprocess.run(
    [sys.executable, *command],
    check=True,
    cwd=small_data.ROOT,
    env=os.environ | {"PYTHONPATH": str(small_data.ROOT)},
  )


def _shards(root, mixture, rows):
  """One shard of each source of a mixture, in the published format."""
  draw = np.random.default_rng(len(mixture.datasets))
  text = lambda count: " ".join(draw.choice(tiny.WORDS, count))
  for d in mixture.datasets:
    folder = root / (d.bucket or mixture.bucket) / d.folder
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for i in range(rows):
      values = [
        f"{text(3)} {i % 9}",
        f"{text(6)} {i % 9}",
        [text(4) for _ in range(i % 4 + 1)],
      ]
      lines.append(
        json.dumps(
          dict(zip(d.columns, values))
          | {
            "metadata": {
              "objective": {
                "self": [],
                "paired": [],
                "triplet": [],
                mixture.objective: [list(d.columns)],
              }
            }
          }
        )
      )
    name = f"{d.folder}/shard-00000.jsonl.gz"
    (folder / "shard-00000.jsonl.gz").write_bytes(
      gzip.compress("\n".join(lines).encode(), 1)
    )
    (folder / "counts.json").write_text(json.dumps({name: rows}))


def _glue(folder, rows):
  """The .tsv files of the eight tasks."""
  draw = np.random.default_rng(8)
  for task, (columns, labels) in GLUE.items():
    (folder / task).mkdir(parents=True)
    for part in (
      "train",
      *(("dev_matched", "dev_mismatched") if task == "MNLI" else ("dev",)),
    ):
      lines = ["\t".join(columns)] if columns else []
      for i in range(rows):
        texts = [" ".join(draw.choice(tiny.WORDS, 4)) for _ in range(2)]
        label = labels[i % len(labels)]
        lines.append(
          "\t".join(
            (label, *texts)[: len(columns)]
            if columns
            else ("x", label, "", texts[0])
          )
        )
      (folder / task / f"{part}.tsv").write_text("\n".join(lines) + "\n")


@pytest.fixture(name="place", scope="module")
def _place(tmp_path_factory):
  place = tmp_path_factory.mktemp("paper")
  _shards(place / "data", MIXTURES.PRETRAIN, 19)
  _shards(place / "data", MIXTURES.FINETUNE, 17)
  words = tiny.words()
  tokenizer_lib.save(words, place / "words")
  draw = np.random.default_rng(0)
  rows = []
  for _ in range(60):
    ids = words.encode(" ".join(draw.choice(tiny.WORDS, 40))).ids
    rows.append(
      json.dumps({"input_ids": (ids * 2)[:64], "attention_mask": [1] * 64})
    )
  (place / "text.jsonl").write_text("\n".join(rows))
  _glue(place / "glue", 18)
  return place


def _settings(place):
  return dict(
    SIZE="miniature",
    SHARDS="1",
    RUN=f"{place}/run",
    DATA=f"{place}/data",
    TOKENIZER=f"{place}/words",
    TEXT=f"{place}/text.jsonl",
    GLUE=f"{place}/glue",
    TASKS=f"pairs={place}/eval",
    DIMS="16,8",
  )


def test_counts_are_reported_per_source(place):
  done = _paper("finetune", "--check", **_settings(place))
  assert done.returncode == 0, done.stderr
  lines = {
    line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()
  }
  assert lines["nq_triples"] == ["17", "16", "2", "69,888", "-69,872"]
  assert lines["all"] == ["170", "160", "20", "1,692,672"]
  assert "one epoch: 20; the paper's: 211,584" in done.stdout
  (place / "data/contrastive/fever_hn_mine/counts.json").rename(place / "gone")
  done = _paper("finetune", "--check", **_settings(place))
  assert "unknown" in done.stdout and done.stdout.endswith("fever\n")
  (place / "gone").rename(place / "data/contrastive/fever_hn_mine/counts.json")
  assert "160 epochs" in _paper("mlm", "--check").stdout


# One device and little optimization, since compiling takes most of the time.
_RUN = """
import json, sys
from nomic_jax.main import main
for command in json.load(sys.stdin):
  if main(command):
    sys.exit(f"failed: {command}")
"""


def _check_task(folder, run):
  """Checks that a GLUE task was trained from the right weights and scored."""
  (point,) = (p for p in folder.iterdir() if p.is_dir())
  name = folder.name
  config = json.loads((point / "config.json").read_text())
  assert config["compute"]["dropout"] == 0.1 and config["steps"] == 4
  assert config["init_from"] == str(
    run / "glue/mnli" / point.name if name in ("stsb", "rte") else run / "mlm"
  )
  lines = (point / "metrics.jsonl").read_text().splitlines()
  last = json.loads(lines[-1])
  metric = {"cola": "matthews", "stsb": "pearson"}.get(name, "accuracy")
  assert last["step"] == 4 and -1 <= last[f"dev/{metric}"] <= 1
  assert ("mismatched/accuracy" in last) == (name == "mnli")


def test_all_of_it_in_miniature(place):
  """From shards in the published format to scored v1 and v1.5, and GLUE."""
  dataset.write(
    place / "eval",
    {
      "test": [
        dataset.row(f"alpha beta {i}", f"gamma {i} delta") for i in range(9)
      ]
    },
    stats={},
  )
  commands = []
  for command in _commands("all", **_settings(place)):
    if command[0] == "python":  # writes a .yaml
      _paper_python(command[1:])
    elif command[1] != "sweep" or any(
      f"glue.py:{task}," in command[2] for task in SWEPT
    ):
      more = small_data.TINY if command[1] == "train" else []
      if "v1.5," in command[2]:
        more = [*more, "--config.loss.matryoshka_dims=(8,16)"]
      commands.append([*command[1:], *more])
  done = subprocess.run(
    [sys.executable, "-c", _RUN],
    input=json.dumps(commands),
    text=True,
    capture_output=True,
    timeout=500,
    env=os.environ
    | {
      "XLA_FLAGS": compiler.QUICK,
      # Tasks and seeds share programs.
      "JAX_COMPILATION_CACHE_DIR": f"{place}/compiled",
      "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
      "PYTHONPATH": str(small_data.ROOT),
    },
  )
  assert done.returncode == 0, done.stderr[-2000:]
  run = place / "run"
  stats = json.loads((run / "data/pretrain/stats.json").read_text())
  assert stats["rows"] == {"train": 16 * 29}
  assert stats["counts"]["dropped"]["incomplete batch"] == 3 * 29
  for name, steps, dropped in (
    ("nomic-embed-text-v1", 4, None),
    ("nomic-embed-text-v1.5", 4, (16, 32)),
  ):
    config = json.loads((run / name / "config.json").read_text())
    assert config["recipe"] == "published" and config["steps"] == steps
    model = models.read_model(run / "models" / name)
    assert model.architecture.head.pooled_norm == bool(dropped)
  lines = (run / "nomic-embed-text-v1-unsupervised/metrics.jsonl").read_text()
  sources = [
    k
    for line in lines.splitlines()
    for k in json.loads(line)
    if k.startswith("accuracy/")
  ]
  assert len(sources) == 6  # each batch is of one source
  scores = {
    m["name"]: m["tasks"]["pairs"]["scores"]["nDCG@10"]
    for name in ("v1", "v1.5")
    for m in json.loads((run / f"{name}.json").read_text())["models"]
  }
  assert [*scores] == [
    "nomic-embed-text-v1-unsupervised",
    "nomic-embed-text-v1-ablated",
    "nomic-embed-text-v1",
    "nomic-embed-text-v1.5@16",
    "nomic-embed-text-v1.5@8",
  ]
  assert all(0 <= score <= 1 for score in scores.values())
  for task in SWEPT:
    _check_task(run / "glue" / task, run)
  prepared = sorted(p.name for p in (run / "data/glue").iterdir())
  assert prepared == sorted(t.lower().replace("-", "") for t in GLUE)
  model = nomic_jax.load(run / "models/nomic-embed-text-v1.5")
  assert model.encode(["alpha"], dim=8).shape == (1, 8)
