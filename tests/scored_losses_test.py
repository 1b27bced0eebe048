# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""CoSENT, AnglE and triplets against sentence-transformers, float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import tiny
import torch

from nomic_jax.errors import OptionError
from nomic_jax.losses.angle import AnglE
from nomic_jax.losses.cosent import CoSENT
from nomic_jax.losses.triplet import Triplet
from nomic_jax.mesh import partition
from nomic_jax.model.encoder import Encoder

N, D, M = 8, 6, 2  # pairs, width, negatives of each query


class _Table(torch.nn.Module):
  """A model for sentence-transformers whose features are its embeddings."""

  def forward(self, features):
    return {"sentence_embedding": features["table"]}


def _theirs(name, parts, labels=None, **options):
  """Value and gradients of a sentence-transformers loss, in float64."""
  losses = pytest.importorskip("sentence_transformers.losses")
  tables = [torch.tensor(p, dtype=torch.float64) for p in parts]
  for table in tables:
    table.requires_grad_()
  loss = getattr(losses, name)(_Table(), **options)
  labels = None if labels is None else torch.tensor(labels).double()
  value = loss([{"table": t} for t in tables], labels)
  value.backward()
  return value.item(), [t.grad.numpy() for t in tables]


def _batch(scores=None):
  row = np.zeros((N, 2 + M), np.int32)
  slot = np.arange(N * (2 + M), dtype=np.int32).reshape(2 + M, N)
  candidate = np.concatenate([slot[1], slot[2:].T.reshape(-1)])
  batch = {
    "inputs": {"ids": row, "segment_ids": row, "positions": row},
    "content": 1 + slot.reshape(N, -1),
    "query": slot[0],
    "candidate": candidate,
    "text": candidate,
    "positive": np.arange(N, dtype=np.int32),
  }
  return batch if scores is None else batch | {"score": scores}


def _ours(loss, table, batch):
  def mean(params):
    total, weight, _ = loss(params, batch, jax.random.key(0))
    return total / weight

  value, grad = jax.value_and_grad(mean)({"encoder": {"table": table}})
  return float(value), np.asarray(grad["encoder"]["table"])


TABLE = np.random.default_rng(0).normal(size=(N * (2 + M), D)).astype("f")
SCORES = {
  "all differ": np.arange(N)[::-1] / 3,
  "ties": np.array([1, 1, 0, 5, 5, 5, 2, 0.0]),
  "alike": np.ones(N),
  "two": np.array([0, 1.0] * (N // 2)),
}


@pytest.mark.slow
@pytest.mark.parametrize("ours, theirs", [(CoSENT, "CoSENT"), (AnglE, "AnglE")])
@pytest.mark.parametrize("name", SCORES)
def test_scores_are_compared_as_theirs(ours, theirs, name):
  scores = SCORES[name].astype("f")
  for scale in (20.0, 3.0):
    loss = ours(tiny.Vectors(), scale=scale)
    value, grad = _ours(loss, TABLE, _batch(scores))
    expected, grads = _theirs(
      f"{theirs}Loss", [TABLE[:N], TABLE[N : 2 * N]], scores, scale=scale
    )
    assert value == pytest.approx(expected, rel=1e-5, abs=1e-6)
    np.testing.assert_allclose(
      grad[: 2 * N], np.concatenate(grads), rtol=2e-5, atol=1e-5
    )
    assert not grad[2 * N :].any()
  if name != "alike":  # control: another order is another loss
    other = _ours(loss, TABLE, _batch(scores[::-1].copy()))[0]
    assert abs(other - value) > 1e-2


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "manhattan"])
def test_triplets_are_theirs(distance):
  from sentence_transformers import losses

  metric = getattr(losses.TripletDistanceMetric, distance.upper())
  for margin in (0.1, 0.5, 5.0):
    loss = Triplet(tiny.Vectors(), distance=distance, margin=margin)
    value, grad = _ours(loss, TABLE, _batch())
    query, document, *negatives = TABLE.reshape(-1, N, D)
    parts = [
      _theirs(
        "TripletLoss",
        [query, document, n],
        distance_metric=metric,
        triplet_margin=margin,
      )
      for n in negatives
    ]
    assert value == pytest.approx(np.mean([v for v, _ in parts]), rel=1e-5)
    expected = [
      sum(g[0] for _, g in parts) / M,
      sum(g[1] for _, g in parts) / M,
      *(g[2] / M for _, g in parts),
    ]
    np.testing.assert_allclose(
      grad, np.concatenate(expected), rtol=2e-5, atol=1e-5
    )


