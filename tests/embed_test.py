# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A text's vector does not depend on other texts, order or characters."""

import dataclasses
import json
import warnings

import jax
import numpy as np
import pytest
import sentence_transformers
from support import tiny

import nomic_jax
from nomic_jax.embed import file as embed_file
from nomic_jax.embed import inference
from nomic_jax.embed.inference import Embedder
from nomic_jax.embed.model import Model
from nomic_jax.errors import UserError
from nomic_jax.hub import matryoshka
from nomic_jax.hub import model_directory
from nomic_jax.kernels.attention import Backend
from nomic_jax.model.encoder import Encoder
from nomic_jax.text import tokenizer as tokenizer_lib

CONFIG = dataclasses.replace(tiny.CONFIG, vocab_size=200, max_length=100)
ARCHITECTURE = CONFIG.architecture
PROMPTS = {"search_query": "search : ", "search_document": "item : "}


@pytest.fixture(name="params", scope="module")
def _params():
  # Larger than initial values, so that different texts are far apart.
  return jax.tree.map(lambda x: 5 * x, tiny.params(Encoder(ARCHITECTURE)))


@pytest.fixture(name="model", scope="module")
def _model(params):
  return Model(ARCHITECTURE, params, tiny.words(), PROMPTS)


def _texts(count=40, seed=0, longest=90):
  rng = np.random.default_rng(seed)
  lengths = np.minimum(rng.geometric(0.1, count), longest)
  lengths[0] = longest
  return [" ".join(rng.choice(tiny.WORDS, n)) for n in lengths]


_embed = tiny.jit(
  lambda p, t: Encoder(ARCHITECTURE).embed(p, t, 1).vectors[0, 0]
)


def _by_hand(model, text, limit=100):
  """The encoder on this text alone, in a row of 100 tokens."""
  ids = model.tokenizer.encode(text).ids
  ids = ids if len(ids) <= limit else ids[: limit - 1] + ids[-1:]
  row = np.zeros((1, 100), np.int32)
  row[0, : len(ids)] = ids
  positions = np.arange(100, dtype=np.int32)[None]
  tokens = {
    "ids": row,
    "segment_ids": (positions < len(ids)).astype(np.int32),
    "positions": positions,
  }
  return np.asarray(_embed(model.params, tokens))


@pytest.mark.slow
def test_alone_in_company_and_in_any_order(model):
  texts = _texts()
  together = model.encode(texts)
  assert together.shape == (40, 16) and together.dtype == np.float32
  for i in (0, 1, 7, 20):
    np.testing.assert_allclose(
      model.encode([texts[i]])[0], together[i], atol=2e-6
    )
    by_hand = _by_hand(model, texts[i])
    np.testing.assert_allclose(
      together[i], by_hand / np.linalg.norm(by_hand), atol=2e-6
    )
  order = np.random.default_rng(1).permutation(40)
  shuffled = model.encode([texts[i] for i in order])
  np.testing.assert_allclose(shuffled, together[order], atol=2e-6)
  assert np.abs(shuffled - together).max() > 0.1  # control


def test_more_texts_than_a_block_holds(model):
  texts = _texts(1100, longest=20)
  many = model.encode(texts)
  for i in (0, 1, 500, 1098, 1099):
    np.testing.assert_allclose(model.encode([texts[i]])[0], many[i], atol=2e-6)
  np.testing.assert_allclose(np.linalg.norm(many, axis=1), 1, atol=1e-6)


def test_nothing_gives_no_vectors_and_an_empty_text_gives_one(model):
  assert model.encode([]).shape == (0, 16)
  assert model.encode([], dim=4).shape == (0, 4)
  empty, other, blank = model.encode(["", "alpha", " \n\t"])
  assert np.isfinite(empty).all() and np.linalg.norm(empty) > 0.9
  np.testing.assert_allclose(blank, empty, atol=2e-6)
  assert np.abs(empty - other).max() > 0.01
  np.testing.assert_allclose(
    model.encode(("alpha",)), model.encode(np.array(["alpha"])), atol=2e-6
  )


@pytest.mark.parametrize(
  "wrong, message",
  [
    (None, "expected a list of texts, found an object of type NoneType"),
    (["alpha", None], "text 1 is of type NoneType; expected str"),
    ([3], "text 0 is of type int"),
    ([["alpha"]], "text 0 is of type list"),
    ([b"alpha"], "text 0 is of type bytes"),
  ],
)
def test_arguments_other_than_texts_are_named(model, wrong, message):
  with pytest.raises(UserError, match=message):
    model.encode(wrong)


