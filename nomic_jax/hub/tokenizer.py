# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A model directory's tokenizer: tokenizer.json and transformers' files."""

import json
import os
import pathlib
import shutil

import tokenizers

from nomic_jax.errors import UserError
from nomic_jax.storage.keys import read_json
from nomic_jax.storage.values import JsonObject
from nomic_jax.text import special_tokens
from nomic_jax.text import tokenizer as tokenizer_lib

NAME = "tokenizer.json"
SETTINGS = "tokenizer_config.json"
# Files beside tokenizer.json with the same information for older readers.
TOKENS = "special_tokens_map.json"
VOCABULARY = "vocab.txt"


def find(directory: pathlib.Path) -> pathlib.Path:
  """Returns the path of tokenizer.json in a directory.

  Raises:
    UserError: if there is none.
  """
  path = directory / NAME
  if not path.is_file():
    raise UserError(
      f"{directory}: no {NAME}; create it with AutoTokenizer.from_pretrained "
      "and save_pretrained of transformers"
    )
  return path


def longest_text(directory: pathlib.Path) -> int | None:
  """Returns the limit in tokens in a directory's tokenizer_config.json."""
  path = directory / SETTINGS
  if not path.is_file():
    return None
  values = read_json(path)
  limit = values.get("model_max_length") if isinstance(values, dict) else None
  # transformers writes 1e30 for no limit.
  return limit if isinstance(limit, int) and 0 < limit < 10**9 else None


def write(
  directory: pathlib.Path,
  tokenizer: tokenizers.Tokenizer | str | os.PathLike,
  max_tokens: int,
  pad_id: int = 0,
) -> None:
  """Writes a tokenizer to a model directory.

  Args:
    directory: the directory of the model.
    tokenizer: a tokenizer.json, a directory with one, or a
      `tokenizers.Tokenizer`.
    max_tokens: the longest text, for transformers.
    pad_id: the id that transformers pads with if no token has that role.
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
      # Files beside tokenizer.json changed the tokenizer: write the result, so
      # that all readers get the same.
      values, source = json.loads(tokenizer.to_str()), None
  # Truncation and padding are for the reader to choose; some published files
  # contain the settings of the run that last saved them.
  values |= {"truncation": None, "padding": None}
  (directory / NAME).write_text(
    json.dumps(values, ensure_ascii=False, indent=2), encoding="utf-8"
  )
  settings = {  # with these, tokenizer.json is used unchanged
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
  values: JsonObject, tokenizer: tokenizers.Tokenizer
) -> JsonObject:
  """Returns a file's values without roles whose token the vocabulary lacks."""
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


def _dump(path: pathlib.Path, values: JsonObject) -> None:
  path.write_text(
    json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
  )
