# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Architectures as data: runs, orders, windows and causal masks."""

import dataclasses
import math

import jax
import numpy as np
import pytest
from support import tiny

from nomic_jax import families
from nomic_jax.data.pack import pack
from nomic_jax.errors import UserError
from nomic_jax.kernels import reference
from nomic_jax.kernels import relative as relative_bias
from nomic_jax.kernels.attention import Backend
from nomic_jax.kernels.layout import Layout
from nomic_jax.kernels.layout import Need
from nomic_jax.model import architecture as spec
from nomic_jax.model import architecture_json
from nomic_jax.model import flops
from nomic_jax.model import relative
from nomic_jax.model import selection
from nomic_jax.model import trees
from nomic_jax.model.architecture import Architecture
from nomic_jax.model.architecture import Attention
from nomic_jax.model.architecture import Embedding
from nomic_jax.model.architecture import Layer
from nomic_jax.model.architecture import MLP
from nomic_jax.model.architecture import Norm
from nomic_jax.model.architecture import Prediction
from nomic_jax.model.architecture import Relative
from nomic_jax.model.architecture import Rope
from nomic_jax.model.encoder import Encoder
from nomic_jax.model.head import Head
from nomic_jax.model.head import Module

WIDTH = 24
NORM = Norm(1e-5, bias=False)
GLOBAL = Layer(
  Attention(heads=2, kv_heads=2, width=8, rope=Rope(100.0)),
  MLP(16, "gelu", gated=True),
  NORM,
  order="pre",
)
LOCAL = dataclasses.replace(
  GLOBAL,
  attention=dataclasses.replace(
    GLOBAL.attention, window=2, rope=Rope(10.0, fraction=0.5)
  ),
)
POST = dataclasses.replace(
  LOCAL,
  norm=Norm(1e-5),
  order="post",
  mlp=MLP(16, "silu", in_bias=True, out_bias=True),
)
CAUSAL = dataclasses.replace(
  GLOBAL,
  norm=Norm(1e-6, "rms"),
  attention=Attention(
    heads=4,
    kv_heads=2,
    width=8,
    causal=True,
    bias=True,
    rope=Rope(50.0, interleaved=True),
    qk_norm=Norm(1e-6, "rms"),
  ),
)
# A table small enough for all kinds of distances to occur.
RELATIVE = dataclasses.replace(
  POST,
  attention=Attention(
    heads=4, kv_heads=2, width=8, relative=Relative(buckets=8, furthest=8)
  ),
)
BOTH = dataclasses.replace(
  CAUSAL, attention=dataclasses.replace(CAUSAL.attention, window=3)
)


def _architecture(layers, **fields):
  return Architecture(
    **dict(
      vocab_size=96,
      width=WIDTH,
      layers=tuple(layers),
      final_norm=NORM,
      embedding=Embedding(types=1, norm=Norm(1e-5)),
      prediction=Prediction("gelu", True, NORM),
    )
    | fields
  )


# One global layer, then (local, local, global) twice: two runs.
MIXED = _architecture([GLOBAL, *2 * [LOCAL, LOCAL, CAUSAL]])
CASES = {
  "pre": _architecture([GLOBAL] * 2),
  "post, window": _architecture([POST] * 2, final_norm=None),
  "causal, grouped heads, RMSNorm": _architecture(
    [CAUSAL] * 2, final_norm=Norm(1e-6, "rms")
  ),
  "causal, window": _architecture(
    [BOTH], embedding=Embedding(positions=40, first_position=2, norm=None)
  ),
  "units": MIXED,
  "relative": _architecture([RELATIVE] * 2),
  "factorized": _architecture(
    [POST] * 2, embedding=Embedding(types=1, norm=Norm(1e-5), width=10)
  ),
}


def _random(architecture):
  """Parameters of which none is 0 or 1, large enough to change the output."""
  rng = np.random.default_rng(0)
  return jax.tree.map(
    lambda x: x + rng.normal(0, 0.3, x.shape).astype("f"),
    tiny.params(Encoder(architecture)),
  )


