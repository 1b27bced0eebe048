# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The tokenizer is BERT's, deterministic, and opens in other libraries."""

import inspect
import json
import os
import random
import subprocess
import sys
import unicodedata

import pytest

from nomic_jax.errors import UserError
from nomic_jax.text import tokenizer as tokenizer_lib
from nomic_jax.text import words as words_lib

_TEXTS = [inspect.getdoc(f) or "" for f in vars(str).values()] + [
  inspect.getsource(json.decoder),
  inspect.getsource(random),
  "naïve CAFÉ straße 日本語 x½ ☃☃ — “quoted”",
]
_PROBES = [
  "Return a copy of the string S converted to lowercase.",
  "self._random(x)[2:] += café NAÏVE",
  "日本 snow☃man",
  "",
  "\t\n  ",
  "zzzqqq" * 30,
  "\U0001f600 unseen",
  "decode_the-JSON 1234.5e6",
]


@pytest.fixture(name="words", scope="module")
def _words():
  return tokenizer_lib.train(_TEXTS, 700)


def test_special_tokens_come_first(words):
  assert [words.id_to_token(i) for i in range(5)] == [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
  ]
  assert words.get_vocab_size() == 700
  assert words.encode("return [MASK] it").tokens == [
    "[CLS]",
    "return",
    "[MASK]",
    "it",
    "[SEP]",
  ]
  pair = words.encode("return", "it")
  assert pair.tokens == ["[CLS]", "return", "[SEP]", "it", "[SEP]"]
  assert pair.type_ids == [0, 0, 0, 1, 1]
  assert words.decode(words.encode("The converted string").ids) == (
    "the converted string"
  )


def test_pieces_are_the_longest_that_fit(words):
  """Against WordPiece as its paper defines it: greedy, from the left."""
  vocab = words.get_vocab()
  for text in _PROBES:
    expected = [i for word in _split(text) for i in _greedy(word, vocab)]
    assert words.encode(text, add_special_tokens=False).ids == expected


def _split(text: str) -> list[str]:
  text = unicodedata.normalize("NFC", text).lower()
  spaced = "".join(
    f" {c} " if _alone(c) else " " if c.isspace() else c for c in text
  )
  return [
    word[i : i + 100]
    for word in spaced.split()
    for i in range(0, len(word), 100)
  ]


def _alone(c: str) -> bool:
  ascii_symbol = c.isascii() and c.isprintable() and not c.isalnum()
  return (
    (ascii_symbol and c != " ")
    or unicodedata.category(c)[0] == "P"
    or (0x4E00 <= ord(c) <= 0x9FFF)
  )


def _greedy(word: str, vocab: dict[str, int]) -> list[int]:
  ids, start = [], 0
  while start < len(word):
    for end in range(len(word), start, -1):
      piece = ("##" if start else "") + word[start:end]
      if piece in vocab:
        ids.append(vocab[piece])
        start = end
        break
    else:
      return [vocab["[UNK]"]]
  return ids or [vocab["[UNK]"]]


# Characters of scripts, from which random texts are drawn.
_SCRIPTS = {
  "Han": [chr(0x4E00 + i) for i in range(3000)],
  "kana": [chr(0x3042 + i) for i in range(80)],
  "Thai": [chr(0x0E01 + i) for i in range(46)],
  "Devanagari": [chr(0x0905 + i) for i in range(70)] + [" "] * 10,
  "Hangul": [chr(0xAC00 + 7 * i) for i in range(600)] + [" "] * 100,
  "Greek": list("αβγδεζηθάέήίώϋ ") + ["\u0301"],
}


@pytest.mark.parametrize("script", _SCRIPTS)
def test_any_script_is_kept(script, tmp_path):
  """Nothing is unknown, and nothing changes but case and composition."""
  draw = random.Random(0)
  weight = [1 / (i + 10) for i in range(len(_SCRIPTS[script]))]
  texts = [
    "".join(draw.choices(_SCRIPTS[script], weight, k=250)) for _ in range(200)
  ]
  words = tokenizer_lib.train(texts, 4000)
  found = [words.encode(text, add_special_tokens=False) for text in texts]
  unknown = sum(e.ids.count(words.token_to_id("[UNK]")) for e in found)
  assert unknown <= 1e-3 * sum(len(e.ids) for e in found)
  kept = "".join(
    token.removeprefix("##")
    for e in found
    for token in e.tokens
    if token != "[UNK]"
  )
  expected = "".join(
    unicodedata.normalize("NFC", text).replace(" ", "") for text in texts
  )
  assert len(expected) * 0.999 <= len(kept) <= len(expected)
  assert set(kept) <= set(expected)
  transformers = pytest.importorskip("transformers")
  tokenizer_lib.save(words, tmp_path)
  theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
  assert theirs(texts[0])["input_ids"] == words.encode(texts[0]).ids
  same = words_lib.cached(words).encode_ids(texts[:5])
  assert [ids.tolist() for ids in same] == [
    words.encode(text).ids for text in texts[:5]
  ]


