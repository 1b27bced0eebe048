# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Texts tokenised ahead of time give the same batches."""

import json
import pickle

import ml_collections
import numpy as np
import pytest
from support import tiny
import tokenizers

from nomic_jax.data import dataset
from nomic_jax.data import loader
from nomic_jax.data import text
from nomic_jax.data import tokens
from nomic_jax.errors import UserError
from nomic_jax.text import tokenizer as tokenizer_lib

WORDS = tiny.words()


@pytest.fixture(name="place", scope="module")
def _place(tmp_path_factory):
  folder = tmp_path_factory.mktemp("tokens")
  tokenizer_lib.save(WORDS, folder / "words")
  rows = [
    dataset.row(
      r["query"],
      r["document"] + " kappa" * (i % 7),
      negatives=r["negatives"],
      source=r["source"],
    )
    for i, r in enumerate(tiny.rows())
  ]
  rows[3]["query"] = "?"  # all unknown to the tokenizer
  dataset.write(
    folder / "data",
    {"train": rows, "test": rows[:2]},
    stats={},
    tokenizer=folder / "words",
    prompts={"b": {"query": "kappa : ", "document": ""}},
  )
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(tokens, "_ROWS", 7)  # several blocks
    tokens.tokenise(folder / "data")
  return folder


def _batches(place, count=5, **changes):
  config = ml_collections.ConfigDict(
    dict(
      kind="pairs",
      path=str(place / "data"),
      split="train",
      batch_size=8,
      one_source=True,
      token_dropout=0.0,
      row_length=32,
      slots=4,
      rows_multiple=8,
      query_length=5,
      document_length=8,
      mask_rate=0.3,
      micro_batches=2,
      query_prompt="search : ",
      document_prompt="item : ",
      negatives=2,
    )
    | changes
  )
  return tiny.take(loader.make(config, WORDS, 3), count)


@pytest.mark.parametrize("kind", ["pairs", "text"])
def test_batches_are_the_same(place, kind):
  apart = _batches(place, kind=kind)
  ahead = _batches(place, kind=kind, tokenised=True)
  for a, b in zip(apart, ahead, strict=True):
    assert a.keys() == b.keys()
    for key in a.keys() - {"content"}:  # a hash of other bytes
      np.testing.assert_array_equal(a[key], b[key])
      assert a[key].dtype == b[key].dtype
    if kind == "pairs":
      same = [c[0].ravel() for c in (a["content"], b["content"])]
      same = [np.equal.outer(c, c) for c in same]
      np.testing.assert_array_equal(*same)
  assert (ahead[0]["ids"] != ahead[1]["ids"]).any()  # control


def _host(place, host=0, hosts=1):
  config = ml_collections.ConfigDict(
    dict(batch_size=32, micro_batches=2, row_length=16, mask_rate=0.3)
  )
  source = tokens.open_split(place / "data", "train", WORDS)
  return source, iter(text.batches(source, WORDS, config, 3, host, hosts))


def test_text_resumes_on_another_number_of_hosts(place):
  tiny.assert_resumes_on_other_hosts(lambda *at: _host(place, *at)[1])


def test_a_host_reads_only_the_documents_of_its_rows(place, monkeypatch):
  """Of all other documents, it reads only lengths."""
  read = []
  between = tokens.Source.between

  def counting(self, bounds):
    read.extend(map(tuple, bounds.tolist()))
    return between(self, bounds)

  monkeypatch.setattr(tokens.Source, "between", counting)
  count = {}
  for hosts in (1, 8):
    count[hosts] = []
    for host in range(hosts):
      read.clear()
      tiny.take(_host(place, host, hosts)[1], 4)
      count[hosts].append(len(read))
  # 4 batches of 2 micro-batches, whose first and last documents are cut.
  assert max(count[8]) <= count[1][0] / 8 * 1.5 + 4 * 2 * 2
  assert sum(count[8]) >= count[1][0] > 100


def test_bounds_are_those_of_query_and_document(place):
  source = tokens.open_split(place / "data", "train", WORDS)
  indices = np.array([0, 23, 7, 3])
  bounds = source.bounds(indices)
  rows = source.__getitems__(indices)
  assert list(source.between(bounds)) == [
    r["query"] + r["document"] for r in rows
  ]
  assert (bounds[:, 1] - bounds[:, 0]).tolist() == [
    len(r["query"] + r["document"]) // source.dtype.itemsize for r in rows
  ]


