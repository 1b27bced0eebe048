# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Files that appear whole or not at all; reading JSON files."""

from collections.abc import Iterator
import contextlib
import functools
import hashlib
import json
import os
import pathlib
import shutil
import uuid

from nomic_jax.errors import UserError
from nomic_jax.storage import buckets
from nomic_jax.storage import decoding
from nomic_jax.storage import places
from nomic_jax.storage.values import Json


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
  """Yields a temporary sibling of `path` that replaces it on success.

  The file or directory created at the yielded path is renamed to `path`; on an
  error it is removed and `path` is unchanged; what a killed process left is
  removed by the next one. A directory already at `path` is moved aside first
  and removed last; one that cannot be renamed is filled (see `places`). Links
  are followed. In a bucket, files are uploaded one by one.

  Args:
    path: the finished file or directory.

  Raises:
    UserError: if the disk is full, the path is not writable, or a file would
      replace a directory.
  """
  if buckets.is_remote(path):
    with buckets.uploading(path) as temporary:
      yield temporary
    return
  given, path = path, places.real(path)
  # Named for its process, see `_remove_left`.
  prefix = places.beside(path, f".{_machine()}.", hidden=True)
  temporary = prefix.with_name(
    f"{prefix.name}{os.getpid()}.{uuid.uuid4().hex[:6]}.tmp"
  )
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(PermissionError):  # a folder that cannot be listed
      _remove_left(prefix)
    yield temporary
    if path.is_dir():
      _swap(temporary, path)
    elif places.is_fixed(path):  # a file that is a mount point
      shutil.copyfile(temporary, path)
    else:
      temporary.replace(path)
  except OSError as e:
    raise UserError(
      f"cannot write {given}: {e.strerror or e}; nothing was changed there; "
      "free some space or choose another path and run the command again"
    ) from e
  finally:
    if temporary.is_dir():
      shutil.rmtree(temporary, ignore_errors=True)
    elif temporary.exists():
      temporary.unlink()


@functools.cache
def _machine() -> str:
  """Returns a name of this boot of the machine, or of the container."""
  try:
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text()
    space = os.readlink("/proc/self/ns/pid")
  except OSError:
    return uuid.uuid4().hex[:6]  # no other process has it: nothing is removed
  return hashlib.sha256(f"{boot}{space}".encode()).hexdigest()[:6]


def _remove_left(prefix: pathlib.Path) -> None:
  """Removes temporary siblings of processes that were killed.

  Args:
    prefix: a path that they start with, followed by PID.RANDOM.tmp.
  """
  for name in os.listdir(prefix.parent):
    pid, _, end = name.removeprefix(prefix.name).partition(".")
    if not (name.startswith(prefix.name) and pid.isdigit()):
      continue
    if not end.endswith(".tmp"):
      continue
    left = prefix.with_name(name)
    try:
      os.kill(int(pid), 0)  # raises if there is no such process
    except ProcessLookupError:
      if left.is_dir():
        shutil.rmtree(left, ignore_errors=True)
      else:
        left.unlink(missing_ok=True)
    except OSError:
      continue  # another user's


def _swap(temporary: pathlib.Path, path: pathlib.Path) -> None:
  """Replaces the directory `path` by the directory `temporary`."""
  if not temporary.is_dir():
    raise UserError(
      f"cannot write {path}: it is a directory and a file was to be written; "
      "specify a file name"
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


def read_json(path: str | os.PathLike) -> Json:
  """Returns the content of a JSON file; strings are `decoding.safe`.

  Raises:
    UserError: if the file is missing, not UTF-8 or not JSON.
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
