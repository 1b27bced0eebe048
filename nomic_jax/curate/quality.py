# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Rules that reject a pair regardless of its meaning.

They reject texts that are too short or too long, are not prose, repeat the same
line, or are error pages. Limits are those of Gopher (arXiv 2112.11446, table
A1) and C4 (arXiv 1910.10683, section 2.2) where these have one.
"""

import collections
import re
from typing import NamedTuple

from nomic_jax.storage import unicode_text

_FEWEST_LETTERS = 0.4  # and marks, as a fraction of non-space characters
_MOST_REPEATED = 0.3  # fraction of a document's characters in repeated lines
_SEVERAL = 4  # lines; with fewer, repetition means nothing
_PHRASES = re.compile(
  r"lorem ipsum|(please )?(enable|turn on) (javascript|cookies)"
  r"|javascript is (disabled|not enabled)|your browser does not support"
  r"|this (page|site|website) uses cookies|page not found|404 not found"
  r"|access denied|checking your browser|are you a robot",
  re.IGNORECASE,
)
_PAGE = 1000  # characters; a longer document may legitimately mention these


class Limits(NamedTuple):
  """Numbers of words in a document (`unicode_text.words`); None: no limit."""

  min_words: int | None
  max_words: int | None


def fault(query: str, document: str, limits: Limits) -> str:
  """Returns what is wrong with a pair, or ""."""
  words = len(unicode_text.words(document))
  if limits.min_words is not None and words < limits.min_words:
    return "document too short"
  if limits.max_words is not None and words > limits.max_words:
    return "document too long"
  if query and normal(query) == normal(document):
    return "query is the document"
  if unicode_text.letter_share(document) < _FEWEST_LETTERS:
    return "few letters"
  if _repeated(document) > _MOST_REPEATED:
    return "repeated lines"
  if len(document) <= _PAGE and _PHRASES.search(document):
    return "boilerplate"
  return ""


def _repeated(text: str) -> float:
  """Returns the fraction of characters in lines that occurred before."""
  lines = [line.strip() for line in text.splitlines() if line.strip()]
  if len(lines) < _SEVERAL:
    return 0.0
  again = sum(
    len(line) * (n - 1) for line, n in collections.Counter(lines).items()
  )
  return again / sum(map(len, lines))


def normal(text: str) -> str:
  """Returns the words of a text or, if it has none, the text without spaces."""
  return " ".join(unicode_text.words(text)) or "".join(text.split())
