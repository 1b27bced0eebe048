# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""InfoNCE against a loop in float64; chunks change nothing."""

import dataclasses
import math
import re

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
from support import tiny

from nomic_jax import losses
from nomic_jax.errors import UserError
from nomic_jax.losses import negatives as negatives_lib
from nomic_jax.losses import streamed
from nomic_jax.losses import transforms
from nomic_jax.losses.info_nce import InfoNCE
from nomic_jax.losses.streamed import cross_entropy
from nomic_jax.losses.streamed import dot
from nomic_jax.mesh import partition
from nomic_jax.model.encoder import Encoder

SCALE = 50.0


def _case(seed=0, queries=8, negatives=2, width=16):
  """Normalised vectors, including copies of positives and absent candidates."""
  rng = np.random.default_rng(seed)
  q = rng.normal(size=(queries, width))
  c = rng.normal(size=(queries * (1 + negatives), width))
  # Positives are near, but not always the nearest, so nothing saturates.
  c[:queries] += q
  q, c = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (q, c))
  identity = np.arange(1, len(c) + 1)
  identity[3] = identity[0]  # another query's answer is the same text
  identity[queries + 5] = identity[1]  # so is a hard negative
  identity[-3:] = 0  # absent
  c[queries + 5] = c[1]
  c[3] = c[0]
  c[-3:] = c[2]  # would score high if they were not absent
  positive = np.arange(queries)
  return (
    q.astype("f"),
    c.astype("f"),
    positive.astype("i"),
    identity.astype("i"),
  )


def _brute(q, c, positive, identity, scale, group=None):
  """Loss, number of correct queries, and gradients, computed by loops."""
  group = np.arange(len(q)) if group is None else group
  answers = {  # texts, by query
    g: {
      identity[p] for p, other in zip(positive, group) if p >= 0 and other == g
    }
    for g in group
  }
  q, c = q.astype("d"), c.astype("d")
  loss, right, d_scale = 0.0, 0, 0.0
  d_q, d_c = np.zeros_like(q), np.zeros_like(c)
  for i, answer in enumerate(positive):
    if answer < 0:
      continue
    seen = [
      j
      for j in range(len(c))
      if j == answer
      or (identity[j] != 0 and identity[j] not in answers[group[i]])
    ]
    dots = {j: float(q[i] @ c[j]) for j in seen}
    top = max(dots.values())
    total = sum(math.exp(scale * (x - top)) for x in dots.values())
    loss += math.log(total) + scale * (top - dots[answer])
    right += dots[answer] == top
    for j in seen:
      excess = math.exp(scale * (dots[j] - top)) / total - (j == answer)
      d_q[i] += scale * excess * c[j]
      d_c[j] += scale * excess * q[i]
      d_scale += excess * dots[j]
  return (loss, right), (d_q, d_c, d_scale)


def _ours(q, c, positive, identity, scale, group=None):
  def f(q, c, scale):
    loss, correct = cross_entropy(dot, q, c, scale, positive, identity, group)
    return loss, correct.sum()

  positive, identity = jnp.asarray(positive), jnp.asarray(identity)
  group = None if group is None else jnp.asarray(group)
  return tiny.jit(jax.value_and_grad(f, (0, 1, 2), has_aux=True))(
    q, c, jnp.float32(scale)
  )


# Vectors of width 16 are scored in blocks of at most 16 rows. The cases: one
# block of queries and two of candidates; numbers of rows that blocks do not
# divide; and full blocks.
@pytest.mark.parametrize("queries, negatives", [(8, 2), (37, 1), (64, 1)])
def test_value_and_gradients_are_those_of_a_loop_in_float64(queries, negatives):
  case = _case(queries, queries, negatives)
  expected = _brute(*case, SCALE)
  assert 0 < expected[0][1] < queries  # some queries are answered wrong
  tiny.assert_close(_ours(*case, SCALE), expected, 1e-5)
  absent = _ours(*case, SCALE)[1][1][-3:]
  np.testing.assert_array_equal(absent, 0)


