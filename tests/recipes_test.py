# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The two recipes differ only as configs/README.md says."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax
import pytest
from support import small_data
from support import tiny

import nomic_jax
from nomic_jax import families
from nomic_jax import program
from nomic_jax.cli import config_flags
from nomic_jax.cli import recipes
from nomic_jax.data import collate
from nomic_jax.data import order
from nomic_jax.data import sources
from nomic_jax.data import text
from nomic_jax.errors import UserError
from nomic_jax.hub import model_directory
from nomic_jax.losses.classification import Classification
from nomic_jax.model.encoder import Encoder
from nomic_jax.run import optim
from nomic_jax.run import work_directory
from nomic_jax.run.start import find_start
from nomic_jax.run.work_directory import flat

CONFIGS = (
  "mlm.py",
  "mlm.py:miniature",
  "contrastive.py",
  "finetune.py:v1.5",
  "finetune.py:ablated,miniature",
  "distill.py:kd",
  "classify.py",
  "glue.py:mnli",
)


def _config(name, *flags):
  return config_flags.load(
    [f"--config={small_data.ROOT}/configs/{name}", *flags]
  )


def _differing(one, other):
  one, other = (flat(c.to_dict(), "") for c in (one, other))
  assert one.keys() == other.keys()
  return {k.lstrip("."): other[k] for k in one if one[k] != other[k]}


@pytest.mark.parametrize("name", CONFIGS)
def test_recipes_differ_in_what_is_listed(name):
  plain, published = _config(name), _config(name, "--config.recipe=published")
  assert plain.recipe == "recommended"
  found = _differing(plain, published)
  assert found.pop("recipe") == "published"
  listed = {d.field: d.published for d in recipes.of_loss(plain.loss.name)}
  if name.startswith("glue"):  # the checkpoint's dropout in both
    assert listed.pop("compute.dropout") == plain.compute.dropout
  assert found == listed


def test_flags_change_what_a_recipe_sets_wherever_they_stand():
  config = _config(
    "contrastive.py",
    "--config.optimizer.gradient_scale=16",
    "--config.recipe=published",
    "--config.compute.dropout=0.2",
  )
  assert config.optimizer.gradient_scale == 16
  assert config.compute.dropout == 0.2
  assert config.data.order == "stored"
  with pytest.raises(UserError, match="no such recipe.*mean 'published'"):
    _config("mlm.py", "--config.recipe=publish")
  config = ml_collections.ConfigDict(
    dict(recipe="published", loss=dict(name="mlm"), data={})
  )
  with pytest.raises(UserError, match="no such key; base it on"):
    recipes.apply(config, [])
  with pytest.raises(UserError, match="contrastors has no loss 'cosent'"):
    _config("scores.py", "--config.recipe=published")


def test_a_training_from_before_recipes_resumes(tmp_path):
  config = _config("mlm.py")
  old = json.loads(config.to_json())
  del old["recipe"], old["data"]["mask_draw"]
  del old["optimizer"]["gradient_scale"]
  (tmp_path / "encoder.json").write_text("{}")
  (tmp_path / "config.json").write_text(json.dumps(old))
  work_directory.check(tmp_path, config)
  with pytest.raises(UserError, match="config.data.mask_draw was 'exact'"):
    work_directory.check(
      tmp_path, _config("mlm.py", "--config.recipe=published")
    )


def test_the_page_on_training_has_the_table():
  assert (
    recipes.markdown()
    in (small_data.ROOT / "configs" / "README.md").read_text()
  )


def test_the_clip_and_adam_see_the_gradient_so_many_times_as_large():
  options = dict(
    learning_rate=0.1,
    schedule="linear",
    warmup="1 steps",
    b1=0.9,
    b2=0.99,
    eps=0.03,
    weight_decay=0.0,
    clip_norm=0.5,
    lr_multipliers=((".*", 1.0),),
    decay_multipliers=((".*", 0.0),),
  )
  params = {"w": jnp.array([1.0, -2.0, 3.0])}
  gradients = [
    {"w": jnp.array(g)}
    for g in ([0.01, 0.02, -0.03], [0.2, 0.0, 0.1], [0.001, -0.002, 0.001])
  ]

  def run(gradients, **more):
    tx, _ = optim.make(ml_collections.ConfigDict(options | more), 10)
    state, now = tx.init(params), params
    for g in gradients:
      updates, state = tx.update(g, state, now)
      now = optax.apply_updates(now, updates)
    return now["w"]

  scaled = [{"w": 8 * g["w"]} for g in gradients]
  expected = run(scaled)
  np.testing.assert_allclose(
    run(gradients, gradient_scale=8.0), expected, rtol=1e-6
  )
  assert not np.allclose(run(gradients), expected, rtol=1e-3)
  with pytest.raises(UserError, match="gradient_scale: 0.0 is not above 0"):
    run(gradients, gradient_scale=0.0)


