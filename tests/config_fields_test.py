# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""configs/README.md lists every field of every config, with its default."""

import importlib
import sys

import pytest
from support import small_data


@pytest.fixture(name="fields")
def fields_fixture(monkeypatch):
  monkeypatch.syspath_prepend(small_data.ROOT / "configs")
  yield importlib.import_module("fields")
  for name in ("fields", "common"):
    sys.modules.pop(name, None)


def test_every_field_has_a_meaning_and_every_meaning_a_field(fields):
  assert {fields.general(f) for f in fields.defaults()} == set(fields.MEANINGS)


def test_every_config_is_in_the_table(fields):
  files = (small_data.ROOT / "configs").glob("*.py")
  configs = {f.stem for f in files if "\ndef get_config(" in f.read_text()}
  assert configs == set(fields.CONFIGS)


def test_the_page_has_the_table(fields):
  page = (small_data.ROOT / "configs" / "README.md").read_text()
  assert fields.markdown() in page
  assert fields.markdown().replace("`'shuffled'`", "`'stored'`") not in page
