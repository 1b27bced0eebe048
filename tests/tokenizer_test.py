# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The tokenizer is BERT's, is the same every time, and opens elsewhere."""

import inspect
import json
import os
import random
import subprocess
import sys
import unicodedata

from nomic_jax.data import tokenizer as tokenizer_lib
from nomic_jax.errors import UserError
import pytest

_TEXTS = [inspect.getdoc(f) or "" for f in vars(str).values()] + [
    inspect.getsource(json.decoder), inspect.getsource(random),
    "naïve CAFÉ straße 日本語 x½ ☃☃ — “quoted”"]
_PROBES = [
    "Return a copy of the string S converted to lowercase.",
    "self._random(x)[2:] += café NAÏVE", "日本 snow☃man", "", "\t\n  ",
    "zzzqqq" * 30, "\U0001f600 unseen", "decode_the-JSON 1234.5e6"]


@pytest.fixture(name="words", scope="module")
def _words():
  return tokenizer_lib.train(_TEXTS, 700)


def test_special_tokens_come_first(words):
  assert [words.id_to_token(i) for i in range(5)] == [
      "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
  assert words.get_vocab_size() == 700
  assert words.encode("return [MASK] it").tokens == [
      "[CLS]", "return", "[MASK]", "it", "[SEP]"]
  pair = words.encode("return", "it")
  assert pair.tokens == ["[CLS]", "return", "[SEP]", "it", "[SEP]"]
  assert pair.type_ids == [0, 0, 0, 1, 1]
  assert words.decode(words.encode("The converted string").ids) == (
      "the converted string")


def test_pieces_are_the_longest_that_fit(words):
  """Against WordPiece as its paper defines it: greedy, from the left."""
  vocab = words.get_vocab()
  for text in _PROBES:
    expected = [i for word in _split(text) for i in _greedy(word, vocab)]
    assert words.encode(text, add_special_tokens=False).ids == expected


def _split(text: str) -> list[str]:
  text = "".join(
      c for c in unicodedata.normalize("NFD", text.lower())
      if unicodedata.category(c) != "Mn")
  spaced = "".join(
      f" {c} " if _alone(c) else " " if c.isspace() else c for c in text)
  return spaced.split()


def _alone(c: str) -> bool:
  ascii_symbol = c.isascii() and c.isprintable() and not c.isalnum()
  return (ascii_symbol and c != " ") or unicodedata.category(c)[0] == "P" or (
      0x4E00 <= ord(c) <= 0x9FFF)


def _greedy(word: str, vocab: dict[str, int]) -> list[int]:
  ids, start = [], 0
  while start < len(word) <= 100:
    for end in range(len(word), start, -1):
      piece = ("##" if start else "") + word[start:end]
      if piece in vocab:
        ids.append(vocab[piece])
        start = end
        break
    else:
      return [vocab["[UNK]"]]
  return ids or [vocab["[UNK]"]]


def test_training_again_gives_the_same_file(words, tmp_path):
  """In other processes, since the library's hash tables are seeded in each."""
  program = (
      "import json, sys; from nomic_jax.data import tokenizer\n"
      "texts = json.load(open(sys.argv[1]))\n"
      "tokenizer.save(tokenizer.train(texts, 700), sys.argv[2])\n")
  (tmp_path / "texts.json").write_text(json.dumps(_TEXTS))
  tokenizer_lib.save(words, tmp_path / "0")
  for i in "12":
    subprocess.run(
        [sys.executable, "-c", program, tmp_path / "texts.json", tmp_path / i],
        check=True, env={**os.environ, "PYTHONHASHSEED": i})
  files = [(tmp_path / i / "tokenizer.json").read_bytes() for i in "012"]
  assert files[0] == files[1] == files[2]
  other = tokenizer_lib.train(_TEXTS[:-2], 700)
  assert other.to_str() != words.to_str()


def test_it_loads_what_it_saved(words, tmp_path):
  tokenizer_lib.save(words, tmp_path)
  assert sorted(p.name for p in tmp_path.iterdir()) == [
      "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json",
      "vocab.txt"]
  for path in (tmp_path, tmp_path / "tokenizer.json"):
    again = tokenizer_lib.load(path)
    assert all(again.encode(t).ids == words.encode(t).ids for t in _PROBES)
  lines = (tmp_path / "vocab.txt").read_text(encoding="utf-8").split("\n")
  assert lines[700:] == [""]
  assert all(words.token_to_id(token) == i for i, token in
             enumerate(lines[:700]))


def test_transformers_opens_it_with_equal_ids(words, tmp_path):
  transformers = pytest.importorskip("transformers")
  tokenizer_lib.save(words, tmp_path)
  theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
  for text in _PROBES:
    assert theirs(text)["input_ids"] == words.encode(text).ids
  assert theirs.pad_token_id == 0 and theirs.mask_token_id == 4


def test_what_is_wrong_is_told_in_one_line(tmp_path):
  with pytest.raises(UserError, match="tokenizer.json: no such file"):
    tokenizer_lib.load(tmp_path)
  (tmp_path / "tokenizer.json").write_text('{"model": 3')
  with pytest.raises(UserError, match="not a tokenizer.json") as error:
    tokenizer_lib.load(tmp_path)
  assert "\n" not in str(error.value)
  with pytest.raises(UserError, match="--vocab_size=40: too small"):
    tokenizer_lib.train(_TEXTS, 40)