def test_prompts_are_put_in_front(model):
  texts = ["alpha beta", "gamma"]
  prompted = model.encode(texts, prompt="search_query")
  by_hand = model.encode(["search : " + t for t in texts])
  np.testing.assert_allclose(prompted, by_hand, atol=2e-6)
  assert np.abs(prompted - model.encode(texts)).max() > 0.01
  assert (
    np.abs(prompted - model.encode(texts, prompt="search_document")).max()
    > 0.01
  )
  for asked in ("search_qery", ""):
    with pytest.raises(
      UserError,
      match=f"no prompt '{asked}'; this model has "
      "search_query, search_document",
    ):
      model.encode(texts, prompt=asked)
  with pytest.raises(UserError, match="Did you mean 'search_query'"):
    model.encode(texts, prompt="search_qery")
  bare = Model(ARCHITECTURE, model.params, model.tokenizer, {})
  with pytest.raises(UserError, match="this model has none"):
    bare.encode(texts, prompt="search_query")


def test_dimensions_are_truncated_before_normalizing(model):
  texts = _texts(5)
  raw = model.encode(texts, normalize=False)
  assert np.abs(np.linalg.norm(raw, axis=1) - 1).max() > 0.1
  cut = model.encode(texts, dim=5)
  expected = raw[:, :5] / np.linalg.norm(raw[:, :5], axis=1, keepdims=True)
  np.testing.assert_allclose(cut, expected, atol=2e-6)
  assert cut.flags["C_CONTIGUOUS"]
  np.testing.assert_array_equal(
    model.encode(texts, dim=5, normalize=False), raw[:, :5]
  )
  for dim in (0, -1, 17):
    with pytest.raises(UserError, match=f"dim {dim} is not between 1 and 16"):
      model.encode(texts, dim=dim)


def test_long_texts_are_truncated_keep_their_end_and_are_counted(model, params):
  text = " ".join(np.random.default_rng(0).choice(tiny.WORDS, 100_000))
  with pytest.warns(UserWarning) as warned:
    vectors = model.encode([text, "alpha", text])
  (message,) = [str(w.message) for w in warned]
  assert message.startswith("2 of 3 texts had more than 100 tokens")
  cut = _by_hand(model, text)
  for vector in vectors[[0, 2]]:
    np.testing.assert_allclose(vector, cut / np.linalg.norm(cut), atol=2e-6)
  short = Model(ARCHITECTURE, params, model.tokenizer, PROMPTS, max_tokens=20)
  with pytest.warns(UserWarning, match="1 of 1 texts .* more than 20 tokens"):
    vector = short.encode([text])[0]
  cut = _by_hand(model, text, limit=20)
  np.testing.assert_allclose(vector, cut / np.linalg.norm(cut), atol=2e-6)
  assert np.abs(vector - vectors[0]).max() > 1e-3
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    model.encode([" ".join(["alpha"] * 98)])  # just fits


def test_the_limit_can_be_set_as_far_as_the_model_reads(model):
  usual = model.max_tokens
  long = " ".join(["word"] * 2 * usual)
  most = model.architecture.max_length
  short = Model(
    model.architecture, model.params, model.tokenizer, {}, max_tokens=8
  )
  assert np.abs(short.encode(long) - model.encode(long)).max() > 1e-3
  short.max_tokens = usual
  np.testing.assert_allclose(short.encode(long), model.encode(long), atol=1e-6)
  for wrong in (0, most + 1):
    with pytest.raises(UserError, match=f"reads at most {most} tokens"):
      short.max_tokens = wrong


def test_a_dim_the_model_was_not_trained_for_is_a_warning(model, params):
  taught = Model(
    ARCHITECTURE, params, model.tokenizer, PROMPTS, matryoshka_dims=(4, 8)
  )
  with pytest.warns(UserWarning, match="dim 5 is not one .* for, 4, 8;"):
    vectors = taught.encode(["alpha"], dim=5)
  np.testing.assert_allclose(vectors, model.encode(["alpha"], dim=5), atol=2e-6)
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    for dim in (None, 4, 8, 16):
      taught.encode(["alpha"], dim=dim)


