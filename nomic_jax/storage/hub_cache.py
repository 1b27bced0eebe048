# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A repository of the Hugging Face Hub, by name, in the local cache."""

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
  """Whether that may name a hub repository, there being no such path."""
  return bool(re.fullmatch(_HUB_NAME, str(path))) and (not os.path.exists(path))


@places.expanding("path")
def find(
  path: str | os.PathLike,
  patterns: Sequence[str],
  further: Callable[[pathlib.Path], Sequence[str]] = lambda folder: (),
) -> pathlib.Path:
  """Returns the local folder of a repository, downloading what is elsewhere.

  Args:
    path: a directory, one in a bucket, or a hub name such as
      nomic-ai/nomic-embed-text-v1.5, which is downloaded into
      huggingface_hub's cache or, with HF_HUB_OFFLINE=1, looked up there.
    patterns: the files of a hub repository to download.
    further: patterns of more files, which the first ones name.

  Raises:
    UserError: if a hub repository is neither cached nor can be downloaded.
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
  """A hub repository's files in the local cache."""
  import huggingface_hub
  from huggingface_hub import constants

  try:
    get = functools.partial(huggingface_hub.snapshot_download, name)
    found = pathlib.Path(get(allow_patterns=patterns))
    if more := further(found):
      found = pathlib.Path(get(allow_patterns=[*patterns, *more]))
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
