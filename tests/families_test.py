# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Every family computes what transformers computes and exchanges files."""

import json

import jax
import numpy as np
import pytest
import safetensors.numpy
import sentence_transformers
from support import hub_random
from support import tiny
from support.family_cases import CASES
from support.family_cases import LIMIT
import torch
import transformers

from nomic_jax import families
from nomic_jax.data.pack import pack
from nomic_jax.errors import UserError
from nomic_jax.hub import model_directory
from nomic_jax.model.encoder import Encoder
from nomic_jax.model.heads import ClassificationHead
from nomic_jax.model.heads import MLMHead
from nomic_jax.text import tokenizer as tokenizer_lib

ROWS, SLOTS = 6, 4


class Family:
  """A case with both sides' models and functions, which are made once."""

  def __init__(self, case, folder):
    self.case, self.folder = case, folder
    self.theirs = case.random("ForMaskedLM")
    self.save(self.theirs, folder)
    self.files = model_directory.read_model(folder)
    self.trees = {"encoder": self.files.params, "mlm_head": self.files.mlm_head}
    encoder = Encoder(self.files.architecture)
    head = MLMHead(self.files.architecture)

    def outputs(trees, tokens):
      hidden = encoder.apply(trees["encoder"], tokens)
      logits = head.apply(
        {"params": trees["mlm_head"]},
        hidden.reshape(-1, hidden.shape[-1]),
        trees["encoder"]["word"]["embedding"],
      )
      vectors = encoder.architecture.head.apply(
        trees["encoder"], hidden, tokens["segment_ids"], SLOTS
      )
      logits = logits.reshape(*hidden.shape[:2], -1)
      return {"hidden": hidden, "logits": logits, "vectors": vectors}

    def loss(trees, tokens, weights):
      out = outputs(trees, tokens)
      return sum((out[k] * weights[k]).sum() for k in weights)

    self.outputs = tiny.jit(outputs)
    self.gradient = tiny.jit(jax.grad(loss))

  @staticmethod
  def save(model, folder, **options):
    model.save_pretrained(folder, **options)
    (folder / "tokenizer.json").write_text(hub_random.tokenizer().to_str())

  def ours(self, tokens):
    return jax.tree.map(np.asarray, self.outputs(self.trees, tokens))

  def expected(self, ids, types=None):
    """Hidden states [S, D], logits [S, V] and the mean of one text alone."""
    values = {"input_ids": torch.tensor(ids)[None]}
    if types is not None:
      values["token_type_ids"] = torch.tensor(types)[None]
    out = self.theirs(**values, output_hidden_states=True)
    hidden = out.hidden_states[-1][0]
    return hidden, out.logits[0], hidden.mean(0)


@pytest.fixture(name="family", scope="module", params=CASES)
def _family(request, tmp_path_factory):
  case = CASES[request.param]
  return Family(case, tmp_path_factory.mktemp(request.param))


def _packed(case, texts, rows=ROWS):
  """Returns tokens, and each text's row, start in it and slot.

  Rows are longer than any text, have odd length, and hold other texts too.
  """
  length = case.limit + 3
  packed = pack([list(t) for t in texts], length, SLOTS, rows)
  assert packed.ids.shape == (rows, length)
  tokens = {
    "ids": np.where(packed.segment_ids > 0, packed.ids, case.pad),
    "segment_ids": packed.segment_ids,
    "positions": packed.positions,
  }
  places = []
  for slot in packed.slot_of:
    row, at = divmod(slot, SLOTS)
    places.append((row, packed.segment_ids[row] == at + 1, at))
  return tokens, places


def _check(family, tokens, places, texts, types=None):
  """Asserts the hidden states, logits and vectors of every text."""
  out = family.ours(tokens)
  for i, (ids, (row, at, slot)) in enumerate(zip(texts, places, strict=True)):
    with torch.no_grad():
      hidden, logits, vector = family.expected(ids, types and types[i])
    near = lambda a, b: np.testing.assert_allclose(
      a, b.numpy(), rtol=0, atol=1e-5
    )
    near(out["hidden"][row, at], hidden)
    near(out["logits"][row, at], logits)
    near(out["vectors"][row, slot], vector)


