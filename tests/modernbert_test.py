# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""ModernBERT's windows, the two spellings of its config, its initialization.

`families_test` compares its computation with transformers.
"""

import dataclasses
from unittest import mock

from flax.linen import meta
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
from support import hub_random
from support import tiny
from support.family_cases import CASES
import torch
import transformers

from nomic_jax import families
from nomic_jax.errors import UserError
from nomic_jax.hub import model_directory
from nomic_jax.kernels import blocks
from nomic_jax.kernels import blockwise
from nomic_jax.kernels import reference
from nomic_jax.kernels import tpu_rows
from nomic_jax.kernels.attention import Backend
from nomic_jax.kernels.layout import Call
from nomic_jax.kernels.layout import Layout
from nomic_jax.kernels.layout import Need
from nomic_jax.kernels.layout import Reach
from nomic_jax.model.encoder import Encoder
from nomic_jax.model.heads import MLMHead
from nomic_jax.run import start

WINDOW = 64  # to either side, of local_attention=128
LAYOUT = Layout(2, 2, 64)
SMALL = dict(
  vocab_size=64, width=32, layers=7, heads=2, mlp_width=48, max_length=256
)


@pytest.mark.parametrize("name", ["reference", "pallas_tpu", "pallas_gpu"])
@pytest.mark.parametrize("long", [False, True])
def test_a_token_sees_64_to_either_side_and_no_more(name, long):
  """Which values an output depends on, and which get a gradient from it."""
  if long and name != "reference":
    pytest.skip("long rows are the reference's")
  length, at = 384, 200
  backend = Backend(name, interpret=name != "reference")
  ids = np.ones((1, length), np.int32)
  qkv = np.random.default_rng(0).normal(size=(1, length, 384)).astype("f")

  @tiny.jit
  def attend(qkv):
    def one(qkv):
      rows = backend.prepare(ids, None, qkv.dtype, Need(LAYOUT, WINDOW))
      out = backend.attend(qkv, rows, Need(LAYOUT, WINDOW))
      return out[0, at].sum(), out

    gradient, out = jax.grad(one, has_aux=True)(qkv)
    return out, gradient[0]

  with mock.patch.object(reference, "_LONG", 0 if long else 512):
    out, gradient = attend(qkv)
    # Changes keys and values beyond the window and within.
    beyond, within = (
      attend(jnp.asarray(qkv).at[0, at + distance, 128:].add(1.0))[0]
      for distance in (WINDOW + 1, WINDOW)
    )
  seen = np.flatnonzero(np.abs(gradient[:, 256:]).max(-1))
  np.testing.assert_array_equal(seen, np.arange(at - WINDOW, at + WINDOW + 1))
  np.testing.assert_array_equal(beyond[0, at], out[0, at])
  assert np.abs(within[0, at] - out[0, at]).max() > 1e-3


def test_the_border_is_that_of_transformers():
  config = transformers.ModernBertConfig(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=1,
    num_attention_heads=2,
    layer_types=["sliding_attention"],
    pad_token_id=0,
  )
  torch.manual_seed(0)
  model = transformers.ModernBertModel(config).eval()
  tensors = {k: v.numpy() for k, v in model.state_dict().items()}
  architecture = families.read(model.config.to_dict(), "config.json")
  params = hub_random.read(architecture, tensors)["encoder"]
  length, at = 160, 70
  ids = np.random.default_rng(0).integers(1, 60, (1, length))
  apply = tiny.jit(Encoder(architecture).apply)

  def both(ids):
    tokens = {
      "ids": ids,
      "segment_ids": np.ones_like(ids),
      "positions": np.arange(length)[None],
    }
    with torch.no_grad():
      theirs = model(torch.tensor(ids)).last_hidden_state.numpy()
    ours = np.asarray(apply(params, tokens))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    return np.stack([ours[0, at], theirs[0, at]])

  before = both(ids)
  for distance, changes in ((64, True), (65, False), (-64, True), (-65, False)):
    other = ids.copy()
    other[0, at + distance] = 63
    moved = np.abs(both(other) - before).max(-1)
    assert ((moved > 1e-5) == changes).all(), (distance, moved)


@pytest.mark.slow
def test_blocks_beyond_the_window_are_not_visited():
  """Counts visited tokens, forward and backward, from the kernels' ranges."""
  ids = jnp.ones((1, 8192), jnp.int32)
  span = lambda x, block: int(np.diff(x, axis=1).sum()) * block
  for window, most in ((WINDOW, 1024), (None, 8192)):
    ask = ("bfloat16", Need(LAYOUT, window))
    tpu = Backend("pallas_tpu", "TPU v5 lite")
    rows = tpu.prepare(ids, None, *ask)
    call = Call(LAYOUT, Reach.of(window, False), device="TPU v5 lite")
    q, k, back_q, back_k = blocks.find("pallas_tpu", call, 8192, "bfloat16")
    # A kernel with a window visits so many tokens at once, others by ranges.
    looked = (
      [tpu_rows.span(call.reach, block, 8192) for block in (q, back_k)]
      if window
      else [
        span(rows.forward, q * k) / 8192,
        span(rows.backward, back_q * back_k) / 8192,
      ]
    )
    gpu = Backend("pallas_gpu", "NVIDIA H100")
    call = dataclasses.replace(call, device="NVIDIA H100")
    rows = gpu.prepare(ids, None, *ask)
    q, k, own, visited = blocks.find("pallas_gpu", call, 8192, "bfloat16")
    looked += [
      span(rows.forward, q * k) / 8192,
      span(rows.keys, own * visited) / 8192,
      span(rows.queries, own * visited) / 8192,
    ]
    size = min(blockwise._BLOCK, WINDOW if window else 512)
    at, first, after = blockwise._visits(ids, size, Reach.of(window, False))
    looked.append(int((after - first).sum()) * size**2 / 8192)
    assert max(looked) <= most, looked
    assert min(looked) >= (2 * WINDOW + 1 if window else 8192)


