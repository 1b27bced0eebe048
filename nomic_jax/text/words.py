# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""WordPiece of ASCII text with a cache of each word's ids.

The `tokenizers` library splits every word again, which is most of the cost of
making a batch from text. Looking repeated words up takes a seventh of the time
on one core. The library encodes words that are not in the cache, and all other
texts: those with other characters, control characters or special tokens, and
those of tokenizers other than BERT's.
"""

from collections.abc import Sequence
import json
import re
from typing import Any
from typing import cast

import numpy as np
import tokenizers

from nomic_jax.text import special_tokens
from nomic_jax.text import tokenizer as tokenizer_lib

# As in BERT: runs of letters and digits, and other visible characters alone.
_WORD = re.compile(r"[A-Za-z0-9]+|[!-/:-@\[-`{-~]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_MOST = 200_000  # cached words, some tens of MB
_PROBE = "Where's the getItem2 of a_list[0], (e.g. HTTPServer)? 3.14\n\tYes!"


class Words:
  """A tokenizer with a cache of words, which delegates other attributes."""

  def __init__(self, tokenizer: tokenizers.Tokenizer):
    self._tokenizer = tokenizer
    self._special = re.compile(
      "|".join(
        map(
          re.escape,
          sorted(
            t.content for t in tokenizer.get_added_tokens_decoder().values()
          ),
        )
      )
      or r"(?!)"
    )
    special = special_tokens.of(tokenizer)
    self._head, self._tail = _bytes(special.head), _bytes(special.tail)
    self._known: dict[str, bytes] = _Table(tokenizer)

  def __getattr__(self, name: str) -> Any:
    if name == "_tokenizer":  # while unpickling
      raise AttributeError(name)
    return getattr(self._tokenizer, name)

  def __reduce__(self):
    return Words, (self._tokenizer,)

  def encode_ids(self, texts: Sequence[str]) -> list[np.ndarray]:
    """Returns int32 ids with special tokens, equal to `encode_batch_fast`."""
    if len(self._known) > _MOST:
      self._known.clear()
    return [np.frombuffer(self._ids(text), np.int32) for text in texts]

  def _ids(self, text: str) -> bytes:
    if (
      not text.isascii()
      or (not text.isprintable() and _CONTROL.search(text))
      or (self._special.search(text))
    ):
      return _bytes(self._tokenizer.encode(text).ids)
    words = map(self._known.__getitem__, _WORD.findall(text))
    return self._head + b"".join(words) + self._tail


def _bytes(ids: Sequence[int]) -> bytes:
  return np.array(ids, np.int32).tobytes()


class _Table(dict):
  """Ids by word; a missing word is encoded by the library.

  On plain text, the normalizer lower-cases and splits identifiers. Both act on
  each word separately, so words can be encoded alone.
  """

  def __init__(self, tokenizer: tokenizers.Tokenizer):
    super().__init__()
    self._tokenizer = tokenizer

  def __missing__(self, word: str) -> bytes:
    ids = _bytes(self._tokenizer.encode(word, add_special_tokens=False).ids)
    self[word] = ids
    return ids


def cached(tokenizer: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
  """Returns a tokenizer that caches words, or the same one if unsupported."""
  parts = json.loads(tokenizer.to_str())
  steps = (parts["normalizer"] or {}).get("normalizers", [parts["normalizer"]])
  last = steps[-1] or {}
  plain = (
    parts["model"]["type"] == "WordPiece"
    and _is_bert(parts["pre_tokenizer"] or {})
    and last.get("type") == "BertNormalizer"
    and last.get("clean_text")
    and (
      len(steps) == 1
      or _splits_identifiers(steps[0])
      and steps[1:-1] in ([], [{"type": "NFC"}])
    )
    and not (parts["truncation"] or parts["padding"])
    # Added tokens that match normalized text would escape `_special`.
    and not any(t["normalized"] for t in parts["added_tokens"])
  )
  if not plain:
    return tokenizer
  words = Words(tokenizer)
  same = words.encode_ids([_PROBE])[0].tolist() == tokenizer.encode(_PROBE).ids
  # It has all attributes of the tokenizer.
  return cast(tokenizers.Tokenizer, words) if same else tokenizer


def _splits_identifiers(step: dict) -> bool:
  return (step.get("type"), step.get("pattern"), step.get("content")) == (
    "Replace",
    {"Regex": tokenizer_lib.APART},
    " ",
  )


def _is_bert(step: dict) -> bool:
  """Returns whether it is BERT's pre-tokenizer, or ours, which splits words."""
  first, *rest = step.get("pretokenizers", [step])
  return first.get("type") == "BertPreTokenizer" and (
    not rest
    or [
      (s.get("type"), s.get("pattern"), s.get("behavior"), s.get("invert"))
      for s in rest
    ]
    == [("Split", {"Regex": tokenizer_lib.PIECES}, "Isolated", False)]
  )
