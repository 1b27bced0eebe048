# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Long texts are tokenised only as far as the model reads them."""

import random

import pytest
from support import tiny
import tokenizers
from tokenizers import models
from tokenizers import normalizers
from tokenizers import pre_tokenizers
from tokenizers import trainers

from nomic_jax.text.shorten import shorten

_TEXTS = [" ".join(tiny.WORDS) * 3, "alphabeta gammadelta 12 345,678 don't x"]


def _byte_level(split):
  made = tokenizers.Tokenizer(models.BPE())
  made.pre_tokenizer = (
    pre_tokenizers.ByteLevel(add_prefix_space=False) if split else None
  )
  made.train_from_iterator(
    _TEXTS,
    trainers.BpeTrainer(
      vocab_size=350,
      show_progress=False,
      initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    ),
  )
  return made


def _unigram():
  made = tokenizers.Tokenizer(models.Unigram())
  made.normalizer = normalizers.NFKC()
  made.pre_tokenizer = pre_tokenizers.Sequence(
    [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
  )
  made.train_from_iterator(
    _TEXTS,
    trainers.UnigramTrainer(
      vocab_size=60,
      show_progress=False,
      unk_token="<unk>",
      special_tokens=["<unk>"],
    ),
  )
  return made


def _wordpiece(longest):
  """Words of up to `longest` characters have pieces, others are unknown."""
  vocab = tiny.words().get_vocab()
  made = tokenizers.Tokenizer(
    models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=longest)
  )
  made.pre_tokenizer = pre_tokenizers.Whitespace()
  made.add_special_tokens(["[MASK]"])
  return made


TOKENIZERS = {
  "ours": tiny.words,
  "byte level": lambda: _byte_level(True),
  "no words": lambda: _byte_level(False),
  "unigram": _unigram,
  "long words": lambda: _wordpiece(1_100),
}


def _random_text(rng):
  """Words, long runs of spaces, long words and a rare unknown character."""
  piece = lambda: rng.choice(
    [
      lambda: rng.choice(tiny.WORDS),
      lambda: " " * rng.randint(1, 900),
      lambda: "alpha" * rng.randint(1, 200),
      lambda: "12345" * 40,
      lambda: "[MASK]",
      lambda: "\u00e9\u0301 \u4e2d\u6587",
      lambda: "☃",
      lambda: "don't, getItem(x) ",
    ]
  )()
  joiner = rng.choice(["", " ", "\n"])
  return joiner.join(piece() for _ in range(rng.randint(1, 60)))


@pytest.mark.slow
@pytest.mark.parametrize("name", TOKENIZERS)
def test_the_first_tokens_are_those_of_the_whole_text(name):
  tokenizer, rng, cut = TOKENIZERS[name](), random.Random(0), 0
  # WordPiece takes the cube of a word's length.
  count = 24 if name == "long words" else 80
  texts = [_random_text(rng) for _ in range(count)]
  # Its prefixes have the same pieces, but the whole word is too long for any.
  texts.append("alpha" * 2000 + " beta" * 400)
  read = lambda text: tokenizer.encode(text, add_special_tokens=False).ids
  whole = [read(text) for text in texts]
  for tokens in (4, 30):
    shortened = shorten(tokenizer, texts, tokens)
    for text, expected, short in zip(texts, whole, shortened):
      assert text.startswith(short)
      ids = read(short)
      assert ids[:tokens] == expected[:tokens]
      assert short == text or len(ids) > tokens
      cut += short != text
  assert (cut > 20) == (name != "no words")


class _Counting:
  """Counts the characters that a tokenizer is given."""

  def __init__(self, tokenizer):
    self._tokenizer, self.characters = tokenizer, 0

  def encode(self, text, **options):
    self.characters += len(text)
    return self._tokenizer.encode(text, **options)


def test_cost_depends_on_what_is_read():
  counting = _Counting(tiny.words())
  (short,) = shorten(counting, ["alpha beta " * 1_000_000], 64)
  assert counting.characters < 2_000 and len(short) == 1024
  counting.characters = 0
  assert shorten(counting, ["alpha beta " * 90], 64) == ["alpha beta " * 90]
  assert not counting.characters  # usual texts are not tokenised twice
