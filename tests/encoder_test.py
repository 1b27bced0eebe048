# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The encoder: its parameters, and independence of texts in a row."""

import dataclasses
import pathlib
import re

import jax
import numpy as np
import pytest
from support import tiny

from nomic_jax.data.pack import pack
from nomic_jax.errors import UserError
from nomic_jax.kernels import reference
from nomic_jax.losses.info_nce import InfoNCE
from nomic_jax.model import pooling
from nomic_jax.model import rotary
from nomic_jax.model.architecture import Rope
from nomic_jax.model.config import EncoderConfig
from nomic_jax.model.encoder import Encoder

NOMIC = EncoderConfig(
  vocab_size=96, width=32, layers=2, heads=2, mlp_width=64, max_length=64
)
BERT = dataclasses.replace(
  NOMIC,
  position="learned",
  activation="gelu",
  qkv_bias=True,
  mlp_in_bias=True,
  mlp_out_bias=True,
  pooler=True,
)
# Two of _texts are longer than the trained length.
NTK = dataclasses.replace(NOMIC, rotary_factor=2.0, trained_length=8)

# Checkpoints and exports depend on these names; a change needs migrations.
NOMIC_PATHS = """
layers/down/kernel layers/gate/kernel layers/norm1/bias layers/norm1/scale
layers/norm2/bias layers/norm2/scale layers/out/kernel layers/qkv/kernel
layers/up/kernel norm/bias norm/scale type/embedding word/embedding
""".split()
BERT_PATHS = """
layers/down/bias layers/down/kernel layers/norm1/bias layers/norm1/scale
layers/norm2/bias layers/norm2/scale layers/out/bias layers/out/kernel
layers/qkv/bias layers/qkv/kernel layers/up/bias layers/up/kernel norm/bias
norm/scale pooler/bias pooler/kernel position/embedding type/embedding
word/embedding
""".split()


def _params(config):
  return tiny.params(Encoder(config.architecture))


def _tokens(texts, row_length, slots):
  packed = pack(texts, row_length, slots)
  tokens = {
    "ids": packed.ids,
    "segment_ids": packed.segment_ids,
    "positions": packed.positions,
  }
  return tokens, packed.slot_of


def _texts(seed=0, lengths=(7, 3, 12, 1, 9, 5)):
  rng = np.random.default_rng(seed)
  return [list(rng.integers(1, 96, n)) for n in lengths]


@pytest.mark.parametrize(
  "config, expected", [(NOMIC, NOMIC_PATHS), (BERT, BERT_PATHS)]
)
def test_parameter_paths_are_frozen(config, expected):
  leaves = jax.tree_util.tree_leaves_with_path(_params(config))
  paths = [
    jax.tree_util.keystr(p, simple=True, separator="/") for p, _ in leaves
  ]
  assert sorted(paths) == expected


def test_paper_model_has_the_published_number_of_parameters():
  shapes = jax.eval_shape(
    Encoder(EncoderConfig().architecture).init, jax.random.key(0)
  )
  count = sum(x.size for x in jax.tree.leaves(shapes))
  assert count == 136_731_648  # nomic-embed-text-v1


@pytest.mark.slow
@pytest.mark.parametrize(
  "base, pooling",
  [
    (NOMIC, "mean"),
    (NOMIC, "cls"),
    (NOMIC, "last"),
    (NOMIC, "weighted"),
    (BERT, "mean"),
    (NTK, "mean"),
  ],
)
def test_a_text_alone_equals_a_text_in_company(base, pooling):
  """Packed, padded in a batch, and alone, a text has the same vector."""
  config = dataclasses.replace(base, pooling=pooling)
  params = _params(config)
  vectors = lambda *args: Encoder(config.architecture).embed(*args).vectors
  embed = tiny.jit(vectors, static_argnums=2)
  texts = _texts()
  tokens, slot_of = _tokens(texts, 16, 4)
  assert tokens["segment_ids"].max() > 1  # rows do hold several
  packed = embed(params, tokens, 4).reshape(-1, config.width)[slot_of]
  tokens, slot_of = _tokens(texts, 20, 1)
  assert len(tokens["ids"]) == len(texts)
  batched = embed(params, tokens, 1)[:, 0][slot_of]
  np.testing.assert_allclose(packed, batched, rtol=0, atol=2e-6)
  for n in (2, 3):  # the longest and the shortest, without any padding
    alone, _ = _tokens([texts[n]], len(texts[n]), 1)
    vector = embed(params, alone, 1)[0, 0]
    np.testing.assert_allclose(packed[n], vector, rtol=0, atol=2e-6)
  assert np.abs(packed[0] - packed[1]).max() > 1e-2


