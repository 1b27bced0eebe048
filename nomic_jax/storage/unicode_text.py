# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""What a word is and what is blank, in every script.

Everything that compares or counts words calls this module, which follows
Unicode: a word is a run of letters, marks and digits (UAX #29), compared
without case and in compatibility form (NFKC). Where a script puts no spaces
between words, as Chinese, Japanese, Thai or Khmer, each character as a reader
perceives it (a grapheme cluster) counts as a word, and searching compares
characters and pairs of neighbours, as Lucene's CJK analyzer does. A symbol,
such as an emoji, is a word.
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
# Inside a word: a run of an unspaced script, or what stands between two.
_RUN = regex.compile(
  rf"(?V1)(?P<run>(?:(?={_UNSPACED})\X)+)|(?:(?!{_UNSPACED}).)+"
)
_LETTERS = regex.compile(r"[\p{L}\p{M}]+")
_CLUSTER = regex.compile(r"\X")
# Joiners, soft hyphens, marks of direction, and the tatweel, which stretches
# an Arabic word: in a word, and not of it. U+200B is a space of no width.
_IGNORED = regex.compile(r"(?V1)[\p{Cf}\p{Variation_Selector}\u0640--\u200b]+")
_ASCII_WORD = re.compile(r"[a-z0-9]+")
_ASCII_BLANK = "".join(map(chr, (*range(33), 127)))
# Besides white space and controls: what is not displayed (the Hangul fillers,
# say), the empty Braille cell, and what stands for a character that was lost.
_VISIBLE = regex.compile(
  r"[^\p{White_Space}\p{Cc}\p{Cf}\p{Cs}\p{Default_Ignorable_Code_Point}"
  r"\u2800\ufffd]"
)


def blank(text: str) -> bool:
  """Whether nothing in `text` can be read: no character, or only such as
  leave no ink.
  """
  if text.isascii():
    return not text.strip(_ASCII_BLANK)
  return _VISIBLE.search(text) is None


def letter_share(text: str) -> float:
  """Returns what share of the characters that are no spaces are letters or
  their marks; 1 for a text of spaces.
  """
  solid = sum(map(len, text.split()))
  return sum(map(len, _LETTERS.findall(text))) / solid if solid else 1.0


def fold(text: str) -> str:
  """Returns `text` in the form in which texts are compared: without case,
  composed, and without characters that only steer its display.
  """
  if text.isascii():
    return text.lower()
  text = unicodedata.normalize("NFKC", text).casefold()
  return unicodedata.normalize("NFKC", _IGNORED.sub("", text))


def same(text: str) -> str:
  """Returns what is equal for texts that differ in case, accents or spaces."""
  text = fold(text)
  if not text.isascii():
    text = "".join(
      c
      for c in unicodedata.normalize("NFKD", text)
      if not unicodedata.combining(c)
    )
  return " ".join(text.split())


def words(text: str) -> list[str]:
  """Splits into folded words; punctuation is left out.

  "Müller's café" gives müller s café, "日本の10" gives 日 本 の 10.
  """
  return _split(text, pairs=False)


def terms(text: str) -> list[str]:
  """As `words`, to search by: with each pair of neighbours in a script
  without spaces. "日本の10" gives 日 本 の 日本 本の 10.
  """
  return _split(text, pairs=True)


def _split(text: str, pairs: bool) -> list[str]:
  text = fold(text)
  if text.isascii():
    return _ASCII_WORD.findall(text)
  found = []
  for word in _WORD.findall(text):
    if word.isascii() or not _HAS_UNSPACED.search(word):
      found.append(word)
      continue
    for match in _RUN.finditer(word):
      if match["run"] is None:
        found.append(match[0])
        continue
      characters = _CLUSTER.findall(match[0])
      found += characters
      if pairs:
        found += map("".join, zip(characters, characters[1:]))
  return found


def title(text: str) -> str:
  """Returns the first line that is not blank, at most 200 long."""
  return next((s.strip() for s in text.splitlines() if s.strip()), "")[:200]
