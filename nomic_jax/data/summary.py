# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Splits a docstring into its first sentence, as plain text, and the rest."""

import inspect
import re

from nomic_jax.storage import unicode_text

_SIGNATURE = re.compile(r"[\w.]+\(.*\)(\s*->.*)?:?")
_STOP = re.compile(
  r"(:\w+|@\w+|>>>|\.\. |[-*+] |\d+[.)] |[-=~^]{3,}|(Args|Arguments|Returns|"
  r"Yields|Raises|Parameters?|Attributes|Notes?|Examples?|Usage)\s*:?$)"
)
_SENTENCE_END = re.compile(r"[.!?][\"')\]`]*(?=\s)")
_ABBREVIATION = re.compile(
  r"\b(e\.?g|i\.?e|etc|vs|cf|fig|eqs?|resp|approx|incl|al|aka|w\.r\.t|wrt)"
  r"\.$",
  re.IGNORECASE,
)
_MARKUP = (
  (
    re.compile(r":(?:[\w+.-]+:)?[\w+-]+:`~([^`]*?)`"),
    lambda m: m[1].split(".")[-1],
  ),
  (re.compile(r":(?:[\w+.-]+:)?[\w+-]+:`!?([^`]*?)(?:\s<[^`<>]*>)?`"), r"\1"),
  (re.compile(r"`([^`<]+?)\s*<[^`>]*>`__?"), r"\1"),
  (re.compile(r"``([^`]+)``"), r"\1"),
  (re.compile(r"`([^`]+)`_{0,2}"), r"\1"),
  (re.compile(r"\b[BCILMU]\{([^{}]*)\}"), r"\1"),
  (
    re.compile(
      r"(?<![\w*])(\*{1,2})(?=[^\s*])([^*\n]+?)(?<=[^\s*,])\1(?![\w*])"
    ),
    r"\2",
  ),
)


def split(docstring: str, room: int = 2000) -> tuple[str, str]:
  """Returns the first sentence and up to `room` characters after it.

  Both are plain text. The sentence is "" if the docstring does not start with
  prose. A signature on the first line, as in C extensions, is skipped.
  """
  # An escape in the source can spell half a surrogate pair.
  text = inspect.cleandoc(docstring)
  text = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
  lines = text.split("\n")
  start = 0
  if lines and _SIGNATURE.fullmatch(lines[0].strip()):
    start = 1
  while start < len(lines) and not lines[start].strip():
    start += 1
  end = start
  while (
    end < len(lines)
    and lines[end].strip()
    and not _STOP.match(lines[end].strip())
  ):
    end += 1
  first = " ".join(" ".join(lines[start:end]).split())
  after = "\n".join(lines[end:])
  cut = _sentence_end(first)
  rest = "\n".join(part for part in (first[cut:].strip(), after) if part)
  return plain(first[:cut]).strip(), plain(rest[:room]).strip()


def _sentence_end(text: str) -> int:
  for match in _SENTENCE_END.finditer(text):
    if not _ABBREVIATION.search(text[: match.start() + 1]):
      return match.end()
  return len(text)


def plain(text: str) -> str:
  """Returns `text` without the markup of reStructuredText and Epytext."""
  if "`" in text or "*" in text or "{" in text:
    for pattern, replacement in _MARKUP:
      text = pattern.sub(replacement, text)
  return text


def words(text: str) -> int:
  """Returns the number of words.

  A word is a run of characters that has a letter, or a word of a script without
  spaces; see `unicode_text.words`.
  """
  return sum(
    any(c.isalpha() for c in word)
    for run in text.split()
    for word in ([run] if run.isascii() else unicode_text.words(run))
  )


def without(sentence: str, text: str) -> str:
  """Returns `text` without any repetition of `sentence`.

  Repetitions may differ in punctuation, case and line breaks.
  """
  parts = re.findall(r"\w+", sentence)
  if squeeze(sentence) not in squeeze(text):
    return text
  pattern = r"\W+".join(map(re.escape, parts))
  return re.sub(rf"\b{pattern}\b\W?", "", text, flags=re.IGNORECASE)


def squeeze(text: str) -> str:
  """Returns the letters and digits of `text`, casefolded, for comparison."""
  return text.casefold().translate(_NOT_ALPHANUMERIC)


_NOT_ALPHANUMERIC = {
  code: None for code in range(128) if not chr(code).isalnum()
}