@pytest.mark.slow
def test_dynamic_ntk_depends_on_a_texts_own_length():
  encoder, params = Encoder(NTK.architecture), _params(NTK)
  texts = _texts()
  tokens, slot_of = _tokens(texts, 16, 4)
  plain = (
    Encoder(NOMIC.architecture).embed(params, tokens, 4).vectors.reshape(-1, 32)
  )
  scaled = encoder.embed(params, tokens, 4).vectors.reshape(-1, 32)
  for text, slot in zip(texts, slot_of):
    difference = np.abs(plain[slot] - scaled[slot]).max()
    if len(text) <= 8:
      assert difference < 1e-6
    else:
      assert difference > 1e-6


def test_ntk_base_has_the_published_value():

  rope = Rope(1000.0, factor=2.0, trained_length=2048)
  length = 4096  # the published base is 3108.22
  positions = np.arange(length, dtype=np.int32)[None]
  cos, sin = rotary.tables(rope, 64, positions, np.ones_like(positions))
  angle = np.arctan2(sin[0, 1], cos[0, 1])  # of position 1
  expected = 3108.22 ** -(np.arange(0, 64, 2) / 64)
  np.testing.assert_allclose(angle, expected, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
  "base, options",
  [
    (NOMIC, {"remat": "full"}),
    (NOMIC, {"remat": "dots"}),
    (NOMIC, {"remat": "weight_dots"}),
    (NOMIC, {"remat": "attention"}),
    (BERT, {"remat": True}),
    (BERT, {"remat": "attention", "unroll": 2}),
    (BERT, {"unroll": 2}),
    (NOMIC, {"unroll": 99}),
  ],
)
def test_remat_and_unroll_change_nothing(base, options):
  params = _params(base)
  tokens, _ = _tokens(_texts(), 16, 4)

  def value_and_grad(**options):
    encoder = Encoder(base.architecture, **options)
    f = lambda p: (encoder.embed(p, tokens, 4).vectors ** 2).sum()
    return tiny.jit(jax.value_and_grad(f))(params)

  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
    value_and_grad(),
    value_and_grad(**options),
  )


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_rematerialisations_keep_less_and_less(dtype, monkeypatch):
  """Counts the residuals of the backward pass, as JAX reports them."""
  monkeypatch.setattr(reference, "_LONG", 0)  # attention in blocks
  params = _params(NOMIC)
  tokens, _ = _tokens(_texts(), 16, 4)

  def kept(remat):
    encoder = Encoder(NOMIC.architecture, remat=remat, dtype=dtype)
    f = lambda p: encoder.apply(p, tokens).sum()
    residuals = jax.eval_shape(lambda p: jax.vjp(f, p)[1], params)
    return sum(x.size for x in jax.tree.leaves(residuals))

  sizes = [
    kept(x) for x in ("none", "dots", "weight_dots", "attention", "full")
  ]
  assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 5
  assert kept(True) == kept("full") and kept(False) == kept("none")


@pytest.mark.slow
def test_without_pooling_each_token_has_its_vector():
  config = dataclasses.replace(NOMIC, pooling="none")
  params = _params(config)
  tokens, _ = _tokens(_texts(), 16, 4)
  matrix = Encoder(config.architecture).embed(params, tokens, 4).vectors
  real = tokens["segment_ids"] > 0
  assert matrix.shape == (*real.shape, 32) and not matrix[~real].any()
  hidden = Encoder(config.architecture).apply(params, tokens)
  np.testing.assert_array_equal(matrix[real], hidden[real])


@pytest.mark.slow
def test_projection_follows_the_norm():
  config = dataclasses.replace(NOMIC, pooled_norm=True, projection=24)
  params = _params(config)
  tokens, slot_of = _tokens(_texts(), 16, 4)
  params["projection"]["bias"] = np.arange(24, dtype="f")
  assert config.architecture.output_width == 24
  encoder = Encoder(config.architecture)
  vectors = encoder.embed(params, tokens, 4).vectors.reshape(-1, 24)
  plain = dataclasses.replace(NOMIC, pooled_norm=True)
  normed = (
    Encoder(plain.architecture).embed(params, tokens, 4).vectors.reshape(-1, 32)
  )
  np.testing.assert_allclose(
    vectors[slot_of],
    np.float64(normed[slot_of]) @ params["projection"]["kernel"]
    + np.arange(24),
    rtol=0,
    atol=1e-5,
  )


