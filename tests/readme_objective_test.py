# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Runs the code of the page on adding an objective."""

import itertools
import pathlib
import re
import textwrap
import types

from flax.linen import meta
import jax
import numpy as np
import optax
import pytest
from support import tiny

from nomic_jax import losses
from nomic_jax import program
from nomic_jax import step as step_lib
from nomic_jax.cli import config_flags
from nomic_jax.errors import UserError
from nomic_jax.model.encoder import Encoder

pytestmark = pytest.mark.slow

README = (
  pathlib.Path(__file__).parents[1] / "nomic_jax" / "losses" / "README.md"
)


def _example(heading="Add an objective"):
  """The first indented block under the heading."""
  section = README.read_text().partition(f"## {heading}\n")[2]
  lines = section.partition("\n## ")[0].splitlines()
  inside = lambda line: line.startswith("    ") or not line
  after = itertools.dropwhile(lambda line: not line.startswith("    "), lines)
  return textwrap.dedent("\n".join(itertools.takewhile(inside, after))).strip()


def test_the_objective_of_the_readme_trains(monkeypatch, tmp_path):
  code = _example()
  assert 20 < len(code.splitlines()) < 50
  module = types.ModuleType("sigmoid")
  exec(compile(code, "README.md", "exec"), module.__dict__)
  name, line = re.search(
    r'`"(\w+)": (\w+)` in the table', README.read_text()
  ).groups()
  monkeypatch.setitem(losses._LOSSES, name, getattr(module, line))
  # Its config is in a folder of the user, without the shipped ones.
  (tmp_path / "sigmoid.py").write_text(_example("Train with it"))
  arguments = [
    f"--config={tmp_path}/sigmoid.py:miniature",
    "--config.loss.chunk_tokens=64",
  ]
  config = config_flags.load(arguments)
  assert config.data.kind in module.Sigmoid.rows and config.steps == 1000
  # It has all the fields that training reads.
  program.setup(config, tiny.ARCHITECTURE, jax.devices()[:1])
  wrong = config_flags.load([*arguments, "--config.loss.scale=0"])
  with pytest.raises(UserError, match="^config.loss.scale: 0.0 is not above"):
    program.setup(wrong, tiny.ARCHITECTURE, jax.devices()[:1])
  loss = losses.make(config.loss, Encoder(tiny.ARCHITECTURE))
  tx = optax.adam(3e-3)
  state = tiny.jit(lambda: meta.unbox(step_lib.init_state(loss, tx, 0)))()
  step = tiny.jit(step_lib.make_train_step(loss, tx))
  batch, seen = tiny.pair_batch(), []
  expected = _plain(jax.device_get(state.params), batch)
  for _ in range(30):
    state, metrics = step(state, jax.tree.map(lambda x: x[None], batch))
    seen.append(float(metrics["loss"]))
  assert seen[0] == pytest.approx(expected, rel=1e-5)
  assert seen[-1] < 0.7 * seen[0]


def _plain(params, batch):
  """The loss of the first step, by the paper's formula."""
  tokens = batch["inputs"]
  embed = tiny.jit(lambda p, t: Encoder(tiny.ARCHITECTURE).embed(p, t, 8))
  pooled = embed(params["encoder"], tokens).vectors
  pooled = np.asarray(pooled, "d").reshape(-1, 16)
  pooled /= np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-12)
  total = 0.0
  for i, query in enumerate(batch["query"]):
    for j, document in enumerate(batch["candidate"][:8]):
      if {i, j} == {0, 3}:  # one text: neither is the other's negative
        continue
      z = 1 if i == j else -1
      logit = 10 * pooled[query] @ pooled[document] - 10
      total += np.log1p(np.exp(-z * logit))
  return total / 8
