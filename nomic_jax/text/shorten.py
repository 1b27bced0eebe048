# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Truncates long texts before tokenization to about what a model reads.

A tokenizer spends time and memory on a whole text, but a model reads only its
first tokens. The number of characters they take is not known in advance.
Therefore prefixes of the text are tokenised, each twice as long as the previous
one, until two of them agree on enough tokens.
"""

from collections.abc import Sequence

import tokenizers

_CHARACTERS = 8  # per token, as a first guess; English has 4 or 5
_LEAST = 512  # characters


def shorten(
  tokenizer: tokenizers.Tokenizer, texts: Sequence[str], tokens: int
) -> list[str]:
  """Truncates texts such that their first tokens do not change.

  A token counts as settled if a prefix of the text and one twice as long both
  start with the same tokens up to it, and it is not in the last word of the
  shorter one. No rule of where words end is assumed. If the tokenizer does not
  report words, the text is not truncated.

  Args:
    tokenizer: produces the tokens.
    texts: any texts; short ones are returned unchanged.
    tokens: how many tokens of each are read, including special tokens.

  Returns:
    The texts, or prefixes of them with more than `tokens` tokens.
  """
  return [_shortened(tokenizer, text, tokens) for text in texts]


def _shortened(tokenizer: tokenizers.Tokenizer, text: str, tokens: int) -> str:
  size = max(_CHARACTERS * tokens, _LEAST)
  while 2 * size < len(text):
    if _settled(tokenizer, text, size) > tokens:
      return text[: 2 * size]
    size *= 2
  return text


def _settled(tokenizer: tokenizers.Tokenizer, text: str, size: int) -> int:
  """Returns how many tokens of the first `size` characters are settled."""
  short, long = (
    tokenizer.encode(text[:n], add_special_tokens=False)
    for n in (size, 2 * size)
  )
  words = short.word_ids
  count = 0
  for token, expected, word in zip(short.ids, long.ids, words):
    if token != expected or word is None or word == words[-1]:
      break
    count += 1
  return count
