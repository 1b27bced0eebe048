# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A model directory's tokenizer: tokenizer.json and what transformers adds."""

import json
import os
import pathlib
import shutil
from typing import Any

import tokenizers

from nomic_jax.errors import UserError
from nomic_jax.storage.keys import read_json
from nomic_jax.text import special_tokens
from nomic_jax.text import tokenizer as tokenizer_lib

NAME = "tokenizer.json"
SETTINGS = "tokenizer_config.json"
# Files beside a tokenizer.json that say the same to older readers.
TOKENS = "special_tokens_map.json"
VOCABULARY = "vocab.txt"


def find(directory: pathlib.Path) -> pathlib.Path:
  """The tokenizer.json in a directory.

  Raises:
    UserError: if there is none.
  """
  path = directory / NAME
  if not path.is_file():
    raise UserError(
      f"{directory}: no {NAME}; expected one, as transformers' AutoTokenizer "
      "writes it with save_pretrained"
    )
  return path


def longest_text(directory: pathlib.Path) -> int | None:
  """The limit in tokens that a directory's tokenizer_config.json states."""
  path = directory / SETTINGS
  if not path.is_file():
    return None
  values = read_json(path)
  limit = values.get("model_max_length") if isinstance(values, dict) else None
  # transformers writes 1e30 for none.
  return limit if isinstance(limit, int) and 0 < limit < 10**9 else None


def write(
  directory: pathlib.Path,
  tokenizer: tokenizers.Tokenizer | str | os.PathLike,
  max_tokens: int,
  pad_id: int = 0,
) -> None:
  """Writes a tokenizer into a model directory.

  Args:
    directory: where to.
    tokenizer: a tokenizer.json, a directory with one, or a
      `tokenizers.Tokenizer`.
    max_tokens: the longest text, told to transformers.
    pad_id: what transformers pads with where no token is for that.
  """
  source = None
  if isinstance(tokenizer, tokenizers.Tokenizer):
    values = json.loads(tokenizer.to_str())
  else:
    source = pathlib.Path(tokenizer)
    source = find(source) if source.is_dir() else source
    values, tokenizer = read_json(source), tokenizer_lib.load(source)
    plain = tokenizers.Tokenizer.from_file(str(source))
    plain.no_truncation()
    plain.no_padding()
    if plain.to_str() != tokenizer.to_str():
      # Files beside it changed it: the change itself is written, so that it
      # does not depend on who reads them.
      values, source = json.loads(tokenizer.to_str()), None
  # How texts are cut and padded is the reader's affair; some published files
  # carry the settings of the last run that saved them.
  values |= {"truncation": None, "padding": None}
  (directory / NAME).write_text(
    json.dumps(values, ensure_ascii=False, indent=2), encoding="utf-8"
  )
  settings = {  # under which tokenizer.json is used as it is
    "tokenizer_class": "PreTrainedTokenizerFast",
    "clean_up_tokenization_spaces": False,
    "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
  }
  roles = special_tokens.settings(tokenizer, pad_id)
  if source is not None:
    if (source.parent / VOCABULARY).is_file():
      shutil.copyfile(source.parent / VOCABULARY, directory / VOCABULARY)
    if (source.parent / SETTINGS).is_file():
      settings = _known_tokens(read_json(source.parent / SETTINGS), tokenizer)
    if (source.parent / TOKENS).is_file():
      tokens = _known_tokens(read_json(source.parent / TOKENS), tokenizer)
      _dump(directory / TOKENS, roles | tokens)
  _dump(
    directory / SETTINGS, {"model_max_length": max_tokens} | roles | settings
  )


def _known_tokens(
  values: dict[str, Any], tokenizer: tokenizers.Tokenizer
) -> dict[str, Any]:
  """A file's values without roles that no token of the tokenizer has."""
  declared = special_tokens.declared_in(values)
  known = {
    role
    for role, token in declared.items()
    if tokenizer.token_to_id(token) is not None
  }
  return {
    k: v
    for k, v in values.items()
    if k in known or not (k in declared or k.endswith("_token") and v is None)
  }


def _dump(path: pathlib.Path, values: dict[str, Any]) -> None:
  path.write_text(
    json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
  )
