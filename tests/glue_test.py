# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""GLUE: its files, its recipe, and its scores against a plain loop."""

import json

import jax
import ml_collections
import numpy as np
import pytest
from support import small_data
from support import tiny

from nomic_jax.cli import config_flags
from nomic_jax.data import dataset
from nomic_jax.data import labels as labels_data
from nomic_jax.data import loader
from nomic_jax.data.prepare import prepare
from nomic_jax.data.readers import glue
from nomic_jax.errors import UserError
from nomic_jax.evaluation.evaluators import labels
from nomic_jax.losses.classification import Classification
from nomic_jax.main import main
from nomic_jax.model.encoder import Encoder
from nomic_jax.run import models
from nomic_jax.run import start
from nomic_jax.storage import bad as bad_lib
from nomic_jax.text import tokenizer as tokenizer_lib

pytestmark = pytest.mark.slow

CONFIG = f"--config={small_data.ROOT}/configs/glue.py"


@pytest.mark.parametrize(
  "text, expected",
  [
    (
      "x1\t1\t\tIt is.\nx1\t0\t*\tIs it\n",
      [("", "It is.", 1), ("", "Is it", 0)],
    ),
    ('sentence\tlabel\nso "good\t1\n', [("", 'so "good', 1)]),
    (
      "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\ta\tb\n",
      [("a", "b", 1)],
    ),
    (
      "index\tgenre\tsentence1\tsentence2\tscore\n0\tx\ta\tb\t2.5\n",
      [("a", "b", 2.5)],
    ),
    (
      "index\tsentence1\tsentence2\tlabel1\tgold_label\n"
      "0\ta\tb\tneutral\tcontradiction\n1\ta\tc\tneutral\t-\n",
      [("a", "b", 2)],
    ),
    (
      "index\tquestion\tsentence\tlabel\n0\ta\tb\tnot_entailment\n",
      [("a", "b", 1)],
    ),
    (
      "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n0\t1\t2\ta\tb\t0\n",
      [("a", "b", 0)],
    ),
  ],
)
def test_a_tasks_file_is_known_by_its_columns(tmp_path, text, expected):
  file = tmp_path / "dev.tsv"
  file.write_text(text, encoding="utf-8")
  rows = [
    v for _, v in glue.records(str(file), bad_lib.BadRows(skippable=False))
  ]
  assert [(r.get("query", ""), r["document"], r["label"]) for r in rows] == (
    expected
  )


def test_files_that_are_no_tasks_and_rows_that_do_not_fit_are_named(tmp_path):
  file = tmp_path / "dev.tsv"
  read = lambda: list(
    glue.records(str(file), bad_lib.BadRows(0, skippable=False))
  )
  file.write_text("index\tsentence\n0\ta test file\n")
  with pytest.raises(
    UserError, match="first line does not match any GLUE task"
  ):
    read()
  file.write_text("sentence\tlabel\nfine\t1\nodd\t1\t2\n")
  with pytest.raises(
    UserError, match="row 3: 3 columns separated by tabs; expected 2"
  ):
    read()
  file.write_text("sentence\tlabel\nfine\tyes\n")
  with pytest.raises(UserError, match="row 2: unknown label 'yes'"):
    read()


def test_metrics_are_their_formulas():
  rng = np.random.default_rng(0)
  wanted, found = rng.integers(0, 2, (2, 50)).astype(float)
  count = lambda a, b: ((wanted == a) & (found == b)).sum()
  tp, tn, fp, fn = count(1, 1), count(0, 0), count(0, 1), count(1, 0)
  expected = {
    "accuracy": (tp + tn) / 50,
    "f1": 2 * tp / (2 * tp + fp + fn),
    "matthews": (tp * tn - fp * fn)
    / np.sqrt(float((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))),
  }
  for name, value in expected.items():
    assert labels.METRICS[name](wanted, found) == pytest.approx(value)
  a, b = rng.normal(size=(2, 50))
  b += a
  rank = lambda x: np.argsort(np.argsort(x))
  assert labels.METRICS["pearson"](a, b) == pytest.approx(
    np.corrcoef(a, b)[0, 1]
  )
  assert labels.METRICS["spearman"](a, b) == pytest.approx(
    np.corrcoef(rank(a), rank(b))[0, 1]
  )


def test_a_task_is_learnt_and_every_dev_row_is_scored_once(tmp_path):
  def write(part, count):
    lines = [
      f"x\t{i % 2}\t\t{('river', 'lamp')[i % 2]} number {i}\n"
      for i in range(count)
    ]
    (tmp_path / f"{part}.tsv").write_text("".join(lines))
    prepare(
      f"glue:{tmp_path}/{part}.tsv",
      tmp_path / part,
      vocab_size=60,
      held_out=0,
      tokenizer=None if part == "train" else tmp_path / "train/tokenizer",
    )

  write("train", 64)
  write("dev", 13)  # more than whole batches, and odd
  flags = [
    f"{CONFIG}:cola",
    *small_data.TINY,
    f"--config.data.path={tmp_path}/train",
    f"--config.evaluators.dev.data.path={tmp_path}/dev",
    "--config.compute.dtype=float32",
    "--config.compute.remat=none",
    "--config.data.batch_size=8",
    "--config.data.row_length=32",
    "--config.data.text_length=32",
    "--config.optimizer.learning_rate=1e-4",
    "--config.steps=3",
  ]
  assert main(["train", *flags, f"--workdir={tmp_path}/run"]) == 0
  last = json.loads(
    (tmp_path / "run/metrics.jsonl").read_text().splitlines()[-1]
  )

  files = models.read_model(tmp_path / "run")
  tokenizer = tokenizer_lib.load(files.tokenizer_path)
  loss = Classification(Encoder(files.architecture), labels=2)
  params = {
    "encoder": files.params,
    "classification_head": files.classification_head,
  }
  predict = tiny.jit(loss.predict)
  right = []
  for row in dataset.open_split(tmp_path / "dev", "train"):  # one at a time
    ids = np.zeros((1, 32), np.int32)
    tokens = tokenizer.encode(row["document"]).ids
    ids[0, : len(tokens)] = tokens
    batch = loader.nested(
      {
        "ids": ids,
        "segment_ids": (np.arange(32) < len(tokens))[None] * 1,
        "positions": np.arange(32)[None],
        "content": np.ones((1, 1)),
        "text": np.zeros(1, np.int32),
      }
    )
    logits = predict(params, jax.tree.map(np.asarray, batch))
    right.append(int(logits.argmax()) == row["labels"][0])
  assert len(right) == 13
  assert last["dev/accuracy"] == pytest.approx(np.mean(right))


