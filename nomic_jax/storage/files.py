# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Files that appear whole or not at all; JSON files, read whole."""

from collections.abc import Iterator
import contextlib
import json
import os
import pathlib
import shutil
from typing import Any
import uuid

from nomic_jax.errors import UserError
from nomic_jax.storage import buckets
from nomic_jax.storage import decoding
from nomic_jax.storage import places


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
  """Yields a temporary sibling of `path` that takes its place on success.

  What is made at the yielded path, a file or a directory, is renamed onto
  `path`; on an error it is removed and `path` stays as it was. A directory
  that stands at `path` is moved aside first and removed last; one that cannot
  be renamed is filled, see `places`. Links are followed. In a bucket it is
  copied there, file by file.

  Args:
    path: where the finished file or directory will stand.

  Raises:
    UserError: if the disk is full, the place cannot be written, or a file
      would replace a directory.
  """
  if buckets.is_remote(path):
    with buckets.uploading(path) as temporary:
      yield temporary
    return
  given, path = path, places.real(path)
  temporary = places.beside(path, f".{uuid.uuid4().hex[:8]}.tmp", hidden=True)
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    yield temporary
    if path.is_dir():
      _swap(temporary, path)
    elif places.is_fixed(path):  # a file that is a mount point
      shutil.copyfile(temporary, path)
    else:
      temporary.replace(path)
  except OSError as e:
    raise UserError(
      f"cannot write {given}: {e.strerror or e}; nothing was changed there, "
      "free some space or choose another place and run it again"
    ) from e
  finally:
    if temporary.is_dir():
      shutil.rmtree(temporary, ignore_errors=True)
    elif temporary.exists():
      temporary.unlink()


def _swap(temporary: pathlib.Path, path: pathlib.Path) -> None:
  """Puts the directory `temporary` in the place of the directory `path`."""
  if not temporary.is_dir():
    raise UserError(
      f"cannot write {path}: a directory stands there and a file was to be "
      "written; give the name of a file"
    )
  if places.is_fixed(path):
    places.fill(temporary, path)
    return
  old = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.old")
  path.rename(old)
  try:
    temporary.rename(path)
  except OSError:
    old.rename(path)
    raise
  shutil.rmtree(old)


def read_json(path: str | os.PathLike) -> Any:
  """Returns what is in a JSON file; texts are `decoding.safe`.

  Raises:
    UserError: if it is missing, not UTF-8 or not JSON.
  """
  try:
    data = pathlib.Path(path).read_bytes()
  except OSError as e:
    raise UserError(f"cannot read {path}: {e.strerror or e}") from e
  try:
    value = json.loads(decoding.decode(data, f"{path}: not valid JSON"))
  except (ValueError, RecursionError) as e:
    raise UserError(f"{path}: not valid JSON ({e}); copy it again") from e
  return decoding.safe_json(value)