def test_long_rows_with_a_window_take_small_blocks():
  q = jnp.zeros((1, 1024, 2, 8))
  ids = jnp.ones((1, 1024), jnp.int32)
  with mock.patch.object(blockwise, "_attend", return_value=q) as attend:
    for window in (WINDOW, 5, 300, None):
      blockwise.attend(q, q, q, ids, Reach.of(window, False))
  sizes = [call.args[1] for call in attend.call_args_list]
  assert sizes == [64, 64, 256, 512]


OLD = dict(
  model_type="modernbert",
  num_hidden_layers=7,
  global_attn_every_n_layers=3,
  local_attention=128,
  global_rope_theta=160000.0,
  local_rope_theta=20000.0,
  position_embedding_type="absolute",
)
NEW = dict(
  model_type="modernbert",
  num_hidden_layers=7,
  layer_types=[
    "sliding_attention" if i % 3 else "full_attention" for i in range(7)
  ],
  rope_parameters={
    "full_attention": {"rope_type": "default", "rope_theta": 160000.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 20000.0},
  },
  position_embedding_type="sans_pos",  # mmBERT's
)


def test_both_spellings_of_the_config_are_one_architecture():
  a, b = (families.read(x, "config.json") for x in (OLD, NEW))
  assert a == b
  assert [x.attention.window for x in a.layers] == [
    None,
    64,
    64,
    None,
    64,
    64,
    None,
  ]
  assert [x.attention.rope.base for x in a.layers[:2]] == [160000.0, 20000.0]
  assert [len(r.unit) * r.repeats for r in a.runs] == [1, 6]
  assert len(a.attentions) == 2  # angles and masks are made once for each
  for values in (OLD, NEW):  # transformers reads them so, too
    config = transformers.ModernBertConfig(**values)
    assert config.layer_types == NEW["layer_types"]
    for kind, rope in NEW["rope_parameters"].items():
      assert config.rope_parameters[kind]["rope_theta"] == rope["rope_theta"]


def test_a_window_may_be_given_by_one_side():
  for values, window in (({"sliding_window": 5}, 5), ({}, 64)):
    a = families.read(OLD | values, "config.json")
    assert a.layers[1].attention.window == window
    theirs = transformers.ModernBertConfig(**(OLD | values))
    assert theirs.sliding_window == window


def test_a_vocabulary_without_padding():
  small = OLD | {"vocab_size": 100, "pad_token_id": None}
  assert families.read(small, "config.json").pad_token_id < 100


@pytest.mark.parametrize(
  "change, message",
  [
    (dict(layer_types=["full_attention"]), "layer_types=.*num_hidden_layers=7"),
    (dict(layer_types=["sparse"] * 7), "layer_types=.*'sparse'"),
    (dict(rope_scaling={"rope_type": "linear"}), "rope_scaling=.*'default'"),
    (
      dict(rope_parameters={"full_attention": {"rope_type": "yarn"}}),
      "full_attention: rope_type='yarn'",
    ),
    (
      dict(rope_parameters={"full_attention": {"type": "linear"}}),
      "full_attention: type='linear'",
    ),
    (
      dict(rope_parameters={"rope_theta": 50.0}),
      "rope_parameters: unknown key 'rope_theta'",
    ),
    (dict(local_attention=-1), "a window of -1 tokens"),
    (dict(local_rope_theta=-1.0), "local_rope_theta=-1 is not supported"),
    (dict(hidden_activation="gelu_10"), "hidden_activation='gelu_10'"),
    (dict(classifier_pooling="max"), "classifier_pooling='max'"),
    (dict(mlp_dropout=0.1, attention_dropout=0.2), "different dropout rates"),
    (dict(head_dim=32), "head_dim"),
    (dict(tie_word_embeddings=False), "tie_word_embeddings"),
  ],
)
def test_what_is_not_computed_is_refused_by_name(change, message):
  with pytest.raises(UserError, match=message):
    families.read(OLD | change, "config.json")