def test_what_is_absent_does_not_count():
  scores = SCORES["ties"].astype("f")
  batch = _batch(scores)
  batch["query"] = np.where(np.arange(N) < N - 2, batch["query"], -1)
  batch["score"] = np.where(np.arange(N) < N - 2, scores, np.nan).astype("f")
  for ours, theirs in ((CoSENT, "CoSENTLoss"), (AnglE, "AnglELoss")):
    value, grad = _ours(ours(tiny.Vectors()), TABLE, batch)
    expected, _ = _theirs(
      theirs, [TABLE[: N - 2], TABLE[N : 2 * N - 2]], scores[: N - 2]
    )
    assert value == pytest.approx(expected, rel=1e-5)
    assert np.isfinite(grad).all() and not grad[N - 2 : N].any()
  batch["text"] = batch["text"].copy()
  batch["text"][N] = -1
  total, weight, metrics = Triplet(tiny.Vectors())(
    {"encoder": {"table": TABLE}}, batch, None
  )
  assert weight == (N - 2) * M - 1 and 0 < metrics["accuracy"] < weight


def test_options_are_checked():
  encoder = Encoder(tiny.ARCHITECTURE)
  for make, message in (
    (functools.partial(CoSENT, encoder, scale=0), "scale: 0 is not above"),
    (functools.partial(Triplet, encoder, distance="cos"), "no distance 'cos'"),
    (functools.partial(Triplet, encoder, margin=-1), "margin: -1 is below 0"),
  ):
    with pytest.raises(OptionError, match=message):
      make()


def test_an_odd_width_is_padded_as_theirs():
  scores = SCORES["ties"].astype("f")
  table = TABLE[:, :5]
  value, grad = _ours(AnglE(tiny.Vectors()), table, _batch(scores))
  expected, grads = _theirs("AnglELoss", [table[:N], table[N : 2 * N]], scores)
  assert value == pytest.approx(expected, rel=1e-5)
  np.testing.assert_allclose(
    grad[: 2 * N], np.concatenate(grads), rtol=2e-5, atol=1e-5
  )


def _scored():
  batch = tiny.pair_batch()
  return batch | {
    "text": batch["candidate"],
    "score": np.arange(8, dtype="f") % 5,
  }


@pytest.mark.slow
@pytest.mark.parametrize(
  "make", [CoSENT, functools.partial(AnglE, matryoshka_dims=(8, 16)), Triplet]
)
def test_chunks_and_eight_devices_change_nothing(make):
  encoder = Encoder(tiny.ARCHITECTURE)
  params, batch = tiny.params(make(encoder)), _scored()

  def grad(loss):
    def mean(params, batch):
      total, weight, _ = loss(params, batch, jax.random.key(0))
      return total / weight

    return jax.value_and_grad(mean)

  value, expected = tiny.jit(grad(make(encoder)))(params, batch)
  chunked = tiny.jit(grad(make(encoder, chunk_tokens=32)))(params, batch)
  assert float(chunked[0]) == pytest.approx(float(value), rel=1e-5)
  tiny.assert_close(chunked[1], expected, 1e-4)
  mesh = jax.make_mesh(
    (8, 1, 1),
    ("data", "fsdp", "tensor"),
    axis_types=(jax.sharding.AxisType.Auto,) * 3,
  )
  rows = jax.sharding.NamedSharding(
    mesh, jax.sharding.PartitionSpec(partition.ROW_AXES)
  )
  placed = jax.device_put(batch, rows)
  on_mesh = tiny.jit(partition.in_mesh(grad(make(encoder)), mesh))(
    params, placed
  )
  assert jnp.allclose(on_mesh[0], value, rtol=1e-5)
  tiny.assert_close(on_mesh[1], expected, 1e-4)