@pytest.mark.parametrize(
  "options, message",
  [
    ({"remat": "dotz"}, "^remat: 'dotz'.*Did you mean 'dots'"),
    ({"ntk_length": "row"}, "^ntk_length: 'row'"),
  ],
)
def test_unknown_options_are_named(options, message):
  with pytest.raises(UserError, match=message):
    Encoder(NOMIC.architecture, **options)


@pytest.mark.slow
def test_dropout_is_drawn_from_the_key():
  encoder = Encoder(NOMIC.architecture, dropout=0.5)
  params = _params(NOMIC)
  tokens, _ = _tokens(_texts(), 16, 4)
  embed = lambda *args: encoder.embed(params, *args).vectors
  still = embed(tokens, 4)
  one, again, two = (embed(tokens, 4, jax.random.key(n)) for n in (1, 1, 2))
  np.testing.assert_array_equal(one, again)
  assert np.abs(one - two).max() > 1e-2
  assert np.abs(one - still).max() > 1e-2


@pytest.mark.slow
def test_dropout_of_a_row_does_not_depend_on_others():
  """With a key per row, a row's masks depend on its key alone."""
  encoder = Encoder(NOMIC.architecture, dropout=0.5)
  params = _params(NOMIC)
  tokens, _ = _tokens(_texts(), 16, 4)
  keys = jax.random.split(jax.random.key(0), len(tokens["ids"]))
  embed = lambda *args: encoder.embed(params, *args).vectors
  whole = embed(tokens, 4, keys)
  order = np.arange(len(keys))[::-1]
  turned = embed({k: v[order] for k, v in tokens.items()}, 4, keys[order])
  np.testing.assert_allclose(turned, whole[order], atol=1e-5)
  for i, key in enumerate(keys):
    row = {k: v[i : i + 1] for k, v in tokens.items()}
    alone = embed(row, 4, key)
    np.testing.assert_allclose(alone, whole[i : i + 1], atol=1e-5)
  assert np.abs(alone - embed(row, 4, keys[0])).max() > 1e-2
  # The kernel is called for all rows at once, not row by row.
  loss = InfoNCE(
    Encoder(
      dataclasses.replace(NOMIC, width=128, heads=2).architecture,
      dropout=0.5,
      attention="pallas_tpu",
    )
  )
  row = np.zeros((8, 128), np.int32)
  batch = {
    "inputs": dict.fromkeys(("ids", "segment_ids", "positions"), row),
    "content": row[:, :4],
    "query": row[:, 0],
    "candidate": row[:, 0],
    "positive": row[:, 0],
  }
  text = str(
    jax.make_jaxpr(lambda p, b: loss(p, b, jax.random.key(0)))(
      tiny.shapes(loss), batch
    )
  )
  assert "grid=(8, " in text and "grid=(1, " not in text


def test_unknown_pooling_is_named():
  config = dataclasses.replace(NOMIC, pooling="max")
  tokens, _ = _tokens(_texts(), 16, 4)
  with pytest.raises(UserError, match="pooling 'max'"):
    Encoder(config.architecture).embed(_params(NOMIC), tokens, 4)


@pytest.mark.parametrize("name", [p for p in pooling.POOLINGS if p != "none"])
def test_a_text_that_is_not_finite_affects_no_other(name):
  segments = np.array([[1, 1, 1, 2, 2, 0, 0, 0]])
  hidden = np.random.default_rng(0).normal(size=(1, 8, 4)).astype("f")
  whole = np.asarray(pooling.pool(name, hidden, segments, 3))
  hidden[0, :3, 1] = np.nan
  hidden[0, 6] = np.inf  # padding
  spoilt = np.asarray(pooling.pool(name, hidden, segments, 3))
  assert np.isnan(spoilt[0, 0]).all()
  np.testing.assert_array_equal(spoilt[0, 1:], whole[0, 1:])


def test_the_page_adds_a_pooling(monkeypatch):
  page = pathlib.Path(pooling.__file__).parent / "README.md"
  code, line = re.findall(
    r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL
  )
  names = {}
  exec(compile(code, "ends.py", "exec"), names)
  monkeypatch.setattr(pooling, "_WEIGHTS", dict(pooling._WEIGHTS))
  exec(line, {"_WEIGHTS": pooling._WEIGHTS, **names})
  monkeypatch.setattr(pooling, "POOLINGS", (*pooling.POOLINGS, "ends"))
  segments = np.array([[1, 1, 1, 2, 3, 3, 0, 0]])
  hidden = np.random.default_rng(0).normal(size=(1, 8, 4)).astype("f")
  found = np.asarray(pooling.pool("ends", hidden, segments, 4))[0]
  h = hidden[0]
  expected = [(h[0] + h[2]) / 2, h[3], (h[4] + h[5]) / 2, 0 * h[0]]
  np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