@pytest.mark.slow
def test_packed_with_strangers(family):
  texts = family.case.texts()
  tokens, places = _packed(family.case, texts)
  assert tokens["segment_ids"].max() > 1
  _check(family, tokens, places, texts)


def test_alone_and_padded(family):
  texts = family.case.texts()
  tokens, places = _packed(family.case, texts, ROWS)
  for name in tokens:
    tokens[name] = np.full_like(tokens[name], 0)
  tokens["ids"][:] = family.case.pad
  for row, ids in enumerate(texts):
    tokens["ids"][row, : len(ids)] = ids
    tokens["segment_ids"][row, : len(ids)] = 1
    tokens["positions"][row, : len(ids)] = np.arange(len(ids))
    places[row] = (row, tokens["segment_ids"][row] == 1, 0)
  _check(family, tokens, places, texts)


@pytest.mark.slow
def test_the_longest_texts_of_published_models():
  """ModernBERT's 8,192 tokens beside a stranger, and XLM-R's 512."""
  windows = {"num_hidden_layers": 3, "local_attention": 128}
  for name, length, values in (
    ("modernbert", 8192, windows | {"max_position_embeddings": 8192}),
    ("xlm_roberta", 512, {"max_position_embeddings": 516}),
  ):
    case = CASES[name]
    theirs = case.random("Model", **values)
    a = families.read(theirs.config.to_dict(), "config.json")
    assert a.max_length == length
    tensors = {k: v.numpy() for k, v in theirs.state_dict().items()}
    params = hub_random.read(a, tensors)["encoder"]
    ids = case.texts((length, 40))
    tokens = {
      "ids": np.concatenate(ids)[None],
      "segment_ids": np.repeat([1, 2], (length, 40))[None],
      "positions": np.concatenate([np.arange(length), np.arange(40)])[None],
    }
    found = tiny.jit(Encoder(a).apply)(params, tokens)
    with torch.no_grad():
      for own, text in zip(np.split(np.asarray(found)[0], [length]), ids):
        expected = theirs(torch.tensor(text)[None]).last_hidden_state[0]
        np.testing.assert_allclose(own, expected, rtol=0, atol=1e-5)


def test_special_tokens_inside_a_text(family):
  """Including the padding token, which takes no position in RoBERTa."""
  texts = family.case.texts((9, 14, 5))
  for ids in texts:
    ids[2:4] = family.case.pad
    ids[0], ids[-1] = 2, family.case.pad
  tokens, places = _packed(family.case, texts)
  _check(family, tokens, places, texts)


def test_token_types(family):
  if not family.case.types:
    pytest.skip("it has no token types")
  texts = family.case.texts()
  types = [(np.arange(len(t)) % 3 > 1).astype(int) for t in texts]
  tokens, places = _packed(family.case, texts)
  tokens["types"] = np.zeros_like(tokens["ids"])
  for (row, at, _), own in zip(places, types):
    tokens["types"][row, at] = own
  _check(family, tokens, places, texts, types)


def test_the_comparison_sees_a_small_difference(family):
  """Negative control: other distances within the second text of each row."""
  texts = family.case.texts()
  tokens, places = _packed(family.case, texts)
  slower = np.where(tokens["segment_ids"] == 2, 2, 1)
  tokens["positions"] = tokens["positions"] // slower
  with pytest.raises(AssertionError):
    _check(family, tokens, places, texts)


def _named(model):
  """Parameters by name; tied ones under all of their names."""
  return model.named_parameters(remove_duplicate=False)