@pytest.mark.slow
@pytest.mark.parametrize("queries, negatives", [(8, 2), (37, 1), (64, 1)])
def test_answers_of_an_equal_query_are_no_negatives(queries, negatives):
  """Queries with several positives, and positives of several queries."""
  q, c, positive, identity = _case(queries, queries, negatives)
  rng = np.random.default_rng(queries)
  identity = np.where(
    identity > 0, rng.integers(1, queries, len(identity)), 0
  ).astype("i")
  group = rng.integers(1, queries // 2, queries).astype("i")
  positive[[1, -1]], group[[1, -1]] = -1, 0  # absent
  expected = _brute(q, c, positive, identity, SCALE, group)
  actual = _ours(q, c, positive, identity, SCALE, group)
  tiny.assert_close(actual, expected, 1e-5)
  assert not np.asarray(actual[1][0])[[1, -1]].any()  # no gradient either
  answers = [{identity[p] for p in positive[group == g]} for g in group]
  np.testing.assert_array_equal(
    negatives_lib.of(*map(jnp.asarray, (positive, identity, group)))[2:-1],
    [[i != 0 and i not in a for i in identity] for a in answers[2:-1]],
  )
  # Controls: with other groups, the loss differs.
  alone = _brute(q, c, positive, identity, SCALE)
  assert abs(alone[0][0] - expected[0][0]) > 0.1
  joined = np.where(group > 0, 1, 0)
  assert (
    abs(_brute(q, c, positive, identity, SCALE, joined)[0][0] - expected[0][0])
    > 0.1
  )


@pytest.mark.slow
@pytest.mark.parametrize("words", [1, 8])
def test_a_set_beyond_its_bits_is_a_superset(words, monkeypatch):
  monkeypatch.setattr(negatives_lib, "WORDS", words)
  rng = np.random.default_rng(0)
  group = np.repeat(np.arange(1, 61), 2)  # 60 queries of two documents
  identity = rng.integers(1, 90, 120)
  answers = {g: {*identity[group == g]} for g in group}
  exact = np.array([[i not in answers[g] for i in identity] for g in group])
  found = np.asarray(
    negatives_lib.of(
      *(jnp.asarray(x, "int32") for x in (np.arange(120), identity, group))
    )
  )
  assert not (found & ~exact).any()
  assert (found == exact).all() == (words == 8)
  assert found.sum() > 0.9 * exact.sum()


def test_a_query_that_is_answered_well_still_has_a_gradient():
  """Softmax − 1 at the positive would be 0 in float32."""
  q, c, positive, identity = _case()
  c[:8] = q  # every answer is its query
  c[8:] -= q[0]  # and no other candidate is near the first query
  c[8:] /= np.linalg.norm(c[8:], axis=1, keepdims=True)
  keep = np.r_[0, 8 : len(c)]
  case = q[:1], c[keep], positive[:1], identity[keep] + 1
  (_, (d_q, d_c, d_scale)), (_, expected) = _ours(*case, 12), _brute(*case, 12)
  assert 1e-10 < np.abs(expected[0]).max() < 1e-6
  tiny.assert_close((d_q, d_c, d_scale), expected, 1e-4)


@pytest.mark.slow
def test_copies_and_absent_candidates_would_be_detected():
  """Negative controls: without the mask the loss is another."""
  q, c, positive, identity = _case()
  (loss, _), _ = _brute(q, c, positive, identity, SCALE)
  distinct = np.arange(1, len(c) + 1)
  kept_absent = np.where(identity == 0, distinct, identity)
  kept_copies = np.where(identity == 0, 0, distinct)
  for other in (kept_absent, kept_copies):
    (worse, _), _ = _ours(q, c, positive, other, SCALE)
    assert worse > loss + 0.1
  only_own = (q, c[:8], positive, identity[:8])  # each query its hard ones
  assert abs(_ours(*only_own, SCALE)[0][0] - loss) > 0.1


def test_logits_that_are_large_do_not_overflow():
  q, c, positive, identity = _case()
  expected = _brute(q, c, positive, identity, 1e4)
  tiny.assert_close(
    _ours(q, c, positive, identity, 1e4)[0][0], expected[0][0], 1e-4
  )


def _max_sim(queries, candidates):
  """Late interaction: each query token with its best candidate token."""
  scores = jnp.einsum(
    "qid,cjd->qcij", queries["vectors"], candidates["vectors"]
  )
  return (queries["weights"][:, None] * scores.max(-1)).sum(-1)


@pytest.mark.slow
def test_the_gradient_of_any_score_is_its_own():
  """A score of trees with 3 and 4 tokens per text, compared with float64."""
  _, _, positive, identity = _case(37, 37, 1)
  rng = np.random.default_rng(0)
  draw = lambda *shape: 0.3 * rng.normal(size=shape)
  queries = {"vectors": draw(37, 3, 5), "weights": rng.random((37, 3))}
  candidates = {"vectors": draw(len(identity), 4, 5)}

  def plain(queries, candidates, scale):
    same = identity[positive][:, None] == identity
    own = np.arange(len(identity)) == positive[:, None]
    counted = positive >= 0
    seen = own | (~same & (identity != 0))
    logits = jnp.where(seen, scale * _max_sim(queries, candidates), -jnp.inf)
    loss = jax.nn.logsumexp(logits, 1) - jnp.where(own, logits, 0).sum(1)
    return jnp.where(counted, loss, 0).sum()

  streamed = lambda *x: cross_entropy(
    _max_sim, *x, jnp.asarray(positive), jnp.asarray(identity)
  )[0]
  with jax.enable_x64(True):
    expected = jax.jit(jax.value_and_grad(plain, (0, 1, 2)))(
      queries, candidates, SCALE
    )
  single = jax.tree.map(lambda x: x.astype("f"), (queries, candidates))
  actual = tiny.jit(jax.value_and_grad(streamed, (0, 1, 2)))(
    *single, jnp.float32(SCALE)
  )
  tiny.assert_close(actual, jax.tree.map(np.asarray, expected), 1e-5)
  # Control: the gradient of dot products of summed tokens is another.
  summed = lambda q, c: dot(q["vectors"].sum(1), c["vectors"].sum(1))
  other = tiny.jit(
    lambda *x: cross_entropy(
      summed,
      *x,
      jnp.float32(SCALE),
      jnp.asarray(positive),
      jnp.asarray(identity),
    )[0]
  )(*single)
  assert abs(other / actual[0] - 1) > 1e-2


def test_each_width_is_truncated_and_normalized_again():
  q, c, positive, identity = _case()
  q, c = 3 * q, 0.5 * c  # not normalised
  dims, weights = (4, 8, 16), (1.0, 0.5, 2.0)
  widths = transforms.matryoshka(dims, weights)

  def score(q, c):
    loss, correct = cross_entropy(dot, q, c, SCALE, positive, identity)
    return loss, correct.sum()

  (loss, right), grads = tiny.jit(
    jax.value_and_grad(lambda q, c: widths(score, q, c), (0, 1), has_aux=True)
  )(q, c)

  total, rights, d_q, d_c, plain = 0.0, [], 0 * q, 0 * c, 0.0
  for dim, weight in zip(dims, weights):
    (value, correct), (g_q, g_c, _) = _brute(
      _unit(q[:, :dim]), _unit(c[:, :dim]), positive, identity, SCALE
    )
    total += weight * value
    rights.append(correct)
    d_q[:, :dim] += weight * _through_unit(q[:, :dim], g_q)
    d_c[:, :dim] += weight * _through_unit(c[:, :dim], g_c)
    plain += (
      weight
      * _brute(_unit(q)[:, :dim], _unit(c)[:, :dim], positive, identity, SCALE)[
        0
      ][0]
    )
  tiny.assert_close((loss, grads), (total, (d_q, d_c)), 1e-5)
  assert right == pytest.approx(np.mean(rights))
  assert len(set(rights)) > 1
  assert abs(plain - total) > 0.1  # control: truncated, not normalised again


def _unit(x):
  return x / np.linalg.norm(x.astype("d"), axis=1, keepdims=True)


def _through_unit(x, g):
  """The gradient with respect to x, given that for x / ‖x‖."""
  length = np.linalg.norm(x.astype("d"), axis=1, keepdims=True)
  u = x / length
  return (g - u * (u * g).sum(1, keepdims=True)) / length


def test_matryoshka_weights_are_one_by_default():
  q, c, *_ = _case()
  score = lambda q, c: (((q - c[:8]) ** 2).sum(), q[0, 0])
  values = [
    transforms.matryoshka(*options)(score, q, c)[0]
    for options in (((4, 16), ()), ((4,), ()), ((16,), (1,)), ((), ()))
  ]
  assert float(values[0]) == pytest.approx(float(values[1] + values[2]))
  assert values[3] == values[2]


def test_matryoshka_widths_that_do_not_fit_are_named():
  with pytest.raises(UserError, match="1 values for 2 .*matryoshka_dims"):
    InfoNCE(
      Encoder(tiny.ARCHITECTURE),
      matryoshka_dims=(8, 4),
      matryoshka_weights=(1.0,),
    )
  for dim in (0, 17):
    loss = InfoNCE(Encoder(tiny.ARCHITECTURE), matryoshka_dims=(8, dim))
    with pytest.raises(UserError, match=f"matryoshka_dims: {dim} is no"):
      jax.eval_shape(
        loss, tiny.shapes(loss), tiny.pair_batch(), jax.random.key(0)
      )


# As in v1.5: a LayerNorm before truncation to the widths.
NORMED = Encoder(
  dataclasses.replace(tiny.CONFIG, pooled_norm=True).architecture, dropout=0.3
)


def _loss(chunks):
  """A loss with dropout, two widths and a trained temperature."""
  rows, length = tiny.pair_batch()["inputs"]["ids"].shape
  return InfoNCE(
    NORMED,
    chunk_tokens=rows // chunks * length,
    matryoshka_dims=(8, 16),
    trainable_temperature=True,
  )


@pytest.fixture(name="trained", scope="module")
def _trained():
  rng = np.random.default_rng(0)
  # With initial weights, the last LayerNorm would make another one useless.
  moved = jax.tree.map(
    lambda x: x + 0.1 * rng.normal(size=x.shape).astype("f"),
    tiny.params(_loss(1)),
  )
  return moved | {"log_scale": np.float32(math.log(SCALE))}


@pytest.mark.slow
def test_chunks_change_nothing_and_the_gradient_is_gradcaches(trained):
  """Each row has its own dropout key, so chunks do not matter."""
  batch, key = tiny.pair_batch(), jax.random.key(0)
  f = lambda n: lambda p, b, rng: _loss(n)(p, b, rng)[0]
  loss, grads = tiny.jit(jax.value_and_grad(f(4)))(trained, batch, key)
  tiny.assert_close((loss, grads), _by_hand(trained, batch, key), 1e-4)
  in_two = tiny.jit(f(2))
  assert float(in_two(trained, batch, key)) == pytest.approx(
    float(loss), rel=1e-6
  )
  # Controls: other masks, no LayerNorm or fewer negatives change the loss.
  other = in_two(trained, batch, jax.random.key(1))
  assert abs(other / loss - 1) > 1e-3
  plain = InfoNCE(
    Encoder(tiny.ARCHITECTURE, dropout=0.3),
    matryoshka_dims=(8, 16),
    trainable_temperature=True,
  )
  assert abs(tiny.jit(plain)(trained, batch, key)[0] / loss - 1) > 1e-3
  near = np.where(np.arange(24) % 8 < 4, batch["candidate"], -1)
  fewer = in_two(trained, {**batch, "candidate": near}, key)
  assert abs(fewer / loss - 1) > 1e-2


def _by_hand(params, batch, key):
  """GradCache: embeds, differentiates the loop, and applies one vjp."""
  encoder = NORMED
  tokens = batch["inputs"]

  def embed(params):
    one = lambda row, key: (
      encoder.embed(
        params, {k: v[None] for k, v in row.items()}, 8, key
      ).vectors
    )
    keys = jax.random.split(key, len(tokens["ids"]))
    return jax.vmap(one)(tokens, keys).reshape(-1, 16)

  pooled = np.asarray(tiny.jit(embed)(params["encoder"]))
  q_slot, c_slot = batch["query"], np.maximum(batch["candidate"], 0)
  identity = np.where(
    batch["candidate"] < 0, 0, batch["content"].reshape(-1)[c_slot]
  )
  total, d_pooled, d_log_scale = 0.0, np.zeros_like(pooled), 0.0
  for dim in (8, 16):
    q, c = pooled[q_slot, :dim], pooled[c_slot, :dim]
    (loss, _), (d_q, d_c, d_scale) = _brute(
      _unit(q), _unit(c), batch["positive"], identity, SCALE
    )
    total += loss
    d_log_scale += d_scale * SCALE  # scale = exp(log_scale)
    np.add.at(d_pooled[:, :dim], q_slot, _through_unit(q, d_q))
    np.add.at(d_pooled[:, :dim], c_slot, _through_unit(c, d_c))
  back = tiny.jit(lambda p, d: jax.vjp(embed, p)[1](d)[0])
  return total, {
    "encoder": back(params["encoder"], d_pooled),
    "log_scale": d_log_scale,
  }


@pytest.mark.slow
def test_both_directions_count_half_each():
  """Documents also retrieve their query among all queries."""
  q, c, own, identity = _case()
  table, slot = np.concatenate([3 * q, c]), np.arange(8, 32, dtype="i")
  row = np.zeros((4, 8), np.int32)
  batch = {
    "inputs": dict.fromkeys(("ids", "segment_ids", "positions"), row),
    "content": np.concatenate([row[0], identity]).reshape(4, 8),
    "query": np.arange(8, dtype="i"),
    "candidate": slot,
    "positive": own,
  }

  def ask(bidirectional):
    loss = InfoNCE(
      tiny.Vectors(), temperature=1 / SCALE, bidirectional=bidirectional
    )

    def total(params, batch):
      total, *rest = loss(params, batch, jax.random.key(0))
      return total, rest

    return tiny.jit(jax.value_and_grad(total, has_aux=True))(
      {"encoder": {"table": table}}, batch
    )

  (total, (weight, sums)), grads = ask(True)
  unit = _unit(table)
  q, c = unit[:8], unit[8:]
  (there, right), (d_q, d_c, _) = _brute(q, c, own, identity, SCALE)
  (back, _), (d_own, d_queries, _) = _brute(
    c[own], q, np.arange(8), identity[own], SCALE
  )
  d_c[own] += d_own
  by_vector = np.concatenate([d_q + d_queries, d_c]) / 2
  tiny.assert_close(
    (total, grads["encoder"]["table"]),
    ((there + back) / 2, _through_unit(table, by_vector)),
    1e-5,
  )
  assert (weight, sums["accuracy"]) == (8, right)
  assert abs(there - back) > 0.1
  # Queries 2 and 5 are equal: neither they nor their documents are negatives of
  # each other. Query 6 is absent.
  group = np.arange(1, 9)
  group[5] = group[2]
  batch["content"] = np.concatenate([group, identity]).reshape(4, 8)
  batch["query"] = np.where(np.arange(8) == 6, -1, batch["query"])
  (total, (weight, _)), grads = ask(True)
  answers = np.where(np.arange(8) == 6, -1, own)
  (there, _), (d_q, d_c, _) = _brute(q, c, answers, identity, SCALE, group)
  # Their documents retrieve the first of them; for all others it counts once.
  once, first = np.where(answers < 0, 0, group), np.array(answers)
  once[5], first[5] = 0, 2
  (back, _), (d_own, d_queries, _) = _brute(
    c[own], q, first, once, SCALE, identity[own]
  )
  d_c[own] += d_own
  by_vector = np.concatenate([d_q + d_queries, d_c]) / 2
  tiny.assert_close(
    (total, grads["encoder"]["table"]),
    ((there + back) / 2, _through_unit(table, by_vector)),
    1e-5,
  )
  assert weight == 7
  with pytest.raises(AssertionError):  # control
    tiny.assert_close(ask(False)[1], grads, 1e-2)


def test_a_trained_temperature_is_clamped(trained):
  loss = InfoNCE(Encoder(tiny.ARCHITECTURE), trainable_temperature=True)
  batch = jax.tree.map(jnp.asarray, tiny.pair_batch())
  assert trained["log_scale"] == pytest.approx(math.log(50))
  assert "log_scale" not in tiny.shapes(InfoNCE(Encoder(tiny.ARCHITECTURE)))
  f = tiny.jit(
    lambda s: loss({**trained, "log_scale": s}, batch, jax.random.key(0))[0]
  )
  at_limit = float(f(math.log(100.0)))
  assert float(f(6.0)) == pytest.approx(at_limit, rel=1e-6)
  assert abs(f(4.0) - at_limit) > 1e-3


def test_arguments_that_do_not_fit_are_named():
  encoder = Encoder(tiny.ARCHITECTURE)
  make = lambda **options: losses.make(
    ml_collections.ConfigDict(options), encoder
  )
  assert isinstance(make(name="info_nce", chunk_tokens=64), InfoNCE)
  for options, message in (
    (dict(name="infonce"), "no loss 'infonce'.*mean 'info_nce'"),
    (dict(name="info_nce", temprature=1.0), "temprature.*'temperature'"),
    (dict(name="info_nce", temperature=0.0), "temperature: 0.0 is not above"),
  ):
    with pytest.raises(UserError, match=message):
      make(**options)


@pytest.mark.parametrize(
  "rows, length, tokens, chunks",
  [
    (128, 2048, 16_384, 16),
    (8, 2048, 16_384, 1),
    (9, 2048, 16_384, 3),
    (13, 512, 16_384, 1),
    (13, 2048, 16_384, 13),
    (3, 8192, 4096, 3),
    (1, 512, 100, 1),
    (128, 2048, 0, 1),
  ],
)
def test_a_chunk_has_so_many_tokens_at_most(rows, length, tokens, chunks):
  assert transforms.chunks_of(rows, length, tokens) == chunks
  x = {"ids": np.zeros((rows, length), np.int32)}
  seen = []

  def embed(params, tokens, slots):
    del params
    seen.append(tokens["ids"].shape)
    return jnp.zeros((tokens["ids"].shape[0], slots, 4))

  out = transforms.chunked(embed, tokens)({}, x, 2)
  assert {*seen} == {(rows // chunks, length)} and out.shape == (rows, 2, 4)


def _temporaries(f, *arguments):
  """Bytes of temporaries of the gradient of f."""
  compiled = tiny.jit(jax.grad(f)).lower(*arguments).compile()
  return compiled.memory_analysis().temp_size_in_bytes


def test_chunks_take_the_memory_of_one_and_the_embeddings():
  x = np.ones((1024, 8), "f")

  def embed(params, tokens, slots):  # a wide layer over few numbers
    del slots
    return jnp.tanh(tokens["ids"] @ params["up"]) @ params["down"]

  def f(n):
    return lambda p, x: (
      transforms.chunked(embed, x.size // n)(p, {"ids": x}, 1) ** 2
    ).sum()

  params = {"up": np.ones((8, 512), "f"), "down": np.ones((512, 8), "f")}
  wide, vectors = 1024 * 512 * 4, x.nbytes
  assert _temporaries(f(1), params, x) > wide  # control
  weights = sum(p.nbytes for p in params.values())
  for n in (16, 64):
    assert _temporaries(f(n), params, x) < (
      4 * wide / n + 8 * vectors + 3 * weights
    )


def test_memory_grows_with_the_vectors_and_not_with_their_pairs():
  own = np.arange(4096, dtype="i")
  x = np.ones((4096, 16), "f")

  def streamed(x):
    return cross_entropy(dot, x, x, 50.0, own, own + 1)[0]

  def plain(x):
    logits = 50 * x @ x.T
    return (jax.nn.logsumexp(logits, axis=1) - jnp.diagonal(logits)).sum()

  pairs = 4096 * 4096 * 4
  assert _temporaries(plain, x) > pairs  # control
  assert _temporaries(streamed, x) < 12 * x.nbytes < pairs / 16


def _collectives(f):
  """Collectives of f's gradient over 8 devices: (inside a loop, elements)."""
  mesh = jax.make_mesh(
    (8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,)
  )
  rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
  x = jax.ShapeDtypeStruct((512, 16), "float32", sharding=rows)
  own = jax.ShapeDtypeStruct((512,), "int32", sharding=rows)
  grad = jax.grad(f, (0, 1, 2), has_aux=True)
  scale = jax.ShapeDtypeStruct((), "float32")
  compiled = (
    tiny.jit(partition.in_mesh(grad, mesh))
    .lower(x, x, scale, own, own, own)
    .compile()
  )
  found, entry = [], False
  for line in compiled.as_text().splitlines():
    if not line.startswith(" "):
      entry = line.startswith("ENTRY")
    match = re.search(
      r"= (.*?) (all-gather|all-reduce|reduce-scatter|all-to-all|"
      r"collective-permute)(-start)?\(",
      line,
    )
    if match:
      sizes = re.findall(r"\[([\d,]*)\]", match[1])
      found.append(
        (
          not entry,
          max(math.prod(map(int, filter(None, s.split(",")))) for s in sizes),
        )
      )
  return found


def test_on_a_mesh_vectors_travel_once_and_logits_never(monkeypatch):
  found = _collectives(lambda *x: cross_entropy(dot, *x))
  assert found and not any(inside for inside, _ in found)
  assert max(size for _, size in found) <= 512 * 16
  # Control: the partitioner's own choice.
  monkeypatch.setattr(streamed, "whole", lambda arrays: arrays)
  found = _collectives(lambda *x: cross_entropy(dot, *x))
  assert any(inside for inside, _ in found)
