# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Files that appear whole or not at all, and readers that name a bad row."""

import contextlib
import gzip
import json
import os
import pathlib
import shutil
from typing import Any, Iterator
import uuid
import zlib

from nomic_jax.errors import UserError
from nomic_jax.storage import buckets
from nomic_jax.storage import decoding
from nomic_jax.storage import places
from nomic_jax.storage import unicode_text


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


def read_jsonl(path: str | os.PathLike) -> Iterator[tuple[int, dict]]:
  """Yields (row number from 1, object) of a .jsonl or .jsonl.gz file.

  Blank lines are skipped, and texts are `decoding.safe`.

  Raises:
    UserError: naming file and row, when the file is missing, unreadable, cut
      short, not UTF-8, not JSON, or a row is not an object.
  """
  path = pathlib.Path(path)
  if not path.is_file():
    raise UserError(f"{path}: no such file; expected a .jsonl or .jsonl.gz")
  opened = gzip.open if path.suffix == ".gz" else open
  number = 0
  try:
    with opened(path, "rb") as stream:
      for number, data in decoding.lines(stream):
        where = f"{path}, row {number}"
        line = decoding.decode(data, where)
        if not unicode_text.blank(line):
          yield number, decoding.safe_json(parse_object(line, where))
  except (EOFError, gzip.BadGzipFile, zlib.error) as e:
    raise UserError(decoding.damaged(path, number + 1, "gzip", e)) from e
  except OSError as e:
    raise UserError(
        f"{path}, row {number + 1}: cannot be read: {e.strerror}") from e


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


def _mend_array(line: str) -> str:
  """How to mend a file whose rows are the elements of one JSON array."""
  return ("; jq -c '.[]' makes such lines of an array"
          if line.startswith("[") else "")


class _Repeated(ValueError):
  """A key that an object has twice."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  value = dict(pairs)
  if len(value) < len(pairs):
    keys = [key for key, _ in pairs]
    raise _Repeated(repr(next(k for k in keys if keys.count(k) > 1)))
  return value


def parse_object(line: str, where: str) -> dict:
  """Returns the JSON object in `line`, whose texts are not yet `safe`.

  Raises:
    UserError: saying what else stands at `where`.
  """
  try:
    value = json.loads(line.rstrip(), object_pairs_hook=_unique)
  except _Repeated as e:
    raise UserError(
        f"{where}: the key {e} stands there twice; remove one of them") from e
  except json.JSONDecodeError as e:
    raise UserError(
        f"{where}: not valid JSON ({e.msg} at column {e.colno}); expected one "
        f"object per line{_mend_array(line)}"
    ) from e
  except (ValueError, RecursionError) as e:  # huge numbers, deep nesting
    raise UserError(
        f"{where}: JSON beyond what Python reads ({e}); expected one object of "
        "texts and numbers per line"
    ) from e
  if not isinstance(value, dict):
    raise UserError(
        f"{where}: expected a JSON object, found {type(value).__name__}"
        f"{_mend_array(line)}")
  return value
