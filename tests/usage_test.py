# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A model's usage is stored with it when it is read, trained and exported."""

import json
import shutil
import warnings

import pytest
from support import small_data

import nomic_jax
from nomic_jax.cli import config_flags
from nomic_jax.hub import model_directory
from nomic_jax.main import main
from nomic_jax.model.head import Module
from nomic_jax.model.usage import Usage
from nomic_jax.report import evaluate
from nomic_jax.run import models
from nomic_jax.run import start as start_lib
from nomic_jax.run import work_directory
from nomic_jax.run.resolve import resolve
from nomic_jax.text.prompts import PROMPTS

pytestmark = pytest.mark.slow


@pytest.fixture(name="place", scope="module")
def _place(tmp_path_factory):
  """A data directory, and an exported model that differs from all defaults."""
  place = tmp_path_factory.mktemp("usage")
  data = small_data.make(place)
  assert (
    main(
      [
        "export",
        small_data.config("contrastive"),
        f"--config.data.path={data}",
        *small_data.TINY,
        f"--output={place}/model",
      ]
    )
    == 0
  )
  own = place / "own"
  files = models.read_model(place / "model")
  model_directory.write_model(
    own,
    files.architecture.with_head(
      pooling="cls",
      modules=(Module("norm", files.architecture.width, affine=False),),
    ),
    files.params,
    files.tokenizer_path,
    prompts={"query": "query: ", "passage": "passage: ", "title": "title: "},
    max_tokens=20,
    default_prompt="title",
  )
  return place


def _train(place, workdir, *overrides, name="contrastive"):
  command = small_data.train(
    name,
    place / "pairs",
    place / workdir,
    "steps=1",
    "optimizer.warmup=0 steps",
    *overrides,
  )
  assert main(command) == 0
  return place / workdir


def _score(path, place):
  found = evaluate.evaluate([f"it={path}"], [str(place / "pairs")])
  return found["models"][0]["tasks"]["pairs"]["scores"]["nDCG@10"]


def test_evaluators_and_export_agree(place):
  """With prompts and lengths that differ from all defaults."""
  run = _train(
    place,
    "prompted",
    "data.query_prompt=number : ",
    "data.document_prompt=",
    "evaluators.retrieval.every=1",
    "encoder.max_length=16",
    "data.query_length=10",
    "data.document_length=12",
  )
  measured = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])[
    "retrieval/nDCG@10"
  ]
  out = place / "prompted-out"
  assert main(["export", f"--workdir={run}", f"--output={out}"]) == 0
  assert measured == pytest.approx(_score(run, place), abs=1e-6)
  assert measured == pytest.approx(_score(out, place), abs=1e-6)
  settings = json.loads((out / "config_sentence_transformers.json").read_text())
  assert settings["prompts"] == {
    "search_query": "number : ",
    "query": "number : ",
  }
  # Control: with the paper's prompts, the same weights have another score.
  settings["prompts"] = PROMPTS
  (out / "config_sentence_transformers.json").write_text(json.dumps(settings))
  assert abs(measured - _score(out, place)) > 1e-4


def test_settings_of_the_start_model_are_kept(place, capsys):
  run = _train(place, "kept", f"init_from={place}/own")
  line, warning = capsys.readouterr().out.splitlines()[:2]
  assert warning.startswith("warning: a learning rate of 0.001 is for fresh")
  assert line == (
    f"{place}/own: pooling cls, pooled norm, query prompt 'query: ', document "
    "prompt 'passage: ', at most 20 tokens; all the model's own"
  )
  assert main(["export", f"--workdir={run}", f"--output={place}/out"]) == 0
  for path in (run, place / "out"):
    files = models.read_model(path)
    head = files.architecture.head
    assert (head.pooling, head.pooled_norm) == ("cls", True)
    assert files.usage.prompts["query"] == "query: "
    assert files.usage.prompts["search_document"] == "passage: "
    assert files.usage.prompts["title"] == "title: "
    assert files.usage.default_prompt == "title"
    assert files.usage.max_tokens == 20
  assert nomic_jax.load(str(run)).max_tokens == 20
  # The same command resumes, and the model's settings are unchanged.
  assert _train(place, "kept", f"init_from={place}/own") == run


