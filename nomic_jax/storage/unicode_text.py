# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""What counts as a word and what counts as blank, in every script.

Everything that compares or counts words uses this module, which follows
Unicode: a word is a run of letters, marks and digits (UAX #29), compared
case-insensitively and in compatibility form (NFKC). In scripts without spaces
between words, such as Chinese, Japanese, Thai or Khmer, each grapheme cluster
(a character as a reader perceives it) counts as a word, and search compares
single characters and pairs of neighbours, as Lucene's CJK analyzer does. A
symbol, such as an emoji, is a word.
"""

import re
import unicodedata

import regex

# Scripts without spaces: ideographs, kana and bopomofo, the letters that line
# breaking calls South East Asian (Thai, Lao, Khmer, Burmese ...) or aksara
# (Javanese, Balinese ...), and Yi.
_UNSPACED = (
  r"[[\p{Ideographic}\p{scx=Hira}\p{scx=Kana}\p{scx=Bopo}\p{lb=SA}\p{lb=AK}"
  r"\p{lb=AS}\p{sc=Yi}]&&[\p{L}\p{N}]]"
)
_WORD = regex.compile(r"(?V1)[\p{L}\p{M}\p{N}]+|[\p{So}--\ufffd]")
_HAS_UNSPACED = regex.compile(rf"(?V1){_UNSPACED}")
# Inside a word: a run of an unspaced script, or the text between two runs.
_RUN = regex.compile(
  rf"(?V1)(?P<run>(?:(?={_UNSPACED})\X)+)|(?:(?!{_UNSPACED}).)+"
)
_LETTERS = regex.compile(r"[\p{L}\p{M}]+")
_CLUSTER = regex.compile(r"\X")
# Joiners, soft hyphens, direction marks, and the tatweel, which stretches an
# Arabic word: ignored inside a word. U+200B is a zero-width space.
_IGNORED = regex.compile(r"(?V1)[\p{Cf}\p{Variation_Selector}\u0640--\u200b]+")
# Combining diacritical marks, Hebrew points, Arabic harakat.
_ACCENTS = re.compile(r"[\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u0670]")
_ASCII_WORD = re.compile(r"[a-z0-9]+")
_ASCII_BLANK = "".join(map(chr, (*range(33), 127)))
# Besides white space and controls: characters that are not displayed, such as
# the Hangul fillers, the empty Braille cell, and the replacement character.
_VISIBLE = regex.compile(
  r"[^\p{White_Space}\p{Cc}\p{Cf}\p{Cs}\p{Default_Ignorable_Code_Point}"
  r"\u2800\ufffd]"
)


def blank(text: str) -> bool:
  """Returns whether `text` has no visible characters."""
  if text.isascii():
    return not text.strip(_ASCII_BLANK)
  return _VISIBLE.search(text) is None


def letter_share(text: str) -> float:
  """Returns the fraction of non-space characters that are letters or marks; 1
  if there are only spaces.
  """
  solid = sum(map(len, text.split()))
  return sum(map(len, _LETTERS.findall(text))) / solid if solid else 1.0


def fold(text: str) -> str:
  """Returns `text` in the form in which texts are compared: without case,
  composed, and without characters that only control display.
  """
  if text.isascii():
    return text.lower()
  text = unicodedata.normalize("NFKC", text).casefold()
  return unicodedata.normalize("NFKC", _IGNORED.sub("", text))


def same(text: str) -> str:
  """Returns a key that ignores differences of case, accents and spaces.

  Accents are those of Latin, Greek and Cyrillic letters, and the points of
  Hebrew and Arabic. Marks of other scripts are part of the spelling, such as
  the dakuten in かぎ (key), which かき (oyster) lacks, tone marks in Thai and
  vowels in Devanagari.
  """
  text = fold(text)
  if not text.isascii():
    text = _ACCENTS.sub("", unicodedata.normalize("NFKD", text))
    text = unicodedata.normalize("NFKC", text)
  return " ".join(text.split())


def words(text: str) -> list[str]:
  """Splits into folded words, leaving out punctuation.

  "Müller's café" gives müller s café, "日本の10" gives 日 本 の 10.
  """
  return _split(text, pairs=False)


def terms(text: str) -> list[str]:
  """Splits into terms for search: `words`, plus each pair of neighbours in a
  script without spaces. "日本の10" gives 日 本 の 日本 本の 10.
  """
  return _split(text, pairs=True)


def _split(text: str, pairs: bool) -> list[str]:
  text = fold(text)
  if text.isascii():
    return _ASCII_WORD.findall(text)
  parts = []
  for word in _WORD.findall(text):
    if word.isascii() or not _HAS_UNSPACED.search(word):
      parts.append(word)
      continue
    for match in _RUN.finditer(word):
      if match["run"] is None:
        parts.append(match[0])
        continue
      characters = _CLUSTER.findall(match[0])
      parts += characters
      if pairs:
        parts += map("".join, zip(characters, characters[1:]))
  return parts


def title(text: str) -> str:
  """Returns the first line that is not blank, truncated to 200 characters."""
  return next((s.strip() for s in text.splitlines() if s.strip()), "")[:200]