def test_stored_batches_are_rows_that_follow_each_other():
  runs = [["b", 8], ["a", 12], ["b", 4]]
  make = lambda size, runs=runs, **options: order.make(
    sources.layout(runs),
    size,
    1,
    one_source=True,
    alpha=1.0,
    order="stored",
    **{"weights": {}} | options,
  )
  made = make(4)
  epochs = [[made.rows(e * 6 + n).tolist() for n in range(6)] for e in (0, 1)]
  for epoch in epochs:
    assert sorted(epoch) == [list(range(i, i + 4)) for i in range(0, 24, 4)]
  assert epochs[0] != epochs[1]  # in another order
  with pytest.raises(UserError, match="source 'a' has 12 consecutive rows.*=8"):
    make(8)
  with pytest.raises(UserError, match="stored, but source_alpha"):
    make(4, weights={"a": 2.0})
  with pytest.raises(UserError, match="no order 'store'.*mean 'stored'"):
    order.make(
      sources.layout(runs),
      4,
      1,
      one_source=True,
      alpha=1.0,
      weights={},
      order="store",
    )


def test_copies_are_texts_of_their_own():
  tokenizer = tiny.words()
  rows = [
    {
      "query": "alpha",
      "document": "beta",
      "negatives": ["gamma"],
      "source": "",
    },
    {
      "query": "alpha",
      "document": "beta",
      "negatives": ["gamma"],
      "source": "",
    },
  ]
  options = dict(
    negatives=1,
    query_length=8,
    document_length=8,
    token_dropout=0.0,
    row_length=8,
    slots=2,
    rows_multiple=1,
  )
  prompts = {"": {"query": "", "document": ""}}
  made = lambda merge: collate.collate(
    rows,
    (0, 0),
    tokenizer,
    ml_collections.ConfigDict(options | dict(merge_copies=merge)),
    prompts,
  )
  merged, apart = made(True), made(False)
  assert (merged["candidate"] >= 0).sum() == 2
  assert merged["positive"].tolist() == [0, 0]
  assert (apart["candidate"] >= 0).all()
  assert apart["positive"].tolist() == [0, 1]
  numbers = apart["content"][apart["content"] > 0]
  assert len(set(numbers.tolist())) == len(numbers) == 6


def test_each_token_may_be_masked_by_itself():
  ids = np.arange(10, 2058, dtype=np.int32)
  ids[::64] = 1
  draws = [
    text.mask_tokens(
      ids, np.random.default_rng(i), 0.3, 4, 3000, np.array([1]), "independent"
    )
    for i in range(200)
  ]
  counts = np.array([(d["labels"] >= 0).sum() for d in draws])
  eligible = (ids != 1).sum()
  assert abs(counts.mean() - 0.3 * eligible) < 5
  # Binomial spread, whereas the exact draw varies by at most one.
  assert 0.8 < counts.std() / np.sqrt(eligible * 0.21) < 1.2
  chosen = np.zeros(len(ids))
  for d in draws:
    known = d["labels"] >= 0
    assert (ids[d["masked"][known]] == d["labels"][known]).all()
    chosen[d["masked"][known]] += 1
  assert not chosen[::64].any()
  assert abs(chosen[1:64] / 200 - 0.3).max() < 0.15  # no position is preferred
  with pytest.raises(UserError, match="mask_draw: 'indepndent'.*independent"):
    text.batches(
      tiny.rows(),
      tiny.words(),
      ml_collections.ConfigDict(
        dict(
          batch_size=4,
          micro_batches=1,
          row_length=24,
          mask_rate=0.3,
          mask_draw="indepndent",
        )
      ),
      0,
      0,
      1,
    )


