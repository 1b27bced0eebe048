# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A training resumes unless a setting that changes its results differs."""

import dataclasses
import functools
import json
import re
import shutil

import pytest
from support import small_data

from nomic_jax.cli import config_flags
from nomic_jax.errors import UserError
from nomic_jax.model.config import EncoderConfig
from nomic_jax.run import work_directory
from nomic_jax.text import tokenizer as tokenizer_lib


@pytest.fixture(name="place", scope="module")
def _place(tmp_path_factory):
  place = tmp_path_factory.mktemp("work")
  data = small_data.make(place)
  config = _config(place, "data.path=" + str(data))
  work_directory.claim(
    place / "run", config, EncoderConfig().architecture, data / "tokenizer"
  )
  (place / "run/checkpoints/3").mkdir(parents=True)
  (place / "run/checkpoints/3/_CHECKPOINT_METADATA").write_text("{}")
  shutil.copytree(data, place / "moved")
  shutil.copytree(data, place / "other")
  (place / "other/sources.json").write_text('{"runs": {}, "prompts": {}}')
  return place


def _config(place, *overrides):
  return config_flags.load(
    [
      small_data.config("contrastive"),
      f"--config.data.path={place}/pairs",
      *(f"--config.{o}" for o in overrides),
    ]
  )


@pytest.mark.parametrize(
  "override",
  [
    "data.path=pairs",
    "data.path={place}/moved",
    "checkpoint.keep=1",
    "checkpoint.every=50",
    "checkpoint.best=eval/loss",
    "log_every=5",
    "data.workers=2",
    "compute.attention=reference",
    "compute.remat=full",
    "evaluators.eval.every=3",
    "evaluators.eval.data.batch_size=4",
    "mesh.fsdp=2",
    "log.tensorboard=true",
    "init_from=elsewhere",
  ],
)
def test_settings_that_change_no_number_may_differ(
  place, override, monkeypatch
):
  monkeypatch.chdir(place)
  work_directory.check(
    place / "run", _config(place, override.format(place=place))
  )


@pytest.mark.parametrize(
  "override",
  [
    "data.path={place}/other",
    "data.path={place}/none",
    "seed=1",
    "data.batch_size=8",
    "optimizer.learning_rate=1",
    "steps=12",
    "data.source_weights.pairs=2",
    "compute.dtype=bfloat16",
  ],
)
def test_other_differences_are_errors_that_show_them(place, override):
  override = override.format(place=place)
  key, _, value = override.partition("=")
  pattern = f"belongs to another config: config.{key} was .* is now '?{value}"
  with pytest.raises(
    UserError,
    match=re.escape(pattern).replace(r"\.\*", ".*").replace(r"'\?", "'?"),
  ):
    work_directory.check(place / "run", _config(place, override))


def test_a_training_may_be_made_longer(place, capsys):
  shutil.copytree(place / "run", place / "longer")
  check = lambda steps, **more: work_directory.check(
    place / "longer", _config(place, f"steps={steps}"), **more
  )
  with pytest.raises(UserError, match="the flag --config.steps=12 extends"):
    check(12)
  check(12, extend=True)
  assert "extended from 6 to 12 steps; from now" in capsys.readouterr().out
  check(12)  # resumes
  with pytest.raises(UserError, match="steps was 12 and is now 6"):
    check(6, extend=True)


def test_directories_of_older_versions_are_resumed(place, monkeypatch):
  """Their configs lack later keys, and they have no fingerprint of the data."""
  shutil.copytree(place / "run", place / "old")
  (place / "old/data.json").unlink()
  path = place / "old/config.json"
  values = json.loads(path.read_text())
  del values["recipe"]
  values["data"]["path"] = "pairs"
  path.write_text(json.dumps(values))
  monkeypatch.chdir(place)
  for data in ("pairs", "moved"):
    work_directory.check(
      place / "old", _config(place, f"data.path={place}/{data}")
    )
  with pytest.raises(UserError, match="data.path was 'pairs'"):
    work_directory.check(
      place / "old", _config(place, f"data.path={place}/other")
    )


def test_the_recorded_config_resumes_also_if_it_lacks_later_keys(place):
  run = shutil.copytree(place / "run", place / "older")
  values = json.loads((run / "config.json").read_text())
  del values["epochs"], values["recipe"], values["optimizer"]["average"]
  (run / "config.json").write_text(json.dumps(values))
  load = lambda *flags: config_flags.load(
    flags, lambda: work_directory.recorded_config(run)
  )
  config = load("--config.log_every=5")
  assert config.log_every == 5 and config.epochs == 0
  assert (
    config.optimizer.lr_multipliers == _config(place).optimizer.lr_multipliers
  )  # a tuple again
  work_directory.check(run, config)
  with pytest.raises(UserError, match="learning_rate was"):
    work_directory.check(run, load("--config.optimizer.learning_rate=1.0"))
  (run / "config.json").unlink()
  with pytest.raises(UserError, match="expected one --config=FILE"):
    load()


def test_data_that_changed_at_the_same_path_are_noticed(place):
  """The batches after a resume would be those of other rows."""
  run = shutil.copytree(place / "run", place / "same_path")
  data = shutil.copytree(place / "pairs", place / "changing")
  config = _config(place, f"data.path={data}")
  check = lambda: work_directory.check(run, config)
  check()
  shutil.rmtree(data)
  shutil.copytree(place / "other", data)
  with pytest.raises(UserError, match="belongs to another config: config.data"):
    check()
  values = json.loads((run / "config.json").read_text())
  values["data"]["path"] = str(data)
  (run / "config.json").write_text(json.dumps(values))
  changed = "changing: has changed since .* began to train on it; restore it"
  with pytest.raises(UserError, match=changed):
    check()
  (run / "data.json").unlink()  # of an older version
  check()


def test_a_directory_without_a_checkpoint_is_of_the_same_model(place):
  run = place / "run"
  encoder, tokenizer, usage = work_directory.read(run)
  check = functools.partial(work_directory.check_start, run)
  check(encoder, tokenizer, usage)
  (place / "words").mkdir()
  other = tokenizer_lib.train(["one two three four"] * 4, 60)
  tokenizer_lib.save(other, place / "words")
  for changed in (
    (dataclasses.replace(encoder, max_length=9), tokenizer, usage),
    (encoder, place / "words", usage),
    (encoder, tokenizer, usage.with_prompts("other: ", "")),
  ):
    with pytest.raises(UserError, match="from another model than config.init"):
      check(*changed)