def test_rows_of_token_ids_are_the_same_ahead(tmp_path):
  start = WORDS.token_to_id("[CLS]")
  rng = np.random.default_rng(0)
  rows = [
    dataset.row(
      "",
      "",
      ids=np.where(
        rng.random(24) < 0.1, start, rng.integers(5, 100, 24)
      ).tolist(),
    )
    for _ in range(20)
  ]
  tokenizer_lib.save(WORDS, tmp_path / "words")
  dataset.write(
    tmp_path / "data", {"train": rows}, stats={}, tokenizer=tmp_path / "words"
  )
  tokens.tokenise(tmp_path / "data")
  ways = [
    _batches(tmp_path, kind="text", tokenised=t, row_length=24, negatives=0)
    for t in (False, True)
  ]
  for apart, ahead in zip(*ways, strict=True):
    for key in apart:
      np.testing.assert_array_equal(apart[key], ahead[key])
  assert {b["segment_ids"].max() > 2 for b in ways[1]} == {True}  # [CLS] within
  with pytest.raises(UserError, match="token ids without texts"):
    _batches(tmp_path, tokenised=True, negatives=0)


def test_dropout_leaves_tokens_out(place):
  count = lambda **c: sum(
    (b["segment_ids"] > 0).sum()
    for b in _batches(place, tokenised=True, document_length=40, **c)
  )
  assert 0.6 < count(token_dropout=0.3) / count() < 0.9


def test_rows_are_found_in_any_order(place):
  source = tokens.open_split(place / "data", "train", WORDS)
  texts = dataset.open_split(place / "data", "train")
  source = pickle.loads(pickle.dumps(source))
  for i in (23, 0, 7):
    row = source[i]
    assert row["source"] == texts[i]["source"]
    for side in ("query", "document"):
      ids = np.frombuffer(row[side], source.dtype)
      assert (
        list(ids) == WORDS.encode(texts[i][side], add_special_tokens=False).ids
      )
    assert len(row["negatives"]) == i % 5


def test_mistakes_are_named(place):
  about = place / "data" / "tokens" / "about.json"
  kept = about.read_text()
  with pytest.raises(UserError, match="made with another tokenizer"):
    tokens.open_split(place / "data", "train", tokenizer_lib.train(["ab"], 99))
  about.write_text("{")
  with pytest.raises(UserError, match="about.json: damaged; run nomic-jax tok"):
    tokens.open_split(place / "data", "train", WORDS)
  about.unlink()
  with pytest.raises(UserError, match="not tokenised; run nomic-jax tokenise"):
    _batches(place, tokenised=True)
  about.write_text(kept)
  assert json.loads(kept)["dtype"] == "uint16"
  about.write_text(kept.replace("array_record-00000", "array_record-00001"))
  assert about.read_text() != kept
  with pytest.raises(UserError, match="made from other texts"):
    tokens.open_split(place / "data", "train", WORDS)
  about.write_text(kept)
  ids = place / "data" / "tokens" / "train.ids"
  content = ids.read_bytes()
  ids.write_bytes(content[:20] + b"\1\2\3\4" + content[24:])
  with pytest.raises(UserError, match="made from other texts"):
    tokens.open_split(place / "data", "train", WORDS)
  ids.write_bytes(content)


def test_joined_texts_must_have_the_ids_of_their_parts(tmp_path):
  """With a byte-level tokenizer, a text's ids depend on the text before it."""
  words = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="[UNK]"))
  words.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(
    add_prefix_space=False
  )
  words.train_from_iterator(
    [f"search : {r['query']}\n{r['document']}" for r in tiny.rows()],
    tokenizers.trainers.BpeTrainer(
      vocab_size=400,
      show_progress=False,
      special_tokens=["[UNK]"],
      initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
    ),
  )
  tokenizer_lib.save(words, tmp_path / "words")
  dataset.write(
    tmp_path / "data",
    {
      "train": [
        dataset.row(r["query"], r["document"], source=r["source"])
        for r in tiny.rows()
      ]
    },
    stats={},
    tokenizer=tmp_path / "words",
  )
  tokens.tokenise(tmp_path / "data")
  opened = lambda joined: tokens.open_split(
    tmp_path / "data", "train", words, joined
  )
  assert len(
    opened(lambda row: iter(()))
  )  # control: each part alone is as stored
  with pytest.raises(UserError, match="splits 'search : query 0"):
    opened(tokens.joins_prompts("search : ", ""))
  with pytest.raises(UserError, match="splits 'query 0"):
    opened(tokens.joins_lines)
  assert len(opened(tokens.joins_prompts("", "")))
  config = ml_collections.ConfigDict(
    dict(
      kind="pairs",
      path=str(tmp_path / "data"),
      split="train",
      tokenised=True,
      query_prompt="search : ",
      document_prompt="",
    )
  )
  with pytest.raises(UserError, match="set config.data.tokenised to false"):
    loader.make(config, words, 3)


def test_a_prompt_that_merges_with_the_text_is_detected(place):
  opened = lambda *prompts: tokens.open_split(
    place / "data", "train", WORDS, tokens.joins_prompts(*prompts)
  )
  assert len(opened("search : ", "item:"))
  with pytest.raises(UserError, match="set config.data.tokenised to false"):
    opened("search", "")