def test_dropout_may_be_the_models_own():
  config = ml_collections.ConfigDict(
    dict(compute=dict(dtype="float32", attention="reference", dropout=-1.0))
  )
  own = dataclasses.replace(tiny.ARCHITECTURE, dropout=0.1, head_dropout=0.2)
  encoder = program.make_encoder(config, own)
  assert (encoder.dropout, encoder.head_dropout) == (0.1, 0.2)
  config.compute.dropout = 0.3
  encoder = program.make_encoder(config, own)
  assert (encoder.dropout, encoder.head_dropout) == (0.3, 0.3)
  config.compute.dropout = -0.5
  with pytest.raises(UserError, match="or -1 for the model's own"):
    program.make_encoder(config, own)
  # Dropout is ignored when architectures are compared.
  assert repr(own) == repr(tiny.ARCHITECTURE)
  assert own == tiny.ARCHITECTURE
  head = Classification(Encoder(own, head_dropout=0.2), labels=2)._head
  assert head.dropout == 0.2


def test_dropout_crosses_over_with_the_files():
  published = {
    "n_embd": 8,
    "n_layer": 1,
    "n_head": 1,
    "vocab_size": 9,
    "n_inner": 256,
    "activation_function": "swiglu",
    "rotary_emb_fraction": 1.0,
  }
  read = lambda values: families.read(values, "config.json")
  dropouts = lambda c: (c.dropout, c.head_dropout)
  assert dropouts(read(published)) == (0.1, 0.1)  # GPT2Config's default
  own = read(published | {"resid_pdrop": 0.3, "embd_pdrop": 0.2})
  assert dropouts(own) == (0.3, 0.2)
  assert dropouts(read(families.to_json(own))) == (0.3, 0.2)
  own = read(
    published
    | {"resid_pdrop": 0.0, "embd_pdrop": 0.2, "classifier_dropout": 0.4}
  )
  assert dropouts(own) == (0.0, 0.4)
  bert = {
    "model_type": "bert",
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "intermediate_size": 8,
    "vocab_size": 9,
  }
  assert dropouts(read(bert)) == (0.1, 0.1)
  native = bert | {"model_type": "nomic_bert"}
  assert dropouts(read(native)) == (0.0, 0.0)


def test_a_pooled_norm_may_be_set_if_files_lack_it(tmp_path, capsys):
  encoder = Encoder(dataclasses.replace(tiny.ARCHITECTURE, vocab_size=192))
  rng = np.random.default_rng(0)
  params = jax.tree.map(
    lambda x: x + 0.3 * rng.normal(size=x.shape).astype(np.float32),
    tiny.params(encoder),
  )
  model_directory.write_model(
    tmp_path / "model", encoder.architecture, params, tiny.words(), {}
  )
  plain = nomic_jax.load(tmp_path / "model")
  told = nomic_jax.load(tmp_path / "model", pooled_norm=True)
  assert "specify no LayerNorm of the pooled vector" in capsys.readouterr().out
  whole = plain.encode(["alpha beta"], normalize=False)[0]
  normed = (whole - whole.mean()) / np.sqrt(whole.var() + 1e-5)
  expected = normed[:4] / np.linalg.norm(normed[:4])
  np.testing.assert_allclose(
    told.encode(["alpha beta"], dim=4)[0], expected, atol=1e-5
  )
  assert not np.allclose(
    plain.encode(["alpha beta"], dim=4)[0], expected, atol=1e-3
  )


def test_position_settings_are_kept_and_exported(tmp_path):
  data = small_data.make(tmp_path)
  config = dataclasses.replace(
    tiny.CONFIG, vocab_size=192, max_length=32, rotary_base=500.0
  ).architecture
  model_directory.write_model(
    tmp_path / "model",
    config,
    tiny.params(Encoder(config)),
    data / "tokenizer",
    {},
  )
  start = lambda *flags: find_start(
    _config("contrastive.py:miniature", f"--config.data.path={data}", *flags)
  )
  from_model = f"--config.init_from={tmp_path}/model"
  kept = start(from_model)
  assert (kept.architecture.max_length, kept.architecture.rope.base) == (
    32,
    500.0,
  )
  assert kept.architecture.rope.factor is None
  made = start(
    from_model,
    "--config.encoder.rotary_factor=2",
    "--config.encoder.max_length=128",
  )
  assert (made.architecture.rope.factor, made.architecture.max_length) == (
    2.0,
    128,
  )
  assert (made.architecture.rope.base, made.usage.max_tokens) == (500.0, 128)
  written = families.to_json(made.architecture)
  assert written["rotary_scaling_factor"] == 2.0
  assert written["n_positions"] == 128
  fresh = start("--config.encoder.rotary_base=10000")
  assert fresh.architecture.rope.base == 10_000
  assert fresh.architecture.max_length == 64
  paper = _config("contrastive.py").encoder
  assert (paper.rotary_factor, paper.max_length) == (2.0, 8192)
  assert _config("finetune.py:v1.5").encoder.rotary_factor == 0