def test_changes_by_the_config_are_reported_and_exported(place, capsys):
  run = _train(
    place,
    "changed",
    f"init_from={place}/own",
    "encoder.pooling=mean",
    "encoder.pooled_norm=false",
    "data.query_prompt=",
  )
  line = capsys.readouterr().out.splitlines()[0]
  assert "pooling mean, query prompt '', document prompt 'passage: '" in line
  assert line.endswith(
    "; from the config: config.encoder.pooling=mean, config.encoder."
    "pooled_norm=False, config.data.query_prompt='' instead of 'query: '"
  )
  files = models.read_model(run)
  head = files.architecture.head
  assert (head.pooling, head.pooled_norm) == ("mean", False)
  assert files.usage.prompt("query") == ""
  assert files.usage.prompt("document") == "passage: "
  assert files.usage.prompts["title"] == "title: "


def _resolved(place, *overrides, name="contrastive"):
  config = config_flags.load(
    [
      small_data.config(name),
      f"--config.data.path={place}/pairs",
      *small_data.TINY,
      *(f"--config.{o}" for o in overrides),
    ]
  )
  start = start_lib.find_start(config)
  return *resolve(config, start), start


def test_pooling_is_a_guess_only_where_vectors_are_pooled(place, tmp_path):
  bare = tmp_path / "bare"
  shutil.copytree(place / "model", bare)
  (bare / "modules.json").unlink()
  guess = rf"^{bare}: no modules.json .* mean pooling is assumed"
  with pytest.warns(UserWarning, match=guess):
    _resolved(place, f"init_from={bare}")
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    _resolved(place, f"init_from={bare}", "encoder.pooling=cls")
    _resolved(place, f"init_from={bare}", name="mlm")


def test_prompts_of_all_tasks_arrive_from_a_stage_before(place):
  """Including those of classification and clustering."""
  _, usage, _ = _resolved(place, f"init_from={place}/model")
  assert PROMPTS.items() <= usage.prompts.items()
  _, usage, _ = _resolved(place, f"init_from={place}/model", name="finetune")
  assert PROMPTS.items() <= usage.prompts.items()


def test_a_model_without_prompts_is_trained_without(place):
  bare = place / "bare"
  shutil.copytree(place / "model", bare)
  settings = bare / "config_sentence_transformers.json"
  settings.write_text(
    json.dumps(json.loads(settings.read_text()) | {"prompts": {}})
  )
  config, usage, _ = _resolved(place, f"init_from={bare}")
  assert (config.data.query_prompt, config.data.document_prompt) == ("", "")
  assert config.evaluators.retrieval.query_prompt == ""
  assert usage.prompts == {}


def test_fresh_weights_have_the_papers_prompts(place):
  config, usage, _ = _resolved(place)
  assert config.data.query_prompt == "search_query: "
  assert config.evaluators.retrieval.document_prompt == "search_document: "
  assert usage == Usage(PROMPTS)
  _, usage, _ = _resolved(place, "data.query_prompt=", "data.document_prompt=")
  assert not any(usage.prompts.values())  # no other prompt was trained with


def test_a_loss_that_compares_by_cosine_says_so(place):
  dot = place / "dot"
  shutil.copytree(place / "model", dot)
  settings = dot / "config_sentence_transformers.json"
  settings.write_text(
    json.dumps(json.loads(settings.read_text()) | {"similarity_fn_name": "dot"})
  )
  _, usage, start = _resolved(place, f"init_from={dot}")
  assert (start.usage.similarity, usage.similarity) == ("dot", "cosine")


def test_an_older_work_directory_has_its_configs_prompts(place, tmp_path):
  run = tmp_path / "old"
  run.mkdir()
  for data, expected in (
    ({}, PROMPTS),
    (
      {
        "query_prompt": "search_query: ",
        "document_prompt": "search_document: ",
      },
      PROMPTS,
    ),
    ({"query_prompt": "q: ", "document_prompt": ""}, {"search_query": "q: "}),
  ):
    (run / "config.json").write_text(json.dumps({"data": data}))
    found = work_directory.read_usage(run).prompts
    assert {k: found[k] for k in expected} == expected
    assert ("clustering" in found) == (expected == PROMPTS)
