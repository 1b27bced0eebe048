# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Long texts, cut before they are tokenised to about what is read of them.

A tokenizer takes time and memory for all of a text, of which a model reads the
first tokens. How many characters these take no rule tells, so the beginning of
a text is tokenised, and one twice as long, until enough tokens are sure.
"""

from collections.abc import Sequence

import tokenizers

_CHARACTERS = 8  # of a token, at first; English has 4 or 5
_LEAST = 512  # characters


def shorten(
  tokenizer: tokenizers.Tokenizer, texts: Sequence[str], tokens: int
) -> list[str]:
  """Cuts texts so that their first tokens are those of the whole texts.

  A token is sure if the beginning and one twice as long both have it, with all
  before it, and it is not of the last word of the shorter one; no rule of
  where words end is assumed. Of a tokenizer without words a text stays whole.

  Args:
    tokenizer: gives the tokens.
    texts: any texts; one that is no longer than it need be stays as it is.
    tokens: how many of each are read, special ones included.

  Returns:
    The texts, or beginnings of them, each with more than `tokens` tokens.
  """
  return [_shortened(tokenizer, text, tokens) for text in texts]


def _shortened(tokenizer: tokenizers.Tokenizer, text: str, tokens: int) -> str:
  size = max(_CHARACTERS * tokens, _LEAST)
  while 2 * size < len(text):
    if _sure(tokenizer, text, size) > tokens:
      return text[: 2 * size]
    size *= 2
  return text


def _sure(tokenizer: tokenizers.Tokenizer, text: str, size: int) -> int:
  """How many tokens of the first `size` characters are those of the text."""
  found, other = (
    tokenizer.encode(text[:n], add_special_tokens=False)
    for n in (size, 2 * size)
  )
  words = found.word_ids
  sure = 0
  for token, same, word in zip(found.ids, other.ids, words):
    if token != same or word is None or word == words[-1]:
      break
    sure += 1
  return sure
