# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A model directory's tokenizer: tokenizer.json and what transformers adds."""

import json
import pathlib
import shutil
from typing import Any

from nomic_jax.errors import UserError
from nomic_jax.hub.keys import read_json

NAME = "tokenizer.json"
SETTINGS = "tokenizer_config.json"
# Files beside a tokenizer.json that say the same to older readers.
COMPANIONS = ("special_tokens_map.json", "vocab.txt")
# Roles by what their tokens are called in WordPiece and in XLM-R.
ROLES = {
    "unk_token": ("[UNK]", "<unk>"),
    "sep_token": ("[SEP]", "</s>"),
    "pad_token": ("[PAD]", "<pad>"),
    "cls_token": ("[CLS]", "<s>"),
    "mask_token": ("[MASK]", "<mask>"),
}


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


def write(directory: pathlib.Path, tokenizer: Any, max_tokens: int) -> None:
  """Writes a tokenizer into a model directory.

  Args:
    directory: where to.
    tokenizer: a tokenizer.json, a directory with one, or a
      `tokenizers.Tokenizer`.
    max_tokens: the longest text, told to transformers.
  """
  source = None
  if hasattr(tokenizer, "to_str"):
    values = json.loads(tokenizer.to_str())
  else:
    source = pathlib.Path(tokenizer)
    source = find(source) if source.is_dir() else source
    values = read_json(source)
  # How texts are cut and padded is the reader's affair; some published files
  # carry the settings of the last run that saved them.
  values |= {"truncation": None, "padding": None}
  (directory / NAME).write_text(
      json.dumps(values, ensure_ascii=False, indent=2), encoding="utf-8")
  settings = _settings(values)
  if source is not None:
    for name in COMPANIONS:
      if (source.parent / name).is_file():
        shutil.copyfile(source.parent / name, directory / name)
    if (source.parent / SETTINGS).is_file():
      settings = read_json(source.parent / SETTINGS)
  (directory / SETTINGS).write_text(
      json.dumps({"model_max_length": max_tokens} | settings, indent=2) + "\n",
      encoding="utf-8")


def _settings(values: dict[str, Any]) -> dict[str, Any]:
  """A tokenizer_config.json under which tokenizer.json is used as it is."""
  special = {t["content"] for t in values.get("added_tokens", [])}
  roles = {
      role: token for role, names in ROLES.items() for token in names
      if token in special
  }
  return roles | {
      "tokenizer_class": "PreTrainedTokenizerFast",
      "clean_up_tokenization_spaces": False,
      "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
  }
