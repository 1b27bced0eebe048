# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A classifier is trained from a table, exported, used and scored."""

import csv
import json

import numpy as np
import pytest
from support import small_data

import nomic_jax
from nomic_jax.data.prepare import prepare
from nomic_jax.errors import UserError
from nomic_jax.evaluation import systems
from nomic_jax.main import main

WORDS = small_data.WORDS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
  """A training on texts whose class is one of their words."""
  folder = tmp_path_factory.mktemp("classifier")
  rng = np.random.default_rng(0)
  lines = ["text,intent"]
  for i in range(150):
    words = rng.choice(WORDS[3:], 3).tolist()
    lines.append(f"{WORDS[i % 3]} {' '.join(words)} {i},is {WORDS[i % 3]}")
  (folder / "texts.csv").write_text("\n".join(lines) + "\n")
  prepare(
    str(folder / "texts.csv"), folder / "data", vocab_size=120, held_out=0.2
  )
  command = [
    "train",
    small_data.config("classify"),
    f"--workdir={folder}/run",
    *small_data.TINY,
    f"--config.data.path={folder}/data",
    "--config.steps=60",
    "--config.log_every=20",
    "--config.optimizer.learning_rate=1e-2",
    "--config.optimizer.warmup=5 steps",
  ]
  assert main(command) == 0
  export = ["export", f"--workdir={folder}/run", f"--output={folder}/model"]
  assert main(export) == 0
  return folder


def test_an_export_names_its_classes_and_predicts_as_transformers(trained):
  values = json.loads((trained / "model" / "config.json").read_text())
  classes = sorted(f"is {w}" for w in WORDS[:3])
  assert [values["id2label"][str(i)] for i in range(3)] == classes
  assert values["problem_type"] == "single_label_classification"
  texts = [f"{WORDS[i % 3]} {WORDS[5 + i % 9]} {i}" for i in range(70)]
  run, model = (nomic_jax.load(trained / n) for n in ("run", "model"))
  for each in (run, model):
    assert each.classes == tuple(classes) and each.task == "single"
  chances = model.predict_proba(texts)
  np.testing.assert_allclose(chances, run.predict_proba(texts), atol=1e-6)
  np.testing.assert_allclose(chances.sum(1), 1, atol=1e-5)
  assert chances.shape == (70, 3)
  assert model.predict(texts) == [classes[i] for i in chances.argmax(1)]
  right = np.mean(
    [p == f"is {t.split()[0]}" for p, t in zip(model.predict(texts), texts)]
  )
  assert right > 0.9
  assert len(model.predict([("river stone", "lamp")])) == 1
  assert model.predict([]) == []
  # A text's prediction does not depend on the others.
  np.testing.assert_allclose(
    model.predict_proba(texts[:1]), chances[:1], atol=1e-5
  )
  torch = pytest.importorskip("torch")
  transformers = pytest.importorskip("transformers")
  if values["model_type"] != "nomic_bert":
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(
      trained / "model"
    )
    words = transformers.AutoTokenizer.from_pretrained(trained / "model")
    with torch.no_grad():
      logits = theirs(**words(texts, padding=True, return_tensors="pt")).logits
    np.testing.assert_allclose(chances, logits.softmax(1).numpy(), atol=1e-5)
  with pytest.raises(UserError, match="a classifier, not an embedding model"):
    model.encode(["a"])
  with pytest.raises(UserError, match="--dim: shortens vectors, but this"):
    nomic_jax.export(
      model=str(trained / "model"), output=str(trained / "none"), dim=4
    )
  with pytest.raises(AttributeError):
    _ = model.nothing
  with pytest.raises(UserError, match="expected a list of texts"):
    model.predict("a text")
  with pytest.raises(UserError, match="text 1 is of type int"):
    model.predict(["a", 1])


def test_a_file_is_classified(trained, tmp_path, capsys):
  source = tmp_path / "in.csv"
  source.write_text('id;body\n1;river a b\n2;"stone; c"\n')
  for name, flags in (("out.csv", []), ("out.jsonl", ["--all"])):
    command = [
      "classify",
      f"--model={trained}/model",
      f"--input={source}",
      "--column=body",
      f"--output={tmp_path}/{name}",
      *flags,
    ]
    assert main(command) == 0
  with open(tmp_path / "out.csv", newline="") as stream:
    rows = list(csv.DictReader(stream))
  assert [r["text"] for r in rows] == ["river a b", "stone; c"]
  assert [r["label"] for r in rows] == ["is river", "is stone"]
  lines = (tmp_path / "out.jsonl").read_text().splitlines()
  chances = json.loads(lines[0])
  assert sum(v for k, v in chances.items() if k.startswith("p_")) == (
    pytest.approx(1, abs=1e-5)
  )
  assert float(rows[0]["probability"]) == max(
    v for k, v in chances.items() if k.startswith("p_")
  )
  capsys.readouterr()
  assert main([*command[:3], "--column=boody", command[4]]) == 2
  assert "Did you mean" in capsys.readouterr().err


def trained_classes(trained):
  return nomic_jax.load(trained / "run").classes


def test_evaluate_scores_the_head_on_held_out_rows(trained, tmp_path, capsys):
  output = tmp_path / "scores.json"
  command = [
    "evaluate",
    f"--model={trained}/run",
    f"--tasks={trained}/data",
    "--baseline=bm25",
    f"--output={output}",
  ]
  assert main(command) == 0
  assert "bm25 on data: skipped" in capsys.readouterr().out
  results = json.loads(output.read_text())
  assert results["tasks"]["data"]["metrics"] == ["accuracy", "F1"]
  scores = {
    m["name"]: m["tasks"]["data"]["scores"]
    for m in results["models"]
    if m["tasks"]
  }["run"]
  # The same by predict.
  model = nomic_jax.load(trained / "run")
  from nomic_jax.data import dataset

  rows = dataset.open_split(trained / "data", "test")
  rows = [rows[i] for i in range(len(rows))]
  said = model.predict([r["document"] for r in rows])
  right = [p == model.classes[int(r["labels"][0])] for p, r in zip(said, rows)]
  assert scores["accuracy"] == pytest.approx(np.mean(right))
  assert 0.8 < scores["accuracy"] <= 1 and scores["F1"] > 0.8
  model.classes = ("LABEL_0", "LABEL_1", "LABEL_2")  # as older exports say
  head = systems.Head(model)
  assert head.classes == ("0", "1", "2")
  assert head.predict(["river a b"]) == [
    str(trained_classes(trained).index("is river"))
  ]
  pairs = small_data.make(tmp_path)
  refused = [*command[:2], f"--tasks={pairs}", command[-1]]
  assert main(refused) == 2
  assert "has no vectors for pairs" in capsys.readouterr().err


def test_what_the_data_does_not_have_is_refused(trained, tmp_path, capsys):
  pairs = small_data.make(tmp_path)
  command = [
    "train",
    small_data.config("classify"),
    f"--workdir={tmp_path}/run",
    *small_data.TINY,
  ]
  assert main([*command, f"--config.data.path={pairs}"]) == 2
  assert "its rows are pairs and have no labels" in capsys.readouterr().err
  fewer = [
    *command,
    f"--config.data.path={trained}/data",
    "--config.data.classes=2",
    "--config.loss.labels=2",
  ]
  assert main(fewer) == 2
  assert "expected a whole number from 0 to 1" in capsys.readouterr().err