def test_dims_travel_with_a_model(model, params, tmp_path):
  for place, dims in (("one", (8, 4)), ("two", ())):
    model_directory.write_model(
      tmp_path / place,
      ARCHITECTURE,
      params,
      model.tokenizer,
      PROMPTS,
      matryoshka_dims=dims,
    )
    opened = nomic_jax.load(tmp_path / place)
    assert opened.matryoshka_dims == tuple(sorted(dims))


@pytest.mark.parametrize(
  "content, dims",
  [
    ({"matryoshka_dimensions": [8, 4]}, (4, 8)),
    ({"loss": {"matryoshka_dims": [16, 4]}}, (4, 16)),
    ({"loss": {"matryoshka_dims": []}}, ()),
    ({}, ()),
  ],
)
def test_dims_are_read_from_models_and_trainings(tmp_path, content, dims):
  assert matryoshka.read(tmp_path) == ()
  (tmp_path / "config.json").write_text(json.dumps(content))
  assert matryoshka.read(tmp_path) == dims
  (tmp_path / "config.json").write_text('{"matryoshka_dimensions": "all"}')
  with pytest.raises(UserError, match="'all'; expected a list of whole"):
    matryoshka.read(tmp_path)


def test_precisions(model):
  texts = _texts(20)
  exact = model.encode(texts, dim=8)
  small = model.encode(texts, dim=8, precision="int8")
  assert small.dtype == np.int8 and small.shape == (20, 8)
  assert (np.abs(small).max(axis=1) == 127).all()
  back = small / np.linalg.norm(small.astype(np.float32), axis=1)[:, None]
  np.testing.assert_allclose(back, exact, atol=0.01)
  assert np.abs(back - exact).max() > 1e-5  # control
  np.testing.assert_array_equal(  # whatever the other texts are
    model.encode(texts[3:4], dim=8, precision="int8"), small[3:4]
  )
  theirs = sentence_transformers.util.quantization.quantize_embeddings
  bits = model.encode(texts, precision="binary")
  assert bits.dtype == np.int8 and bits.shape == (20, 2)
  full = model.encode(texts)
  np.testing.assert_array_equal(bits, theirs(full, "binary"))
  np.testing.assert_array_equal(
    bits.view(np.uint8) ^ 128, theirs(full, "ubinary")
  )
  assert model.encode([], precision="binary").shape == (0, 2)
  with pytest.raises(UserError, match="'int9' is unknown.* mean 'int8'"):
    model.encode(texts, precision="int9")
  with pytest.raises(UserError, match="8 dimensions per byte, but 12 is not"):
    model.encode(texts, dim=12, precision="binary")


@pytest.mark.slow
def test_bfloat16_is_close(model, params):
  half = Model(ARCHITECTURE, params, model.tokenizer, PROMPTS, dtype="bfloat16")
  assert half.params["layers"]["qkv"]["kernel"].dtype == "bfloat16"
  assert half.params["layers"]["norm1"]["scale"].dtype == "float32"
  texts = _texts(20)
  vectors, exact = half.encode(texts), model.encode(texts)
  assert vectors.dtype == np.float32
  np.testing.assert_allclose(vectors, exact, atol=0.05)
  assert np.abs(vectors - exact).max() > 1e-4  # control
  with pytest.raises(UserError, match="dtype 'float16' is unknown"):
    Model(ARCHITECTURE, params, model.tokenizer, PROMPTS, dtype="float16")


@pytest.mark.slow
def test_one_device_and_eight_give_the_same(model, params):
  leaf = jax.tree.leaves(model.params)[0]
  assert len(leaf.sharding.device_set) == 8
  one = Model(
    ARCHITECTURE,
    params,
    model.tokenizer,
    PROMPTS,
    devices=jax.local_devices()[:1],
  )
  texts = _texts(300, longest=60)
  np.testing.assert_allclose(one.encode(texts), model.encode(texts), atol=2e-6)