def test_pairs_are_truncated_as_transformers_truncates_them():
  transformers = pytest.importorskip("transformers")
  plain = tiny.words()
  theirs = transformers.PreTrainedTokenizerFast(
    tokenizer_object=plain,
    pad_token="[PAD]",
    cls_token="[CLS]",
    sep_token="[SEP]",
  )
  text = lambda count, start: " ".join(
    tiny.WORDS[(start + i) % 10] for i in range(count)
  )
  lengths = [(40, 5), (5, 40), (30, 30), (31, 30), (12, 18), (3, 2), (40, 0)]
  rows = [
    {
      "query": text(a, i) if b else "",
      "document": text(b, i + 3) if b else (text(a, i)),
      "labels": [0.0],
      "location": "",
    }
    for i, (a, b) in enumerate(lengths)
  ]
  config = ml_collections.ConfigDict(
    dict(
      batch_size=len(rows),
      row_length=24,
      slots=1,
      rows_multiple=1,
      text_length=24,
      labels=1,
      classes=2,
    )
  )
  ((batch, _),) = labels_data.one_pass(rows, plain, config, 0, 1)
  assert plain.truncation is None  # the caller's own stays as it was
  for row, place in zip(rows, batch["text"][0]):
    texts = [t for t in (row["query"], row["document"]) if t]
    expected = theirs(
      *texts, truncation=True, max_length=24, return_token_type_ids=True
    )
    ids = expected["input_ids"]
    assert batch["ids"][0, place, : len(ids)].tolist() == ids
    assert not batch["ids"][0, place, len(ids) :].any()
    assert (
      batch["types"][0, place, : len(ids)].tolist()
      == (expected["token_type_ids"])
    )
  # Control: truncating the joined pair would lose the whole second text.
  ids = batch["ids"][0, batch["text"][0][0]].tolist()
  separator = plain.token_to_id("[SEP]")
  assert ids.index(separator) == 24 - 1 - 5 - 1 and ids[-1] == separator
  config.text_length = 4
  with pytest.raises(UserError, match="text_length: 4 tokens .* 5 or more"):
    next(labels_data.one_pass(rows, plain, config, 0, 1))


def test_the_recipe_is_the_papers(capsys):
  config = config_flags.load([f"{CONFIG}:mrpc", "--config.data.batch_size=32"])
  assert config.steps == 36_680 // 32
  assert config.evaluators.dev.every == 3_668 // 32
  assert config.evaluators.dev.metrics == "accuracy,f1"
  config = config_flags.load([f"{CONFIG}:stsb", "--config.steps=7"])
  assert (config.loss.kind, config.loss.labels, config.steps) == (
    "regression",
    1,
    7,
  )
  config = config_flags.load([f"{CONFIG}:mnli"])
  epoch = 392_702 // 16
  assert [e.every for n, e in config.evaluators.items() if n != "eval"] == (
    [epoch, epoch]
  )  # matched and mismatched
  assert main(["train", f"{CONFIG}:mnil", "--workdir=x"]) == 2
  assert "no such task; expected one of cola" in capsys.readouterr().err
  assert main(["train", f"{CONFIG}:rte,cola", "--workdir=x"]) == 2
  assert "'rte' and 'cola'; expected one" in capsys.readouterr().err


def test_a_classifier_with_other_labels_is_dropped_and_reported(capsys):
  config = config_flags.load([f"{CONFIG}:rte"])
  head = {"classifier": {"bias": np.zeros(3)}, "pooler": {}}
  start._fit_classifier(config, head)
  assert [*head] == ["pooler"] and "has 3 labels" in capsys.readouterr().out
  head = {"classifier": {"bias": np.zeros(2)}}
  start._fit_classifier(config, head)
  assert "classifier" in head and not capsys.readouterr().out


def test_f1_is_only_of_two_classes(tmp_path, capsys):
  rows = [
    dataset.row("", f"{tiny.WORDS[i % 3]} {i}", labels=[float(i % 3)])
    for i in range(12)
  ]
  dataset.write(tmp_path / "data", {"train": rows, "test": rows}, stats={})
  flags = [
    f"{CONFIG}:mrpc",
    *small_data.TINY,
    f"--config.data.path={tmp_path}/data",
    f"--config.evaluators.dev.data.path={tmp_path}/data",
    "--config.loss.labels=3",
    "--config.data.classes=3",
    "--config.data.batch_size=8",
  ]
  (tmp_path / "data/tokenizer").mkdir()
  tiny.words().save(str(tmp_path / "data/tokenizer/tokenizer.json"))
  assert main(["train", *flags, f"--workdir={tmp_path}/run"]) == 2
  assert (
    "config.evaluators.dev: metrics: 'f1' requires two classes, but "
    "loss.labels is 3; use accuracy or matthews" in capsys.readouterr().err
  )
