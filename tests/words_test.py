# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Cached words give the same ids as the `tokenizers` library."""

import pickle

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import pytest
from support import tiny
import tokenizers

from nomic_jax.text import words

OURS = tiny.words()


def _bert(**options):
  """A tokenizer like a published BERT's, which does not split identifiers."""
  found = tokenizers.Tokenizer.from_str(OURS.to_str())
  found.normalizer = tokenizers.normalizers.BertNormalizer(**options)
  return found


KINDS = {
  "ours": OURS,
  "uncased": _bert(lowercase=True),
  "cased": _bert(lowercase=False),
}
CACHED = {name: words.cached(t) for name, t in KINDS.items()}
# Edge cases: punctuation, control characters, marks, words of the vocabulary.
PIECES = st.sampled_from(
  [
    *tiny.WORDS,
    "[MASK]",
    "[SEP]",
    "[CLS",
    "getItem",
    "HTTPServer",
    "a_b",
    "\t",
    "\n",
    "\r\n",
    "\x00",
    "\x0b",
    "\x0c",
    "\x1f",
    "\x7f",
    " ",
    "  ",
    "é",
    "中文",
    "İ",
    "ﬁ",
    "\u200b",
    "\u00a0",
    "x" * 101,
    "##a",
    "3.14",
    "'s",
    "``",
  ]
)


@settings(max_examples=300, deadline=None)
@given(
  st.lists(
    st.one_of(
      PIECES,
      st.text(max_size=8),
      st.text(st.characters(max_codepoint=127), max_size=12),
    ),
    max_size=8,
  ).map("".join)
)
def test_ids_are_the_librarys(text):
  for name, tokenizer in KINDS.items():
    (found,) = CACHED[name].encode_ids([text])
    assert found.tolist() == tokenizer.encode(text).ids, name


def test_the_cache_is_bounded_and_can_be_pickled(monkeypatch):
  found = words.cached(OURS)
  found.encode_ids(["alpha beta", "beta gamma"])
  assert {*found._known} >= {"alpha", "beta", "gamma"}
  again = pickle.loads(pickle.dumps(found))
  assert again.encode_ids(["Alpha!"])[0].tolist() == OURS.encode("Alpha!").ids
  assert again.token_to_id("[PAD]") == OURS.token_to_id("[PAD]")
  monkeypatch.setattr(words, "_MOST", 2)
  found.encode_ids(["delta"])
  assert {*found._known} == {"delta"}


@pytest.mark.parametrize(
  "change",
  [
    lambda t: setattr(
      t, "pre_tokenizer", tokenizers.pre_tokenizers.Whitespace()
    ),
    lambda t: setattr(t, "normalizer", tokenizers.normalizers.Lowercase()),
    lambda t: setattr(
      t,
      "normalizer",
      tokenizers.normalizers.Sequence(
        [tokenizers.normalizers.NFC(), tokenizers.normalizers.BertNormalizer()]
      ),
    ),
    lambda t: setattr(
      t,
      "normalizer",
      tokenizers.normalizers.Sequence(
        [
          tokenizers.normalizers.Replace(tokenizers.Regex("(?<= )a"), " "),
          tokenizers.normalizers.BertNormalizer(),
        ]
      ),
    ),
    lambda t: t.enable_truncation(4),
    lambda t: t.add_tokens(["FooBar"]),  # also found in foobar and FOOBAR
  ],
)
def test_other_tokenizers_are_unchanged(change):
  other = tokenizers.Tokenizer.from_str(OURS.to_str())
  change(other)
  assert words.cached(other) is other
  assert isinstance(words.cached(OURS), words.Words)