@pytest.mark.slow
def test_gradients_of_all_parameters(family):
  """Gradients of a randomly weighted sum of all outputs."""
  texts = family.case.texts()
  tokens, places = _packed(family.case, texts)
  rng = np.random.default_rng(5)
  weights = jax.tree.map(lambda x: np.zeros(x.shape, "f"), family.ours(tokens))
  total = 0
  family.theirs.zero_grad()
  for ids, (row, at, slot) in zip(texts, places, strict=True):
    outs = family.expected(ids)
    wheres = (("hidden", (row, at)), ("logits", (row, at)))
    for out, (name, where) in zip(outs, (*wheres, ("vectors", (row, slot)))):
      own = rng.normal(0, 1, out.shape).astype("f")
      weights[name][where] = own
      total = total + (out * torch.tensor(own)).sum()
  total.backward()
  expected = {
    name: parameter.grad.numpy() for name, parameter in _named(family.theirs)
  }
  expected = hub_random.read(family.files.architecture, expected)
  found = family.gradient(family.trees, tokens, weights)
  tiny.assert_close(found, expected, 1e-4)
  found["encoder"]["norm"]["scale"] *= 1.001  # negative control
  with pytest.raises(AssertionError):
    tiny.assert_close(found, expected, 1e-4)


def _written(family, folder, files=None, **changes):
  files = files or family.files
  model_directory.write_model(
    folder,
    files.architecture,
    files.params,
    files.tokenizer_path,
    {},
    mlm_head=files.mlm_head,
    classification_head=files.classification_head,
    **changes,
  )
  return folder


def _tensors(folder):
  return safetensors.numpy.load_file(folder / "model.safetensors")


def test_a_round_trip_keeps_every_tensor(family, tmp_path):
  assert (
    family.files.architecture.family
    == families.of(family.files.architecture).name
  )
  folder = _written(family, tmp_path / "ours")
  before, after = _tensors(family.folder), _tensors(folder)
  base = f"{family.theirs.base_model_prefix}."
  before = {name.removeprefix(base): x for name, x in before.items()}
  assert before.keys() == after.keys()
  for name, x in before.items():
    assert x.tobytes() == after[name].tobytes(), name
  again = model_directory.read_model(folder)
  assert again.architecture == family.files.architecture
  config = json.loads((folder / "config.json").read_text())
  assert config["model_type"] == family.case.config.model_type


def test_transformers_opens_what_is_written(family, tmp_path):
  folder = _written(family, tmp_path / "ours")
  ids = torch.tensor(np.stack(family.case.texts((12, 12))))
  with torch.no_grad():
    expected = family.theirs(ids, output_hidden_states=True)
    model = family.case.auto("ForMaskedLM", folder)
    torch.testing.assert_close(model(ids).logits, expected.logits)
    hidden = family.case.auto("Model", folder)(ids).last_hidden_state
    torch.testing.assert_close(hidden, expected.hidden_states[-1])


def test_the_encoder_alone(family, tmp_path):
  """Opens and writes an encoder with its pooler and without a prefix."""
  model = family.case.random("Model")
  family.save(model, tmp_path / "theirs")
  files = model_directory.read_model(tmp_path / "theirs")
  assert files.mlm_head is None
  assert files.architecture.pooler == ("pooler" in files.params)
  folder = _written(family, tmp_path / "ours", files)
  before, after = _tensors(tmp_path / "theirs"), _tensors(folder)
  assert before.keys() == after.keys()
  for name, x in before.items():
    assert x.tobytes() == after[name].tobytes(), name


@pytest.mark.slow
def test_the_classifier(family, tmp_path):
  model = family.case.random("ForSequenceClassification", num_labels=3)
  family.save(model, tmp_path / "theirs")
  files = model_directory.read_model(tmp_path / "theirs")
  assert not files.architecture.pooler
  ids = np.stack(family.case.texts((12, 12)))
  ones = np.ones_like(ids)
  places = np.tile(np.arange(12), (2, 1))
  tokens = {"ids": ids, "segment_ids": ones, "positions": places}
  hidden = Encoder(files.architecture).apply(files.params, tokens)
  found = ClassificationHead(files.architecture, 3).apply(
    {"params": files.classification_head}, hidden[:, 0]
  )
  with torch.no_grad():
    expected = model(torch.tensor(ids)).logits
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-5)
    folder = _written(family, tmp_path / "ours", files)
    again = family.case.auto("ForSequenceClassification", folder)
    torch.testing.assert_close(again(torch.tensor(ids)).logits, expected)


