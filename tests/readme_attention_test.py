# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Runs the code of the page on adding an attention implementation."""

import pathlib
import re
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nomic_jax.errors import UserError
from nomic_jax.kernels import attention
from nomic_jax.kernels.layout import Layout
from nomic_jax.kernels.layout import Need

PAGE = pathlib.Path(attention.__file__).parent / "README.md"


@pytest.fixture(name="module")
def _module(monkeypatch):
  """Adds the page's implementation to the table; returns the page's module."""
  code, line, check = re.findall(
    r"^```python\n(.*?)^```",
    PAGE.read_text(encoding="utf-8"),
    flags=re.MULTILINE | re.DOTALL,
  )
  assert len(code.splitlines()) < 40
  module = types.ModuleType("nomic_jax.kernels.dot_product")
  exec(compile(code, "kernels/dot_product.py", "exec"), module.__dict__)
  table = dict(attention._IMPLEMENTATIONS)
  monkeypatch.setattr(attention, "_IMPLEMENTATIONS", table)
  exec(line, {"_IMPLEMENTATIONS": table, "dot_product": module})
  names = {"attention": attention, "jax": jax, "jnp": jnp, "np": np}
  exec(compile(check, "check", "exec"), names)
  module.check = names["check"]
  return module


def _rows(layout, length=24):
  """Two rows of several texts, padding at the end: ids, angles and qkv."""
  rng = np.random.default_rng(7)
  segment_ids = np.zeros((2, length), np.int32)
  segment_ids[0, :9], segment_ids[0, 9:20] = 1, 2
  segment_ids[1, :length] = 1
  angle = rng.normal(size=(2, length, layout.width // 2)).astype(np.float32)
  qkv = rng.normal(size=(2, length, layout.columns)).astype(np.float32)
  return segment_ids, (jnp.cos(angle), jnp.sin(angle)), jnp.asarray(qkv)


@pytest.mark.slow
@pytest.mark.parametrize(
  "layout, window, causal",
  [
    (Layout(2, 2, 8), None, False),
    (Layout(4, 2, 8), 3, False),
    (Layout(2, 1, 8), None, True),
  ],
)
def test_the_page_adds_an_implementation(module, layout, window, causal):
  segment_ids, angles, qkv = _rows(layout)
  module.check(layout, window, causal, angles, segment_ids, qkv)
  module.check(layout, window, causal, None, segment_ids, qkv)


def test_the_check_sees_a_text_that_sees_another(module, monkeypatch):
  """Negative control: a mask without segments."""
  layout = Layout(2, 2, 8)
  segment_ids, angles, qkv = _rows(layout)
  monkeypatch.setattr(
    module,
    "prepare",
    lambda call, ids, angles, dtype: (
      ids,
      angles,
      jnp.ones((*ids.shape, ids.shape[1]), bool),
    ),
  )
  with pytest.raises(AssertionError):
    module.check(layout, None, False, angles, segment_ids, qkv)


def test_what_it_lacks_is_an_error_that_says_why(module):
  mesh = jax.make_mesh((1,), ("data",), devices=jax.devices()[:1])
  choose = lambda **options: attention.choose(
    "dot_product", mesh, ("data",), [Need(Layout(2, 2, 8))], **options
  )
  assert choose(longest=64).implementation == "dot_product"
  with pytest.raises(UserError, match="dot_product holds all scores of a row"):
    choose(longest=8192)
  needs = [Need(Layout(2, 2, 8), relative=True)]
  with pytest.raises(UserError, match="dot_product adds no relative bias"):
    attention.choose("dot_product", mesh, ("data",), needs)
  del module


def test_the_page_lists_all_implementations():
  listed = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), flags=re.MULTILINE)
  assert listed == list(attention._IMPLEMENTATIONS)
