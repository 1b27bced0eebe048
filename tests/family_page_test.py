# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Runs the code of the page on adding a family."""

import pathlib
import re
import sys
import types

import pytest
from support import hub_random
from support.family_cases import CASES
import torch

from nomic_jax import families
from nomic_jax.errors import UserError
from nomic_jax.hub import model_directory

PAGE = pathlib.Path(families.__file__).parent / "README.md"


@pytest.fixture(name="blocks")
def _blocks(monkeypatch):
  """Installs the page's family; returns its code and its check."""
  family, line, check = re.findall(
    r"^```python\n(.*?)^```",
    PAGE.read_text(encoding="utf-8"),
    flags=re.MULTILINE | re.DOTALL,
  )
  module = types.ModuleType("nomic_jax.families.electra")
  exec(compile(family, "families/electra.py", "exec"), module.__dict__)
  monkeypatch.setitem(sys.modules, module.__name__, module)
  names = {}
  exec(line, names)
  monkeypatch.setattr(families, "NAMES", names["NAMES"])
  families.table.cache_clear()
  yield family, check
  monkeypatch.undo()
  families.table.cache_clear()


def _run(check, folder):
  torch.manual_seed(0)
  exec(
    compile(check, "check", "exec"),
    {"folder": folder, "tokenizer": hub_random.tokenizer()},
  )


def test_the_page_adds_a_family(blocks, tmp_path):
  family, check = blocks
  assert len(family.splitlines()) < 100
  _run(check, tmp_path)
  architecture = model_directory.read_model(tmp_path / "ours").architecture
  assert architecture.family == "electra"
  assert families.of(architecture).name == "electra"


def test_the_check_would_see_a_wrong_name(blocks, tmp_path):
  """Negative control: swaps the names of keys and values."""
  _, check = blocks
  (layout,) = families.table()[-1].layouts
  q, k, v = layout.layer["qkv"]
  layout.layer["qkv"] = (q, v, k)
  try:
    with pytest.raises(AssertionError):
      _run(check, tmp_path)
  finally:
    layout.layer["qkv"] = (q, k, v)


def test_the_width_of_the_embedding_is_that_of_the_file(blocks):
  del blocks
  for values, width in (
    ({}, 128),  # ElectraConfig's default
    ({"embedding_size": 64}, 64),
    ({"embedding_size": 256}, None),  # without a projection
  ):
    values = values | {"hidden_size": 256, "model_type": "electra"}
    a = families.read(values, "config.json")
    assert (a.embedding.width, a.table_width) == (width, width or 256)
    assert families.of(a).name == "electra"
  # A family that does not compute it refuses it by name.
  bert = CASES["bert"].config.to_dict() | {"embedding_size": 64}
  with pytest.raises(UserError, match="embedding_size=64 is not supported"):
    families.read(bert, "config.json")


def test_without_the_line_there_is_no_such_family():
  with pytest.raises(UserError, match="'electra' is not supported"):
    families.read({"model_type": "electra"}, "config.json")
