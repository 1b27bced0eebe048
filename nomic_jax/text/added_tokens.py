# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Tokens that the files beside a tokenizer.json add to it, as in transformers.

An added token is found in a text before the text is split into words.
"""

from collections.abc import Mapping
import pathlib

import tokenizers

from nomic_jax.errors import UserError
from nomic_jax.storage.keys import Keys
from nomic_jax.storage.keys import read_json
from nomic_jax.storage.values import Json
from nomic_jax.storage.values import JsonObject
from nomic_jax.text import special_tokens

_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
# Lists of special tokens that have no role.
_LISTS = ("additional_special_tokens", "extra_special_tokens")


def add(
  tokenizer: tokenizers.Tokenizer,
  settings: Keys,
  tokens: JsonObject,
  older: pathlib.Path,
) -> None:
  """Adds the tokens that tokenizer.json lacks.

  These are the tokens of added_tokens_decoder or, without this key, of
  added_tokens.json, and then the declared special tokens. One of the latter
  that is not in the vocabulary is left out, since the model has no embedding
  for it.

  Args:
    tokenizer: carries the tokens that `special_tokens.declare` recorded.
    settings: the keys of tokenizer_config.json.
    tokens: the contents of special_tokens_map.json.
    older: the path of added_tokens.json, which may be absent.

  Raises:
    UserError: for an unreadable file or a key of another type.
  """
  special = _special(tokenizer, settings, tokens)
  declared: Mapping[str, Json] = settings.get("added_tokens_decoder", dict, {})
  where = f"{settings.where}: added_tokens_decoder"
  if "added_tokens_decoder" not in settings:
    declared, where = _older(older, special), str(older)
  known = {t.content for t in tokenizer.get_added_tokens_decoder().values()}
  for i in sorted(declared, key=int):
    token = Keys(declared[i], where)
    content = token.get("content", str)
    if content not in known:
      known.add(content)
      flags = {name: token.get(name, bool, False) for name in _FLAGS}
      tokenizer.add_tokens([tokenizers.AddedToken(content, **flags)])
  tokenizer.add_special_tokens(
    [
      token
      for token in special
      if token not in known and tokenizer.token_to_id(token) is not None
    ]
  )


def _special(
  tokenizer: tokenizers.Tokenizer, settings: Keys, tokens: JsonObject
) -> list[str]:
  """Returns the special tokens that the files declare."""
  found = [*special_tokens.declared_of(tokenizer).values()]
  for name in _LISTS:
    for values in (settings.any(name), tokens.get(name)):
      listed = values if isinstance(values, list) else []
      for token in listed:
        token = token.get("content") if isinstance(token, Mapping) else token
        if isinstance(token, str):
          found.append(token)
  return found


def _older(path: pathlib.Path, special: list[str]) -> dict[str, Json]:
  """Returns added_tokens.json in the form of added_tokens_decoder."""
  values = read_json(path) if path.is_file() else {}
  if not isinstance(values, dict) or not all(
    type(i) is int for i in values.values()
  ):
    raise UserError(
      f"{path}: expected a JSON object from tokens to ids; copy it again"
    )
  return {
    str(i): {
      "content": token,
      "special": token in special,
      "normalized": token not in special,
    }
    for token, i in values.items()
  }