def test_fresh_weights_are_drawn_as_the_paper_says():
  a = families.fresh(SMALL | dict(family="modernbert", rotary_base=1e4))
  assert {x.attention.rope.base for x in a.layers} == {1e4}
  params = tiny.params(Encoder(a))
  head = meta.unbox(
    tiny.jit(MLMHead(a).init)(
      jax.random.key(0), jnp.zeros((1, 32)), jnp.zeros((64, 32))
    )
  )["params"]
  assert "norm1" not in params["layers_0"] and "norm2" in params["layers_0"]
  unit = params["layers_1"]["layer_0"]
  small = 0.02 / np.sqrt(2 * 7)
  for kernel, stddev in (
    (params["word"]["embedding"], 0.02),
    (unit["qkv"]["kernel"], 0.02),
    (unit["up"]["kernel"], 0.02),
    (unit["out"]["kernel"], small),
    (unit["down"]["kernel"], small),
    (head["transform"]["kernel"], small),
  ):
    assert np.abs(kernel).max() <= 2 * stddev * 1.0001
    # The standard deviation of a normal distribution truncated at two.
    assert np.std(kernel) == pytest.approx(0.88 * stddev, rel=0.07)
  assert set(head) == {"transform", "norm", "bias"}
  assert set(head["transform"]) == {"kernel"} and set(head["norm"]) == {"scale"}


@pytest.mark.slow
def test_dropout_comes_after_attention_alone():
  a = families.fresh(SMALL | dict(family="modernbert"))
  params = tiny.params(Encoder(a))
  for run in ("layers_0", "layers_1"):
    for layer in (
      [params[run]] if run == "layers_0" else list(params[run].values())
    ):
      layer["out"]["kernel"] = jnp.zeros_like(layer["out"]["kernel"])
  tokens = {
    "ids": np.arange(1, 33)[None],
    "segment_ids": np.ones((1, 32), int),
    "positions": np.arange(32)[None],
  }
  for after, changes in ((("attention",), False), (("mlp",), True)):
    encoder = Encoder(dataclasses.replace(a, dropout_after=after), dropout=0.5)
    plain, dropped = (
      encoder.apply(params, tokens, key) for key in (None, jax.random.key(0))
    )
    assert (np.abs(plain - dropped).max() > 1e-3) == changes


@pytest.fixture(name="folder", scope="module")
def _folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp("model")
  CASES["modernbert"].random("ForMaskedLM").save_pretrained(folder)
  (folder / "tokenizer.json").write_text(hub_random.tokenizer().to_str())
  return folder


def test_a_classifier_starts_from_the_head_of_the_pretraining(folder):
  """As in transformers, which uses the same head for both."""
  model = transformers.AutoModelForSequenceClassification.from_pretrained(
    folder, num_labels=3
  )
  config = ml_collections.ConfigDict(
    dict(
      init_from=str(folder),
      encoder={},
      data=dict(kind="labels"),
      loss=dict(name="classification", labels=3),
    )
  )
  head = start._loaded(config).params["classification_head"]
  for name, ours in (("dense", "pooler"), ("norm", "norm")):
    expected = getattr(model.head, name).weight.detach().numpy()
    (found,) = head[ours].values()
    np.testing.assert_array_equal(
      found.T if name == "dense" else found, expected
    )


def test_the_bases_of_global_and_local_layers_are_told_apart(folder):
  config = ml_collections.ConfigDict(
    dict(
      init_from=str(folder),
      encoder=dict(rotary_base=5e5, rotary_factor=2.0),
      data=dict(kind="text"),
      loss=dict(name="mlm"),
    )
  )
  layers = start._loaded(config).architecture.layers
  assert [x.attention.rope.base for x in layers[:4]] == [5e5, 1e4, 1e4, 5e5]
  assert [x.attention.rope.factor for x in layers[:2]] == [2.0, None]
  config.encoder = dict(rotary_base_local=3e4)
  layers = start._loaded(config).architecture.layers
  assert [x.attention.rope.base for x in layers[:2]] == [160000.0, 3e4]


def test_one_head_is_written_and_not_two(folder, tmp_path):
  files = model_directory.read_model(folder)
  classifier = hub_random.trees(files.architecture, labels=2)
  with pytest.raises(UserError, match="its files have only one .*head.dense"):
    model_directory.write_model(
      tmp_path / "both",
      files.architecture,
      files.params,
      files.tokenizer_path,
      {},
      mlm_head=files.mlm_head,
      classification_head=classifier["classification_head"],
    )
