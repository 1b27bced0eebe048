# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""nomic-jax adapt refuses what it would ignore, and notices changed inputs."""

import json

import numpy as np
import pytest
from support import hub_random
from support import random_models
from support import small_data
from support import tiny

import nomic_jax
from nomic_jax.adapting import adaptation
from nomic_jax.adapting import inputs
from nomic_jax.adapting import objectives
from nomic_jax.adapting.folder import Folder
from nomic_jax.data import kinds
from nomic_jax.data import splits
from nomic_jax.errors import UserError
from nomic_jax.hub import model_directory
from nomic_jax.run import models
from nomic_jax.text import tokenizer as tokenizer_lib


def _adapt(place, source, **given):
  return adaptation.adapt(
    str(place / "model"), str(source), place / "out", **given
  )


@pytest.fixture(name="place")
def _place(tmp_path):
  random_models.write(tmp_path / "model", tiny.ARCHITECTURE)
  return tmp_path


@pytest.fixture(name="data", scope="module")
def _data(tmp_path_factory):
  """A data directory with held-out rows."""
  return small_data.make(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize(
  "overrides, given, message",
  [
    (["init_from=other"], {}, "init_from: adapt sets this field; use --model"),
    (["data.path=other"], {}, "data.path: .* use --source"),
    (["data.negatives=2"], {}, "data.negatives: .* use --negatives"),
    (["checkpoint.best=eval/loss"], {}, "checkpoint.best: .* leave it out"),
    (["evaluators.scores.every=2"], {}, "evaluators.scores.every: .* leave it"),
    (["epochs=2"], {"epochs": 3.0}, "--config.epochs and --epochs: both set"),
    (["steps=2"], {"epochs": 3.0}, "--config.steps and --epochs: both set"),
    (["steps=2", "epochs=3"], {}, "--config.steps and --config.epochs: both"),
    (["data.batch_size=8"], {"batch_size": 8}, "batch_size and --batch_size"),
    (
      ["optimizer.learning_rate=1"],
      {"learning_rate": 1.0},
      "rate and --learning_rate: both set",
    ),
  ],
)
def test_fields_that_would_be_ignored_are_named(
  tmp_path, overrides, given, message
):
  with pytest.raises(UserError, match=message):
    nomic_jax.adapt(
      "no model", "no source", tmp_path / "out", config=overrides, **given
    )
  assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
  "given",
  [
    {"limit": 60},
    {"columns": ("query=subject",)},
    {"queries": ("crop",)},
    {"skip_bad": "2%"},
    {"kind": "pairs"},
    {"held_out": 0.5},
  ],
)
def test_a_data_directory_is_not_read_again(place, data, given):
  (name,) = given
  with pytest.raises(UserError, match=f"--{name}.* is a data directory"):
    _adapt(place, data, **given)


def test_hard_negatives_of_scores_and_labels_are_refused(place):
  """They were accepted, and none was used."""
  for rows in (
    [
      {"sentence1": f"a {i}", "sentence2": f"b {i}", "score": i % 5}
      for i in range(80)
    ],
    [{"text": f"alpha {i}", "label": "xy"[i % 2]} for i in range(80)],
  ):
    source = place / f"{len(list(place.iterdir()))}.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError, match="--negatives=2: .* without hard"):
      _adapt(place, source, negatives=2)
    # Control: 0 is what they are trained with, so it goes on to other checks.
    with pytest.raises(UserError, match="does not know these texts"):
      _adapt(place, source, negatives=0)


def test_weights_that_hold_nan_are_refused_by_every_job(place, tmp_path):
  params = hub_random.trees(tiny.ARCHITECTURE)["encoder"]
  scale = np.array(params["norm"]["scale"])
  scale[3] = np.nan
  params = params | {"norm": params["norm"] | {"scale": scale}}
  model_directory.write_model(
    place / "bad", tiny.ARCHITECTURE, params, random_models.bert_tokenizer(), {}
  )
  models.read_model(place / "model")  # a control
  for job in (
    lambda: adaptation.adapt(str(place / "bad"), "none", tmp_path / "out"),
    lambda: nomic_jax.load(place / "bad"),
  ):
    with pytest.raises(UserError, match="the weights norm/scale hold NaN"):
      job()


def test_changed_inputs_are_noticed(tmp_path):
  """Before sizes are chosen, results are made again; then it is an error."""
  folder = Folder(tmp_path / "out", "model", "source")
  folder.claim({})
  folder.check_inputs({"model": "a"})
  folder.write("before.json", {})
  folder.check_inputs({"model": "a"})
  assert (tmp_path / "out/before.json").exists()
  folder.check_inputs({"model": "b"})
  assert not (tmp_path / "out/before.json").exists()
  folder.write("chosen.json", {})
  folder.check_inputs({"model": "b", "source": "c"})  # not recorded before
  for changed in ({"model": "a"}, {"model": "b", "source": "d"}):
    with pytest.raises(UserError, match="has changed since .* choose another"):
      folder.check_inputs(changed)


def test_the_fingerprint_is_of_what_determines_the_vectors(place, data):
  files = models.read_model(place / "model")
  words = tokenizer_lib.load(files.tokenizer_path)
  of = lambda files, source="x.csv": inputs.fingerprints(
    Folder(place / "out", "", str(source)), files, words
  )
  embedding = files.params["word"]["embedding"]
  other = files.params | {"word": {"embedding": -embedding}}
  assert of(files) == of(models.read_model(place / "model"))
  assert of(files) != of(files._replace(params=other))
  assert of(files) != of(
    files._replace(usage=files.usage.with_prompts("q", ""))
  )
  assert of(files, data).keys() == {"model", "source"}


def test_a_changed_source_is_prepared_again(place):
  source = small_data.write_jsonl(place / "pairs.jsonl", 60)
  folder = Folder(place / "out", "model", str(source))
  prepare = lambda: inputs.prepare(folder, place / "model", None, {})
  rows = lambda: json.loads((prepare() / "stats.json").read_text())["rows"]
  assert sum(rows().values()) == 60
  small_data.write_jsonl(source, 70)
  assert sum(rows().values()) == 70
  folder.write("chosen.json", {})
  small_data.write_jsonl(source, 80)
  # prepare's own advice, --overwrite, is no flag of adapt.
  with pytest.raises(
    UserError, match="--source has changed .*; choose another"
  ):
    prepare()


def test_documents_without_queries_are_read_once(place, monkeypatch):
  """Also without titles, from which queries would be made by default."""
  source = place / "documents.jsonl"
  source.write_text(
    "".join(
      json.dumps({"document": " ".join(["alpha beta gamma"] * 20) + f" {i}"})
      + "\n"
      for i in range(60)
    )
  )
  surveys, survey = [], splits.survey
  monkeypatch.setattr(
    splits, "survey", lambda rows: surveys.append(1) or survey(rows)
  )
  folder = Folder(place / "out", "model", str(source))
  for _ in range(2):  # the second time, they are there
    data = inputs.prepare(folder, place / "model", None, {})
    assert len(surveys) == 1 and kinds.of(data).name == "pairs"
    assert "(heading, crop)" in folder.notes.pop()
  assert objectives.of(data).mines