def test_fresh_weights(family, tmp_path):
  """By the keys of config.encoder; transformers computes the same of them."""
  case = family.case
  keys = dict(
    family=case.config.model_type,
    vocab_size=120,
    pad_token_id=case.pad,
    width=32,
    layers=3,
    heads=2,
    mlp_width=48,
    max_length=20,
  )
  a = families.fresh(keys)
  assert (a.max_length, len(a.layers), a.dropout) == (20, 3, 0.0)
  params = tiny.params(Encoder(a))
  model_directory.write_model(
    tmp_path, a, params, family.files.tokenizer_path, {}
  )
  ids = np.stack(case.texts((20, 20)))
  tokens = {
    "ids": ids,
    "segment_ids": np.ones_like(ids),
    "positions": np.tile(np.arange(20), (2, 1)),
  }
  with torch.no_grad():
    theirs = case.auto("Model", tmp_path)(torch.tensor(ids)).last_hidden_state
  found = Encoder(a).apply(params, tokens)
  np.testing.assert_allclose(found, theirs, rtol=0, atol=1e-5)
  with pytest.raises(UserError, match=f"^{a.family}: depth: .*no such key"):
    families.fresh(keys | {"depth": 2})
  if not a.rope:
    with pytest.raises(UserError, match="rotary_factor: this family has no"):
      families.fresh(keys | {"rotary_factor": 2.0})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_shards_of_half_precision(family, tmp_path, dtype):
  """Reads shards in half precision, as on the Hub, as float32."""
  model = family.case.random("ForMaskedLM").to(dtype)
  family.save(model, tmp_path, max_shard_size="20KB")
  assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
  files = model_directory.read_model(tmp_path)
  found = hub_random.write(
    files.architecture, {"encoder": files.params, "mlm_head": files.mlm_head}
  )
  base = f"{model.base_model_prefix}."
  named = {name.removeprefix(base): p for name, p in _named(model)}
  assert found.keys() <= named.keys()
  for name, x in found.items():
    np.testing.assert_array_equal(x, named[name].detach().float().numpy())


def test_every_case_has_a_family_and_every_family_a_case():
  types = {case.config.model_type for case in CASES.values()}
  assert types | {"nomic_bert"} == {f.name for f in families.table()}


def test_the_names_that_a_distilbert_shares_with_other_families():
  other = {"num_attention_heads": 4, "num_hidden_layers": 3, "hidden_size": 64}
  a = families.read({"model_type": "distilbert"} | other, "config.json")
  theirs = transformers.DistilBertConfig(**other)
  assert (a.width, len(a.layers), a.layers[0].attention.heads) == (
    (theirs.dim, theirs.n_layers, theirs.n_heads)
  )
  with pytest.raises(UserError, match="num_attention_heads=4 .* of n_heads, 8"):
    families.read(
      {"model_type": "distilbert", "n_heads": 8} | other, "config.json"
    )


def test_the_smaller_limit_of_a_model_and_its_tokenizer(tmp_path):
  case = CASES["modernbert"]
  words = tokenizer_lib.train(["a fox"] * 3, 400, kind="bpe")
  case.random("Model", vocab_size=400).save_pretrained(tmp_path)
  tokenizer_lib.save(words, tmp_path)
  for limit, expected in ((LIMIT - 1, LIMIT - 1), (LIMIT + 1, LIMIT)):
    path = tmp_path / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps(settings | {"model_max_length": limit}))
    theirs = sentence_transformers.SentenceTransformer(
      str(tmp_path), device="cpu"
    )
    ours = model_directory.read_model(tmp_path)
    assert theirs.max_seq_length == ours.max_tokens == expected