def test_rows_are_sharded_over_the_devices(params):
  embedder = Embedder(ARCHITECTURE, params)
  (block,) = embedder.plan([[5, 6, 7]] * 64)
  rows = block.tokens["ids"].shape[0]
  pooled = embedder._embed(embedder.params, block.tokens, block.slots)
  shards = [s.data.shape[0] for s in pooled.addressable_shards]
  assert shards == [rows // 8] * 8


def test_blocks_hold_every_text_once_in_few_shapes_with_little_padding():
  rng = np.random.default_rng(0)
  config = dataclasses.replace(CONFIG, max_length=512)
  embedder = Embedder(config.architecture, {}, devices=jax.local_devices()[:1])
  documents = np.clip(rng.lognormal(4, 0.8, 2000).astype(int), 2, 512)
  for lengths in (documents, np.clip(documents // 6, 2, None)):
    ids = [[1 + n % 9] * length for n, length in enumerate(lengths)]
    blocks = embedder.plan(ids)
    seen = np.concatenate([b.texts for b in blocks])
    assert sorted(seen) == list(range(2000))
    shapes = {b.tokens["ids"].shape for b in blocks}
    assert len(shapes) <= 12
    # On a CPU, compiling a third size would take longer than empty rows.
    assert {rows for rows, length in shapes if length == 64} <= {16, 4}
    real = sum((b.tokens["segment_ids"] > 0).sum() for b in blocks)
    room = sum(b.tokens["ids"].size for b in blocks)
    assert real == lengths.sum() and real / room > 0.93
    for b in blocks:
      for text, slot in zip(b.texts[:50], b.slot_of):
        row, segment = slot // b.slots, slot % b.slots + 1
        at = b.tokens["segment_ids"][row] == segment
        assert b.tokens["ids"][row][at].tolist() == ids[text]
  (one,) = embedder.plan([[1, 2]])
  assert one.tokens["ids"].shape == (1, 64)


@pytest.mark.parametrize("on_cpu, steps", [(True, 8), (False, 2)])
def test_rows_are_little_longer_than_a_long_text(on_cpu, steps):
  embedder = Embedder(
    dataclasses.replace(ARCHITECTURE, max_length=8192),
    {},
    devices=jax.local_devices()[:1],
  )
  embedder._on_cpu = on_cpu
  lengths = [embedder._row_length(n) for n in range(1, 8193)]
  assert all(
    n <= row < n + max(64, n / (steps if n > 512 else 2) + 1)
    for n, row in enumerate(lengths, 1)
  )
  assert len({n for n in lengths if n > 512}) == 4 * steps
  assert sorted({n for n in lengths if n <= 512}) == [
    64,
    128,
    192,
    256,
    384,
    512,
  ]


@pytest.mark.slow
def test_a_vector_is_its_own_in_a_row_of_8192_tokens_too():
  """Beyond 2,048 tokens, the rotation depends on the text's own length."""
  config = dataclasses.replace(
    CONFIG, heads=1, max_length=8192, rotary_factor=2.0
  ).architecture
  params = jax.tree.map(lambda x: 5 * x, tiny.params(Encoder(config)))
  one = jax.local_devices()[:1]
  embedder = Embedder(config, params, devices=one)
  rng = np.random.default_rng(0)
  texts = [list(rng.integers(1, 200, n)) for n in (7690, 480)]
  assert [b.tokens["ids"].shape for b in embedder.plan(texts)] == [(1, 8192)]

  def embed(embedder, texts):
    vectors = embedder.run(embedder.plan(texts), len(texts))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

  together = embed(embedder, texts)
  alone = np.concatenate([embed(embedder, [text]) for text in texts])
  np.testing.assert_allclose(together, alone, rtol=0, atol=2e-6)
  # Control: another rotation is detected.
  plain = Embedder(config.with_rope(factor=None), params, devices=one)
  assert np.abs(embed(plain, texts[:1]) - alone[0]).max() > 1e-4


def test_paths_other_than_models_are_named(tmp_path):
  (tmp_path / "text.txt").write_text("alpha")
  with pytest.raises(UserError, match="not a model.* it has no config.json"):
    nomic_jax.load(str(tmp_path))
  with pytest.raises(UserError, match="none: not a model"):
    nomic_jax.load(str(tmp_path / "none"))


def test_any_str_is_a_text(model):
  odd = ["alpha\ud800beta", "\udfff", "alpha\0beta", "\0", "\U0001f600", "é"]
  vectors = model.encode(odd)
  assert np.isfinite(vectors).all()
  np.testing.assert_allclose(
    vectors[[0, 2, 3]],
    model.encode(["alpha\ufffdbeta", "alphabeta", ""]),
    atol=2e-6,
  )


def test_settings_in_a_tokenizer_file_are_ignored(model, params, tmp_path):
  """Published files may truncate or pad as the run did that saved them."""
  stored = tiny.words()
  stored.enable_padding(length=50)
  stored.enable_truncation(8)
  stored.save(str(tmp_path / "tokenizer.json"))
  opened = Model(ARCHITECTURE, params, tokenizer_lib.load(tmp_path), PROMPTS)
  texts = _texts(5)
  np.testing.assert_allclose(
    opened.encode(texts), model.encode(texts), atol=2e-6
  )


@pytest.mark.slow
def test_a_kernel_gives_the_same_vectors(params, monkeypatch):
  """Each device runs the kernel on its own rows, as on TPUs and GPUs."""
  config = dataclasses.replace(CONFIG, width=128)
  params = tiny.params(Encoder(config.architecture))
  asked = {}

  def choose(name, mesh, rows_over, *heads, **more):
    asked.update(more)
    return Backend("pallas_tpu", rows_over=rows_over, interpret=True)

  texts = [[5, 6, 7], [8] * 40, [9, 10] * 25] * 20

  def vectors():
    embedder = Embedder(config.architecture, params, longest=64)
    return embedder.run(embedder.plan(texts), len(texts))

  expected = vectors()
  monkeypatch.setattr(inference.attention, "choose", choose)
  np.testing.assert_allclose(vectors(), expected, atol=2e-6)
  assert asked["forward_only"] and asked["longest"] == 64


def test_identities_are_those_of_the_tokens_that_are_read(model):
  long = "alpha beta " * model.max_tokens
  one, other, third, fourth = model.identities(
    ["Alpha  beta", "alpha beta", long, long + "gamma"]
  )
  assert one == other != third == fourth
  assert model.identities(["alpha gamma"]) != [one]


def test_only_the_text_with_a_nan_has_a_nan(
  model, params, tmp_path, monkeypatch
):
  """Other texts of its row have the vectors they have without it."""
  texts = ["alpha beta", "iota", "gamma delta"]
  (iota,) = model.tokenizer.encode("iota", add_special_tokens=False).ids
  table = np.array(params["word"]["embedding"])
  table[iota] = np.nan
  spoilt = Model(
    ARCHITECTURE,
    {**params, "word": {"embedding": table}},
    model.tokenizer,
    PROMPTS,
  )
  found, whole = spoilt.encode(texts), model.encode(texts)
  np.testing.assert_array_equal(np.isnan(found).all(1), [False, True, False])
  np.testing.assert_allclose(found[::2], whole[::2], atol=1e-5)
  with pytest.raises(
    UserError,
    match=(
      "of text 1 is not finite, which int8 .* parameters word/embedding are"
    ),
  ):
    spoilt.encode(texts, precision="int8")
  (tmp_path / "t.txt").write_text("\n".join(texts))
  monkeypatch.setattr(nomic_jax, "load", lambda *_: spoilt)
  with pytest.raises(
    UserError,
    match=(
      "t.txt: the embedding of text 2 is not .* parameters word/embedding are"
    ),
  ):
    embed_file.embed_file("m", str(tmp_path / "t.txt"), str(tmp_path / "v.npy"))
  assert not (tmp_path / "v.npy").exists()


def test_a_forked_process_raises_and_does_not_hang(model, monkeypatch):
  monkeypatch.setattr(inference.os, "getpid", lambda: -1)  # as a child has
  with pytest.raises(UserError, match="forked .*get_context.'spawn'"):
    model.encode(["alpha"])
  with pytest.raises(UserError, match="or load models only in workers"):
    Embedder(ARCHITECTURE, model.params)


def test_a_very_long_text_is_not_tokenised_in_full(model, monkeypatch):
  text = "alpha beta " * 20_000
  expected = model.encode([text[:5000]])
  taken = []
  monkeypatch.setattr(model, "tokenizer", _Watched(model.tokenizer, taken))
  np.testing.assert_array_equal(model.encode([text]), expected)
  assert 0 < sum(taken) < 10_000


class _Watched:
  """A tokenizer that records how many characters it is given."""

  def __init__(self, tokenizer, taken):
    self._tokenizer, self._taken = tokenizer, taken

  def encode(self, text, **options):
    self._taken.append(len(text))
    return self._tokenizer.encode(text, **options)

  def encode_batch_fast(self, texts):
    self._taken.extend(map(len, texts))
    return self._tokenizer.encode_batch_fast(texts)
