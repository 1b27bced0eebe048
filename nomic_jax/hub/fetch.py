# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Where a model or a tokenizer lies, by a path, an address or a hub name."""

import functools
import os
import pathlib
import re
from typing import Sequence

from nomic_jax import buckets
from nomic_jax import places
from nomic_jax.errors import nearest
from nomic_jax.errors import UserError
from nomic_jax.hub import modules
from nomic_jax.hub.weights import WEIGHTS

_HUB_NAME = r"(?!\.)[\w.-]+(/[\w.-]+)?"
# Files of a hub model; modules.json names the folders with further weights.
HUB_FILES = ("*.json", "*.txt", WEIGHTS, "model-*.safetensors",
             "*LayerNorm/model.safetensors", "*Dense/model.safetensors")
TOKENIZER_FILES = ("tokenizer*.json", "special_tokens_map.json",
                   "sentence_bert_config.json", "config.json")


def is_hub_name(path: str | os.PathLike) -> bool:
  """Whether that may name a hub model, there being no such path."""
  return bool(re.fullmatch(_HUB_NAME, str(path))) and (
      not os.path.exists(path))


@places.expanding("path")
def find(
    path: str | os.PathLike, patterns: Sequence[str] = HUB_FILES
) -> pathlib.Path:
  """Where a model lies on this disk; what is elsewhere is fetched.

  Every place where a model or a tokenizer may be named goes through here.

  Args:
    path: a directory, one in a bucket, or a hub name such as
      nomic-ai/nomic-embed-text-v1.5, which is downloaded into
      huggingface_hub's cache or, with HF_HUB_OFFLINE=1, looked up there.
    patterns: of the files of a hub model that are wanted.

  Raises:
    UserError: if a hub model is neither in the cache nor to be had.
  """
  directory = pathlib.Path(buckets.fetch(path))
  return _download(str(path), patterns) if is_hub_name(path) and (
      not directory.exists()) else directory


def _download(name: str, patterns: Sequence[str]) -> pathlib.Path:
  """A hub model's files in the local cache."""
  import huggingface_hub
  from huggingface_hub import constants

  try:
    get = functools.partial(huggingface_hub.snapshot_download, name)
    found = pathlib.Path(get(allow_patterns=patterns))
    if patterns == HUB_FILES and (found / modules.FILE).is_file():
      found = pathlib.Path(get(allow_patterns=[
          *HUB_FILES, *(f"{folder}/*" for folder in modules.folders(found))]))
    return found
  except (OSError, ValueError) as e:  # the hub's own errors are among these
    if constants.HF_HUB_OFFLINE:
      why = "is not in the cache, and HF_HUB_OFFLINE=1 forbids to download it"
    else:
      why = f"could not be downloaded ({str(e).strip().splitlines()[0]})"
    raise UserError(
        f"{name}: there is no such directory, and as a hub model it {why}; "
        "give a directory, or mend the name or the connection"
        + hint(pathlib.Path(name))
    ) from e


def hint(directory: pathlib.Path) -> str:
  """What else may have been meant by a directory that is not there."""
  if directory.exists() or not directory.parent.is_dir():
    return ""
  return nearest(directory.name, [p.name for p in directory.parent.iterdir()])
