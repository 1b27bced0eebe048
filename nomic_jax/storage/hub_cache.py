# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Hugging Face Hub repositories, by name, in the local cache."""

from collections.abc import Callable
from collections.abc import Sequence
import functools
import os
import pathlib
import re

from nomic_jax.errors import nearest
from nomic_jax.errors import UserError
from nomic_jax.storage import buckets
from nomic_jax.storage import places

_HUB_NAME = r"(?!\.)[\w.-]+(/[\w.-]+)?"


def is_hub_name(path: str | os.PathLike) -> bool:
  """Returns whether `path` may name a Hub repository: no such path exists."""
  return bool(re.fullmatch(_HUB_NAME, str(path))) and (not os.path.exists(path))


@places.expanding("path")
def find(
  path: str | os.PathLike,
  patterns: Sequence[str],
  further: Callable[[pathlib.Path], Sequence[str]] = lambda folder: (),
) -> pathlib.Path:
  """Returns the local folder of a repository, downloading it if necessary.

  Args:
    path: a directory, one in a bucket, or a Hub name such as
      nomic-ai/nomic-embed-text-v1.5, which is downloaded into
      huggingface_hub's cache or, with HF_HUB_OFFLINE=1, looked up there.
    patterns: the files of a Hub repository to download.
    further: returns patterns of more files, given the folder with the first.

  Raises:
    UserError: if a Hub repository is not cached and cannot be downloaded.
  """
  directory = pathlib.Path(buckets.fetch(path))
  if is_hub_name(path) and not directory.exists():
    return _download(str(path), patterns, further)
  return directory


def _download(
  name: str,
  patterns: Sequence[str],
  further: Callable[[pathlib.Path], Sequence[str]],
) -> pathlib.Path:
  """Downloads a Hub repository's files into the local cache."""
  import huggingface_hub
  from huggingface_hub import constants

  try:
    get = functools.partial(huggingface_hub.snapshot_download, name)
    folder = pathlib.Path(get(allow_patterns=[*patterns]))
    if more := further(folder):
      folder = pathlib.Path(get(allow_patterns=[*patterns, *more]))
    return folder
  except (OSError, ValueError) as e:  # includes the Hub's own errors
    if constants.HF_HUB_OFFLINE:
      why = "is not cached, and HF_HUB_OFFLINE=1 forbids downloading it"
    else:
      why = f"could not be downloaded ({str(e).strip().splitlines()[0]})"
    raise UserError(
      f"{name}: there is no such directory, and as a Hub model it {why}; "
      "specify a directory, or correct the name or the connection"
      + hint(pathlib.Path(name))
    ) from e


def hint(directory: pathlib.Path) -> str:
  """Returns a suggestion for a directory that does not exist, or ""."""
  if directory.exists() or not directory.parent.is_dir():
    return ""
  return nearest(directory.name, [p.name for p in directory.parent.iterdir()])
