# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Words and blank texts in many scripts."""

import unicodedata

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import pytest

from nomic_jax.search import bm25
from nomic_jax.storage import unicode_text


@pytest.mark.parametrize(
  "text, expected",
  [
    ("Müller's CAFÉ, naïve", "müller s café naïve"),
    ("cafe\u0301", "café"),  # decomposed
    ("मुझे नहीं चाहिए।", "मुझे नहीं चाहिए"),
    ("தமிழ் மொழி", "தமிழ் மொழி"),
    ("한국어가 좋다", "한국어가 좋다"),
    ("می\u200cخواهم", "میخواهم"),
    ("日本の10円、IDカード", "日 本 の 10 円 id カ ー ド"),
    ("ﾊﾟﾝ Ｈｅｌｌｏ", "パ ン hello"),
    ("ไม้ไทย", "ไ ม้ ไ ท ย"),
    ("ខ្មែរ", "ខ្មែ រ"),
    ("བོད་ཡིག", "བོད ཡིག"),
    ("ru\u00adn a\u200bb", "run a b"),
    ("great 👍🏽 ❤\ufe0f", "great 👍 ❤"),
    ("snake_case f(x)", "snake case f x"),
    ("¡… — «»", ""),
  ],
)
def test_words(text, expected):
  assert unicode_text.words(text) == expected.split()


@pytest.mark.parametrize(
  "a, b, equal",
  [
    ("CAFÉ", "cafe", True),
    ("ἄνθρωπος", "ανθρωποσ", True),
    ("סֵפֶר", "ספר", True),
    ("كِتَاب", "كتاب", True),
    ("ｈｅｌｌｏ", "hello", True),
    ("かぎ", "かき", False),  # key, oyster
    ("パン", "ハン", False),
    ("ไม่", "ไม้", False),  # no, wood
    ("कर", "क्र", False),
    ("한국어", "한국", False),
  ],
)
def test_accents_do_not_matter_but_letters_do(a, b, equal):
  assert (unicode_text.same(a) == unicode_text.same(b)) == equal
  decomposed = unicodedata.normalize("NFD", a)
  assert unicode_text.same(decomposed) == unicode_text.same(a)


def test_a_stretched_arabic_word_is_that_word():
  assert unicode_text.words("بـــحر") == unicode_text.words("بحر") == ["بحر"]


def test_terms_are_words_and_pairs_of_neighbours():
  assert unicode_text.terms("茶の湯 tea 茶") == [
    "茶",
    "の",
    "湯",
    "茶の",
    "の湯",
    "tea",
    "茶",
  ]


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=20), st.text(max_size=20))
def test_words_keep_every_letter_and_digit(one, two):
  """In any script; a space between two texts separates their words."""
  letters = lambda text: [c for c in text if unicodedata.category(c)[0] in "LN"]
  assert letters("".join(unicode_text.words(one))) == letters(
    unicode_text.fold(one)
  )
  assert unicode_text.words(f"{one} , {two}") == (
    unicode_text.words(one) + unicode_text.words(two)
  ) or (unicodedata.combining((two or "x")[0]))


@pytest.mark.parametrize(
  "text, blank",
  [
    ("", True),
    (" \t\r\n", True),
    ("\u3000", True),
    ("\u00a0\u2003", True),
    ("\u200b\ufeff", True),
    ("\x00\x1f\x7f", True),
    ("\u3164", True),
    ("\ufffd \ud800", True),
    ("\u2028", True),
    ("。", False),
    ("x", False),
    ("\u0301", False),
    (" \u3000☃", False),
  ],
)
def test_blank(text, blank):
  assert unicode_text.blank(text) == blank


@pytest.mark.parametrize(
  "text, expected",
  [
    ("parseHTTPHeaders(raw_bytes)", "parse http headers raw bytes"),
    ("utf8Decoder IDs", "utf 8 decoder i ds"),
    ("Müller café", "müller café"),
    ("getÄnderungId ПриветМир", "get änderung id привет мир"),
    ("मुझे", "मुझे"),
    ("東京ID2", "東 京 東京 id 2"),
  ],
)
def test_words_of_identifiers(text, expected):
  assert bm25.words(text) == expected.split()


def test_identifiers_are_split_alike_in_ascii_and_beside_other_scripts():
  text = "getHTTPServer2Go parse_URL x86 A1b IDs __init__ 3D aB"
  assert bm25.words(text + " é") == bm25.words(text) + ["é"]
