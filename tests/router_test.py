# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""What layers sow of each row arrives at the losses, by row and with gradients.

No encoder of ours routes, so the layers here are made to sow something.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
import numpy as np
import pytest
from support import tiny

from nomic_jax.losses import texts
from nomic_jax.mesh import partition
from nomic_jax.model import block
from nomic_jax.model.encoder import Encoder

ROWS, LENGTH, SLOTS = 16, 16, 8
# Two kinds of layers, so that there are two runs of units: two layers of one
# kind, then one of another.
FIRST = tiny.ARCHITECTURE.layers[0]
LAST = dataclasses.replace(
  FIRST, mlp=dataclasses.replace(FIRST.mlp, activation="relu")
)
ARCHITECTURE = dataclasses.replace(
  tiny.ARCHITECTURE, layers=(FIRST,) * 2 + (LAST,)
)


@pytest.fixture
def routing(monkeypatch):
  """Each layer sows its MLP's mean over the tokens of each row."""
  mlp = block.Block._mlp

  def sowing(self, m, x):
    y = mlp(self, m, x)
    length = min(LENGTH, len(y))  # `init` has one row of 8 tokens
    rows = y.reshape(-1, length, y.shape[-1])
    self.sow(block.ROUTER, "load", 100 * rows.mean(1))
    return y

  monkeypatch.setattr(block.Block, "_mlp", sowing)


def _batch():
  return tiny.pair_batch(rows=ROWS)


def _function(encoder, chunk_tokens):
  """Returns f(params, batch, weights) -> value, (statistics, vectors)."""
  embed = texts.Embedding(encoder, chunk_tokens)

  def f(params, batch, weights):
    slots = embed(params, batch, jax.random.key(3))
    products = jax.tree.map(lambda a, w: (a * w).sum(), slots.router, weights)
    total = sum(jax.tree.leaves(products), jnp.float32(0))
    there = slots.identity[:, None] > 0
    total += (jnp.where(there, slots.vectors, 0) ** 3).sum()
    return total, slots.router

  return jax.value_and_grad(f, has_aux=True)


def _row_by_row(encoder, params, batch):
  """The statistics of the rows, each embedded alone."""
  embed = tiny.jit(lambda p, t, k: encoder.embed(p, t, SLOTS, k).router)
  keys = jax.random.split(jax.random.key(3), ROWS)
  rows = [
    embed(params, {n: x[i : i + 1] for n, x in batch["inputs"].items()}, key)
    for i, key in enumerate(keys)
  ]
  return jax.tree.map(lambda *x: np.concatenate(x), *rows)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"remat": "full", "dropout": 0.3}])
def test_statistics_of_rows_arrive_in_order_and_with_gradients(
  routing, options
):
  encoder = Encoder(ARCHITECTURE, **options)
  params, batch = tiny.params(encoder), _batch()
  assert not block.ROUTER & params.keys()
  expected = _row_by_row(encoder, params, batch)
  shapes = {x.shape for x in jax.tree.leaves(expected)}
  assert shapes == {(ROWS, 2, 16), (ROWS, 1, 16)}
  different = jax.tree.map(lambda x: np.abs(x - x[::-1]).max(), expected)
  assert min(jax.tree.leaves(different)) > 1e-2  # control: rows differ
  draw = np.random.default_rng(0).normal
  weights = jax.tree.map(lambda x: draw(size=x.shape).astype("f"), expected)

  plain = tiny.jit(_function(encoder, 0))(params, batch, weights)
  tiny.assert_close(plain[0][1], expected, 1e-5)
  # A statistic has a gradient of its own.
  none = jax.tree.map(np.zeros_like, weights)
  without = tiny.jit(_function(encoder, 0))(params, batch, none)
  up = lambda result: result[1]["layers_0"]["up"]["kernel"]
  assert np.abs(up(plain) - up(without)).max() > 1e-2

  in_chunks = _function(encoder, 2 * LENGTH)
  tiny.assert_close(tiny.jit(in_chunks)(params, batch, weights), plain, 1e-3)
  mesh = Mesh(np.array(jax.devices()).reshape(4, 2, 1), partition.AXES)
  everywhere = tiny.jit(
    partition.in_mesh(_function(encoder, LENGTH), mesh),
    in_shardings=jax.NamedSharding(mesh, jax.P()),
  )
  tiny.assert_close(everywhere(params, batch, weights), plain, 1e-3)


def test_dense_layers_have_no_statistics():
  encoder = Encoder(ARCHITECTURE)
  slots = jax.eval_shape(
    texts.Embedding(encoder), tiny.shapes(encoder), _batch(), jax.random.key(0)
  )
  assert slots.router == () and slots.vectors.shape == (ROWS * SLOTS, 16)