def _packed(texts, length, slots):
  packed = pack(texts, length, slots)
  return {
    "ids": packed.ids,
    "segment_ids": packed.segment_ids,
    "positions": packed.positions,
  }, packed.slot_of


TEXTS = [
  list(np.random.default_rng(n).integers(1, 96, n)) for n in (9, 3, 14, 1, 7)
]


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_packed_text_equals_the_text_alone_in_float64(name):
  a = CASES[name]
  params = _random(a)
  vectors = lambda *args: Encoder(a).embed(*args).vectors
  embed = tiny.jit(vectors, static_argnums=2)
  tokens, slot_of = _packed(TEXTS, 17, 4)
  assert tokens["segment_ids"].max() > 1  # rows hold several texts
  vectors = embed(params, tokens, 4).reshape(-1, WIDTH)[slot_of]
  for vector, text in zip(vectors, TEXTS):
    expected = _float64(a, params, np.array(text)).mean(0)
    np.testing.assert_allclose(vector, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize(
  "change",
  [
    {"window": None},
    {"window": 3},
    {"causal": True},
    {"kv_heads": 1},
    {"rope": None},
    {"relative": Relative(8, furthest=8)},
  ],
)
def test_the_comparison_detects_another_mask(change):
  """Negative control of the test above."""
  a = _architecture([POST], final_norm=None)
  params = _random(a)
  text = np.array(TEXTS[2])
  other = a.each_layer(
    lambda x: dataclasses.replace(
      x, attention=dataclasses.replace(x.attention, **change)
    )
  )
  if "relative" in change:
    params["relative"] = {"embedding": np.arange(16.0).reshape(8, 2)}
  if "kv_heads" in change:
    with pytest.raises(ValueError, match="columns|reshape|shape"):
      _float64(other, params, text)
  else:
    difference = _float64(a, params, text) - _float64(other, params, text)
    assert np.abs(difference).max() > 1e-3


def _float64(a, params, ids):
  """Hidden states of one text, [S, D], from the definitions, with loops."""
  params = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
  e, places = a.embedding, np.arange(len(ids))
  x = params["word"]["embedding"][ids]
  if e.types:
    x = x + params["type"]["embedding"][0]
  if e.positions:
    x = x + params["position"]["embedding"][places + e.first_position]
  if e.norm:
    x = _normed(e.norm, params["norm"], x)
  if e.width:
    x = _linear(params["project"], x)
  for layer, p in zip(a.layers, trees.unstacked(a, params), strict=True):
    parts = (
      lambda y: _attention(layer.attention, p | {"all": params}, y),
      lambda y: _mlp(layer.mlp, p, y),
    )
    for part, norm in zip(parts, (p["norm1"], p["norm2"])):
      if layer.order == "pre":
        x = x + part(_normed(layer.norm, norm, x))
      else:
        x = _normed(layer.norm, norm, x + part(x))
  return _normed(a.final_norm, params["final_norm"], x) if a.final_norm else x


def _linear(p, x):
  return x @ p["kernel"] + p.get("bias", 0)


def _normed(norm, p, x):
  if norm.kind == "layer":
    x = x - x.mean(-1, keepdims=True)
  x = x / np.sqrt((x**2).mean(-1, keepdims=True) + norm.eps) * p["scale"]
  return x + p.get("bias", 0)


def _mlp(mlp, p, x):
  gelu = np.vectorize(lambda v: v / 2 * (1 + math.erf(v / 2**0.5)))
  act = {"gelu": gelu, "silu": lambda v: v / (1 + np.exp(-v))}[mlp.activation]
  up = _linear(p["up"], x)
  return _linear(
    p["down"], up * act(_linear(p["gate"], x)) if mlp.gated else act(up)
  )


def _attention(a, p, x):
  qkv = _linear(p["qkv"], x).reshape(len(x), -1, a.width)
  if qkv.shape[1] != a.heads + 2 * a.kv_heads:
    raise ValueError("columns")
  q, k, v = np.split(qkv, [a.heads, a.heads + a.kv_heads], axis=1)
  if a.qk_norm:
    q = _normed(a.qk_norm, p["q_norm"], q)
    k = _normed(a.qk_norm, p["k_norm"], k)
  out = np.zeros((len(x), a.heads, a.width))
  for h in range(a.heads):
    g = h // (a.heads // a.kv_heads)
    for i in range(len(x)):
      seen = [
        j
        for j in range(len(x))
        if (a.window is None or abs(i - j) <= a.window)
        and not (a.causal and j > i)
      ]
      query = _rotated(a, q[i, h], i)
      scores = (
        np.array([query @ _rotated(a, k[j, g], j) for j in seen]) / a.width**0.5
      )
      if a.relative:
        table = p["all"]["relative"]["embedding"][:, h]
        scores += [table[_bucket(a.relative, j - i)] for j in seen]
      weights = np.exp(scores - scores.max())
      out[i, h] = weights / weights.sum() @ v[seen, g]
  return _linear(p["out"], out.reshape(len(x), -1))


def _bucket(relative, distance):
  """The bucket of a distance, as in the code of T5."""
  half, far = relative.buckets // 2, abs(distance)
  near = half // 2
  if far >= near:
    steps = math.log(far / near) / math.log(relative.furthest / near)
    far = min(near + int(steps * (half - near) + 1e-9), half - 1)
  return far + (half if distance > 0 else 0)


def _rotated(a, x, place):
  if a.rope is None:
    return x
  r = int(a.width * a.rope.fraction)
  x = x.copy()
  for i in range(r // 2):
    one, two = (2 * i, 2 * i + 1) if a.rope.interleaved else (i, i + r // 2)
    angle = place * a.rope.base ** (-2 * i / r)
    x[[one, two]] = (
      x[one] * np.cos(angle) - x[two] * np.sin(angle),
      x[two] * np.cos(angle) + x[one] * np.sin(angle),
    )
  return x


@pytest.mark.slow
def test_long_rows_with_a_relative_bias_go_by_blocks(monkeypatch):
  """With the values and gradients of one block; 17 is not a multiple of 8."""
  a = CASES["relative"]
  params = _random(a)
  tokens, _ = _packed(TEXTS, 17, 4)

  def value_and_grad():
    f = lambda p: (Encoder(a).embed(p, tokens, 4).vectors ** 2).sum()
    return tiny.jit(jax.value_and_grad(f))(params)

  expected = value_and_grad()
  monkeypatch.setattr(reference, "_LONG", 8)
  asked = []
  part = relative_bias.part
  monkeypatch.setattr(
    relative_bias, "part", lambda *args: asked.append(args) or part(*args)
  )
  found = value_and_grad()
  assert asked
  tiny.assert_close(found, expected, 1e-5)
  table = found[1]["relative"]["embedding"]
  used = np.abs(table).min(1) > 0
  assert used.tolist() == [i != 4 for i in range(8)]  # no token is 0 after


def test_buckets_of_distances_are_mpnets():
  modeling = pytest.importorskip("transformers.models.mpnet.modeling_mpnet")
  torch = pytest.importorskip("torch")
  length = 3000
  distances = torch.arange(1 - length, length)
  expected = modeling.MPNetEncoder.relative_position_bucket(distances)
  found = relative.buckets(Relative(), length)
  np.testing.assert_array_equal(found, expected.numpy())


@pytest.mark.parametrize("kernel", ["pallas_tpu", "pallas_gpu", "cudnn"])
def test_kernels_say_that_they_have_no_relative_bias(kernel):
  layout = Layout(2, 2, 64)
  backend = Backend(kernel, "TPU v5e")
  assert not backend.lacks(Need(layout), dtype="bfloat16")
  why = backend.lacks(Need(layout, relative=True), dtype="bfloat16")
  assert why == "adds no relative bias to its scores"


@pytest.mark.parametrize(
  "layers, expected",
  [
    ("aaaa", [("a", 4)]),
    ("a", [("a", 1)]),
    ("abab", [("ab", 2)]),
    ("gllgllgllg", [("gll", 3), ("g", 1)]),
    ("GllgllgllgLLg", [("G", 1), ("llg", 3), ("L", 2), ("g", 1)]),
    ("abcc", [("a", 1), ("b", 1), ("c", 2)]),
  ],
)
def test_layers_are_grouped_into_units_that_repeat(layers, expected):
  runs = spec.runs(tuple(layers))
  assert [("".join(r.unit), r.repeats) for r in runs] == expected
  assert "".join("".join(r.unit) * r.repeats for r in runs) == layers
  assert [r.start for r in runs] == np.cumsum(
    [0, *(len(u) * n for u, n in expected)]
  )[:-1].tolist()
  assert (runs[0].name == "layers") == (len(runs) == 1)


@pytest.mark.slow
def test_parameters_of_units_are_stacked_under_their_own_names():
  shapes = trees.shapes(MIXED)
  assert len(MIXED.runs) == 2
  assert shapes["encoder/layers_0/qkv/kernel"] == (1, WIDTH, 48)
  for i, width in enumerate((48, 48, 64)):
    path = f"encoder/layers_1/layer_{i}/qkv/kernel"
    assert shapes[path] == (2, WIDTH, width)
  params = _random(MIXED)
  parts = trees.unstacked(MIXED, params)
  np.testing.assert_array_equal(
    parts[5]["qkv"]["kernel"], params["layers_1"]["layer_1"]["qkv"]["kernel"][1]
  )
  again = trees.stacked(MIXED, parts)
  jax.tree.map(
    np.testing.assert_array_equal, again, {name: params[name] for name in again}
  )


@pytest.mark.slow
@pytest.mark.parametrize(
  "options",
  [{"remat": "full"}, {"remat": "attention", "unroll": 6}, {"unroll": 99}],
)
def test_remat_and_unroll_change_nothing(options):
  params = _random(MIXED)
  tokens, _ = _packed(TEXTS, 17, 4)

  def value_and_grad(**options):
    encoder = Encoder(MIXED, **options)
    f = lambda p: (encoder.embed(p, tokens, 4).vectors ** 2).sum()
    return tiny.jit(jax.value_and_grad(f))(params)

  tiny.assert_close(value_and_grad(**options), value_and_grad(), 1e-4)


@pytest.mark.slow
def test_every_layer_draws_its_own_dropout():
  """Layers of zeros change nothing, so the output shows what was dropped."""
  params = _random(MIXED)
  encoder = Encoder(MIXED, dropout=0.5)
  tokens, _ = _packed(TEXTS, 17, 4)
  one, again, other = (
    encoder.apply(params, tokens, jax.random.key(n)) for n in (1, 1, 2)
  )
  np.testing.assert_array_equal(one, again)
  real = tokens["segment_ids"] > 0
  assert np.abs(one - other)[real].max() > 1e-2


@pytest.mark.parametrize("name", CASES)
def test_an_architecture_survives_json(name):
  a = dataclasses.replace(
    CASES[name],
    family="bert",
    dropout=0.1,
    head=Head(
      "cls",
      (
        Module("norm", WIDTH, affine=False),
        Module("dense", 8, activation="tanh"),
      ),
    ),
  )
  values = architecture_json.to_json(a)
  again = architecture_json.from_json(values, "encoder.json")
  assert again == a and hash(again) == hash(a)
  assert (again.family, again.dropout) == ("bert", 0.1)
  for damage in ({"unit": 5, "repeats": 1}, {"repeats": 1}):
    with pytest.raises(UserError, match="encoder.json: .*copy it again"):
      architecture_json.from_json(values | {"layers": [damage]}, "encoder.json")
  layer = values["layers"][0]["unit"][0]
  layer["attention"]["widow"] = layer["attention"].pop("window")
  with pytest.raises(UserError, match="encoder.json: unknown key 'widow'"):
    architecture_json.from_json(values, "encoder.json")


@pytest.mark.parametrize("name", CASES)
def test_what_no_familys_files_can_express_is_not_written(name):
  with pytest.raises(
    UserError,
    match=(
      "config.json cannot express its .*layers|activation .* cannot be written"
    ),
  ):
    families.to_json(
      dataclasses.replace(
        CASES[name], prediction=Prediction("gelu", False, Norm())
      )
    )


@pytest.mark.slow
def test_a_selection_of_units_takes_each_layer_from_one():
  params = _random(MIXED)
  smaller, picked = selection.select(MIXED, params, layers=4, width=12)
  assert [layer.attention.window for layer in smaller.layers] == [
    None,
    2,
    2,
    None,
  ]
  assert smaller.width == 12 and smaller.layers[0].attention.width == 6
  old, new = trees.unstacked(MIXED, params), trees.unstacked(smaller, picked)
  np.testing.assert_array_equal(
    new[3]["down"]["kernel"], old[6]["down"]["kernel"][:, ::2]
  )
  shapes = {
    path.removeprefix("encoder/"): shape
    for path, shape in trees.shapes(smaller).items()
  }
  for path, x in jax.tree_util.tree_leaves_with_path(picked):
    path = jax.tree_util.keystr(path, simple=True, separator="/")
    assert shapes.pop(path) == x.shape
  assert not shapes


@pytest.mark.parametrize(
  "window, causal",
  [(None, False), (2, False), (2, True), (None, True), (50, False)],
)
def test_operations_count_the_pairs_of_tokens_that_see_each_other(
  window, causal
):
  layer = dataclasses.replace(
    GLOBAL,
    attention=dataclasses.replace(
      GLOBAL.attention, window=window, causal=causal
    ),
  )
  length = 9
  pairs = sum(
    abs(i - j) <= (window or length) and not (causal and j > i)
    for i in range(length)
    for j in range(length)
  )
  found = flops.of_attention(_architecture([layer]), length, length)
  assert found == pytest.approx(4 * 16 * pairs, rel=1e-12)


@pytest.mark.parametrize(
  "change, message",
  [
    (dict(kv_heads=3), "4 query heads cannot share 3"),
    (dict(rope=Rope(), width=7), "even width"),
  ],
)
def test_impossible_heads_are_named(change, message):
  with pytest.raises(UserError, match=message):
    dataclasses.replace(CAUSAL.attention, **change)


def test_tables_narrower_than_the_hidden_states():
  """Shapes of all that is as wide as the word embedding, and the FLOPs."""
  a, plain = CASES["factorized"], CASES["post, window"]
  assert (a.table_width, plain.table_width, a.width) == (10, WIDTH, WIDTH)
  shapes = trees.shapes(a, mlm_head=True, labels=3)
  for path, shape in {
    "encoder/word/embedding": (96, 10),
    "encoder/type/embedding": (1, 10),
    "encoder/norm/scale": (10,),
    "encoder/project/kernel": (10, WIDTH),
    "mlm_head/transform/kernel": (WIDTH, 10),
    "mlm_head/norm/scale": (10,),
    "mlm_head/bias": (96,),
    "classification_head/pooler/kernel": (WIDTH, WIDTH),
  }.items():
    assert shapes[path] == shape
  assert "encoder/project/kernel" not in trees.shapes(plain)
  more = flops.of_encoder(a, 8, 8) - flops.of_encoder(plain, 8, 8)
  assert more == 2 * 8 * 10 * WIDTH
  batch = {"ids": (1, 2, 8), "masked": (1, 2, 3)}
  head = [
    flops.of_step(x, batch) / 3 - flops.of_encoder(x, 16, 8) for x in (a, plain)
  ]
  assert head == [2 * 6 * w * (WIDTH + 96) for w in (10, WIDTH)]
  values = architecture_json.to_json(a)
  assert architecture_json.from_json(values, "encoder.json") == a
  del values["embedding"]["width"]  # as an earlier version wrote it
  old = architecture_json.from_json(values, "encoder.json")
  assert old.table_width == WIDTH
