# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Directories of a later format are refused, all others are read."""

import json
import pathlib

import pytest
from support import small_data

from nomic_jax.cli import config_flags
from nomic_jax.data import dataset
from nomic_jax.data import manifest
from nomic_jax.errors import UserError
from nomic_jax.hub import model_directory
from nomic_jax.run import work_directory
from nomic_jax.storage import format_number
from nomic_jax.storage.format_number import FORMAT


@pytest.fixture(name="data", scope="module")
def _data(tmp_path_factory):
  return small_data.make(tmp_path_factory.mktemp("format"))


def _record(directory, **values):
  directory.mkdir(exist_ok=True)
  (directory / "reproduce.json").write_text(json.dumps(values))
  return directory


def test_new_directories_record_the_format(data, tmp_path):
  config = config_flags.load(
    [small_data.config("mlm"), f"--config.data.path={data}"]
  )
  for made in (
    json.loads((data / "reproduce.json").read_text()),
    manifest.of_training(config, dataset.tokenizer_path(data)),
    manifest.of_model(None, None, tmp_path),
  ):
    assert made["format"] == FORMAT


def _work_directory(path, config):
  for name in ("config.json", "encoder.json"):
    (path / name).write_text("{}")
  return (
    lambda: work_directory.check(path, config),
    lambda: work_directory.read_architecture(path),
  )


def test_a_later_format_is_refused_before_anything_is_read(data, tmp_path):
  told = dict(format=FORMAT + 1, code={"nomic_jax": "9.1"})
  config = config_flags.load([small_data.config("mlm")])
  work = _record(tmp_path / "work", **told)
  model = _record(tmp_path / "model", **told)
  (model / "config.json").write_text("{}")
  before = (data / "reproduce.json").read_bytes()
  _record(data, **told)
  try:
    for path, read in (
      (data, lambda: dataset.open_split(data, "train")),
      (model, lambda: model_directory.read_model(model)),
      *((work, read) for read in _work_directory(work, config)),
    ):
      with pytest.raises(UserError) as refused:
        read()
      assert str(refused.value) == (
        f"{path}: written in format {FORMAT + 1} by nomic_jax 9.1; this "
        f"version reads formats up to {FORMAT}; install nomic_jax 9.1 or later"
      )
  finally:
    (data / "reproduce.json").write_bytes(before)
  assert len(dataset.open_split(data, "train")) == 54


@pytest.mark.parametrize(
  "values", [{}, {"format": FORMAT}, {"format": 0}, {"code": None}]
)
def test_this_and_earlier_formats_are_read(tmp_path, values):
  format_number.check(_record(tmp_path / "made", **values))


def test_what_is_no_manifest_is_no_obstacle(tmp_path):
  format_number.check(pathlib.Path(tmp_path / "absent"))
  for text in ("", "[1]", '"a"', "{"):
    (tmp_path / "reproduce.json").write_text(text)
    format_number.check(tmp_path)
  _record(tmp_path, format="two")
  with pytest.raises(UserError, match="in format 'two'; .* a later nomic_jax$"):
    format_number.check(tmp_path)