@pytest.mark.parametrize(
  "strip, expected",
  [
    (False, ["かぎ", "パンダ", "कुल", "ไม้", "má", "straße"]),
    (True, ["かき", "ハンタ", "कल", "ไม", "ma", "straße"]),
  ],
)
def test_marks_are_stripped_where_asked(strip, expected):
  words = tokenizer_lib.train(_TEXTS, 700, strip_accents=strip)
  assert [
    words.normalizer.normalize_str(text)
    for text in (
      "かぎ",
      "パンダ",
      "कुल",
      "ไม้",
      "ma\u0301",
      "STRASSE".replace("SS", "ẞ"),
    )
  ] == expected


def test_rare_characters_do_not_take_up_the_vocabulary():
  rare = "".join(map(chr, range(0x4E00, 0x4E00 + 500)))
  words = tokenizer_lib.train([*_TEXTS * 100, rare], 700)
  kept = sum(words.token_to_id(c) is not None for c in rare)
  assert kept < 200
  assert {"return", "the", "string"} <= set(words.get_vocab())
  # As many as fit, most common first.
  words = tokenizer_lib.train([rare + rare[200:]], 400, cover=0)
  assert [c for c in rare if words.token_to_id(c) is not None] == (
    [*rare[:94], *rare[200:]]
  )


def test_training_again_gives_the_same_file(words, tmp_path):
  """In other processes, since the library's hash tables are seeded in each."""
  program = (
    "import json, sys; from nomic_jax.text import tokenizer\n"
    "texts = json.load(open(sys.argv[1]))\n"
    "tokenizer.save(tokenizer.train(texts, 700), sys.argv[2])\n"
  )
  (tmp_path / "texts.json").write_text(json.dumps(_TEXTS))
  tokenizer_lib.save(words, tmp_path / "0")
  for i in "12":
    subprocess.run(
      [sys.executable, "-c", program, tmp_path / "texts.json", tmp_path / i],
      check=True,
      env={**os.environ, "PYTHONHASHSEED": i},
    )
  files = [(tmp_path / i / "tokenizer.json").read_bytes() for i in "012"]
  assert files[0] == files[1] == files[2]
  other = tokenizer_lib.train(_TEXTS[:-2], 700)
  assert other.to_str() != words.to_str()


def test_it_loads_what_it_saved(words, tmp_path):
  tokenizer_lib.save(words, tmp_path)
  assert sorted(p.name for p in tmp_path.iterdir()) == [
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
  ]
  for path in (tmp_path, tmp_path / "tokenizer.json"):
    again = tokenizer_lib.load(path)
    assert all(again.encode(t).ids == words.encode(t).ids for t in _PROBES)
  lines = (tmp_path / "vocab.txt").read_text(encoding="utf-8").split("\n")
  assert lines[700:] == [""]
  assert all(
    words.token_to_id(token) == i for i, token in enumerate(lines[:700])
  )


def test_transformers_opens_it_with_equal_ids(words, tmp_path):
  transformers = pytest.importorskip("transformers")
  tokenizer_lib.save(words, tmp_path)
  theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
  for text in _PROBES:
    assert theirs(text)["input_ids"] == words.encode(text).ids
  assert theirs.pad_token_id == 0 and theirs.mask_token_id == 4


def test_mistakes_in_models_are_one_line(tmp_path):
  with pytest.raises(UserError, match="tokenizer.json: no such file"):
    tokenizer_lib.load(tmp_path)
  (tmp_path / "tokenizer.json").write_text('{"model": 3')
  with pytest.raises(UserError, match="not a tokenizer.json") as error:
    tokenizer_lib.load(tmp_path)
  assert "\n" not in str(error.value)
  with pytest.raises(UserError, match="--vocab_size=40: too small"):
    tokenizer_lib.train(_TEXTS, 40)
