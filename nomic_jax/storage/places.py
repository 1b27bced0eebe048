# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Where outputs go: one rule for every job, applied before its work starts.

A leading ~ is the home directory. Links are followed and kept. A path is vacant
if nothing is there, or a directory that holds nothing of the user's: an empty
one, or a new volume. Most directories are replaced by renaming the finished
one. A directory that cannot be renamed is filled instead: a mount point, the
current directory, or one whose parent is read-only. `fill` moves the contents
in, and `settle` completes that after a kill.
"""

from collections.abc import Callable
import functools
import inspect
import os
import pathlib
import re
import shutil
import tempfile
from typing import cast
from typing import TypeVar
import uuid

from nomic_jax.errors import UserError
from nomic_jax.storage import buckets
from nomic_jax.storage.values import Json
from nomic_jax.storage.values import Place

_Function = TypeVar("_Function", bound=Callable)

# Files that file systems, desktops and NAS devices add to any directory.
_SYSTEM = re.compile(
  r"lost\+found|\.snapshots?|\.zfs|System Volume Information|\$RECYCLE\.BIN|"
  r"Thumbs\.db|desktop\.ini|\.DS_Store|\.Trash(es|-\d+)|\.fseventsd|"
  r"\.Spotlight-V100|\.TemporaryItems|\.AppleDouble|__MACOSX|\._.*|"
  r"\.directory|@eaDir|#recycle|\.nfs[0-9a-f]+",
  re.I,
)
# Prefix of this project's own names inside a directory that is being filled.
_OWN = ".nomic_jax."
# Files that mark a directory as complete; they are moved in last.
_LAST = frozenset(
  ("config.json", "dataset_info.json", "index.json", "about.json")
)


def expanded(path: str) -> str:
  """Returns `path` with a leading ~ expanded, including that of "NAME=~/PATH".

  Addresses (gs://...) and paths without such a ~ are returned unchanged.
  """
  prefix, rest = _named(path)
  return prefix + os.path.expanduser(rest)


def _named(path: str) -> tuple[str, str]:
  """Splits "NAME=PATH" and "KIND:PATH" into the prefix and the path."""
  match = re.fullmatch(r"([^/~]*[=:])?(.*)", path, re.S)
  assert match, "the pattern fits any text"
  return match[1] or "", match[2]


def expanding(*names: str) -> Callable[[_Function], _Function]:
  """Returns a decorator that expands a leading ~ in path arguments.

  Args:
    *names: parameters that are paths, lists of paths or None; other objects,
      such as a loaded model, are passed on unchanged.
  """

  def decorated(function: _Function) -> _Function:
    signature = inspect.signature(function)
    if unknown := set(names) - signature.parameters.keys():
      raise TypeError(f"{function.__name__} has no parameters {unknown}")

    @functools.wraps(function)
    def call(*args, **kwargs):
      bound = signature.bind(*args, **kwargs)
      for name in bound.arguments.keys() & set(names):
        bound.arguments[name] = _expanded(bound.arguments[name])
      return function(*bound.args, **bound.kwargs)

    vars(call)["paths"] = names
    return cast(_Function, call)

  return decorated


def _expanded(value: Json) -> Json:
  if isinstance(value, str):
    return expanded(value)
  if isinstance(value, pathlib.PurePath):
    return type(value)(expanded(str(value)))
  if isinstance(value, (list, tuple)):
    return [_expanded(each) for each in value]
  return value


def listed(text: str) -> list[str]:
  """Splits `text` at commas, except those inside a path that exists."""
  parts, paths = text.split(","), []
  while parts:
    size = next(
      n
      for n in range(len(parts), 0, -1)
      if n == 1 or _exists(",".join(parts[:n]))
    )
    paths.append(expanded(",".join(parts[:size])))
    parts = parts[size:]
  return [path for path in paths if path]


def _exists(path: str) -> bool:
  path = expanded(path)
  return os.path.exists(path) or os.path.exists(_named(path)[1])


def real(path: str | os.PathLike) -> pathlib.Path:
  """Returns the absolute path that a local `path` resolves to."""
  return pathlib.Path(os.path.realpath(os.path.expanduser(path)))


def is_vacant(path: Place) -> bool:
  """Returns whether nothing of the user's is at `path`, which may be remote."""
  if not path.exists():
    return True
  return path.is_dir() and not _contents(path)


def is_system(name: str) -> bool:
  """Returns whether a relative path belongs to a file system, desktop or NAS.

  Such files come and go by themselves, so reading and comparing directories
  ignores them.
  """
  return any(map(_SYSTEM.fullmatch, name.split("/")))


def _contents(folder: Place) -> list[Place]:
  return [
    p
    for p in folder.iterdir()
    if not is_system(p.name) and not p.name.startswith(_OWN)
  ]


def is_fixed(path: pathlib.Path) -> bool:
  """Returns whether a `real` path exists and cannot be replaced by renaming."""
  if not path.exists():
    return False
  if os.path.ismount(path) or str(path) in _mounts():
    return True
  return path.is_dir() and (
    pathlib.Path.cwd().is_relative_to(path)
    or any(is_system(p.name) for p in path.iterdir())
    or not os.access(path.parent, os.W_OK | os.X_OK)
  )


def _mounts() -> set[str]:
  """Returns mount points; os.path.ismount misses binds on the same device."""
  try:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as f:
      fields = [line.split()[4] for line in f]
  except (OSError, IndexError):
    return set()
  octal = lambda match: chr(int(match[1], 8))
  return {re.sub(r"\\([0-7]{3})", octal, path) for path in fields}


def beside(
  path: pathlib.Path, suffix: str, hidden: bool = False
) -> pathlib.Path:
  """Returns where to keep files that belong to the output at a `real` path.

  Args:
    path: the output.
    suffix: appended to its name, such as ".parts".
    hidden: whether the name starts with a dot.

  Returns:
    A path on the same file system: a sibling or, for a directory that is
    filled, a path inside it that `is_vacant` ignores.
  """
  if path.is_dir() and is_fixed(path):
    return path / f"{_OWN}{suffix.lstrip('.')}"
  return path.with_name(f"{'.' * hidden}{path.name}{suffix}")


def check_folder(
  path: str | os.PathLike,
  refusal: str,
  known: Callable[[pathlib.Path], bool] = lambda path: False,
  keep: bool = False,
) -> None:
  """Checks that a directory can be written at `path`.

  Args:
    path: the output.
    refusal: the error message if something else is there.
    known: whether a path holds an earlier output.
    keep: whether an earlier output is left unchanged, and so need not be
      writable.

  Raises:
    UserError: `refusal`, or that the path is not writable.
  """
  if buckets.is_remote(path):
    return
  target = real(path)
  settle(target)
  if not is_vacant(target):
    if not (target.is_dir() and known(target)):
      raise UserError(refusal)
    if keep:
      return
  check_writable(path)


def check_file(path: str | os.PathLike) -> None:
  """Checks that a file can be written at `path`.

  Raises:
    UserError: if a directory is there, or the path is not writable, or there is
      no such bucket.
  """
  if buckets.is_remote(path):
    with buckets.errors(path):
      buckets.check_reachable(buckets.as_path(path).parent)
    return
  if real(path).is_dir():
    raise UserError(
      f"cannot write {path}: it is a directory; specify a file name"
    )
  check_writable(path)


def check_apart(output: str, *inputs: str | os.PathLike | None) -> None:
  """Checks that writing `output` does not replace an input.

  Raises:
    UserError: if it is one of `inputs`.
  """
  if any(
    each and not buckets.is_remote(each) and real(each) == real(output)
    for each in inputs
    if not buckets.is_remote(output)
  ):
    raise UserError(
      f"--output={output}: this is also the input; choose another path"
    )


def check_local(path: str | os.PathLike) -> None:
  """Raises UserError if `path` is an address, for jobs that write only here.

  Otherwise they would write to a folder called `gs:`.
  """
  # pathlib makes one slash of the two.
  if address := re.fullmatch(r"(\w+:)//?(?!/)(.+)", str(path)):
    raise UserError(
      f"cannot write {address[1]}//{address[2]}: this output cannot be in a "
      "bucket; choose a local path and copy it afterwards"
    )


def check_writable(path: str | os.PathLike) -> None:
  """Raises UserError unless a file can be created where `path` will be."""
  check_local(path)
  target = real(path)
  folder = target if target.is_dir() and is_fixed(target) else target.parent
  while not folder.exists() and folder != folder.parent:
    folder = folder.parent
  try:
    with tempfile.TemporaryFile(dir=folder):
      pass
  except OSError as e:
    why = e.strerror or e
    if not folder.is_dir():
      why = f"{os.path.relpath(folder)} is a file"
    raise UserError(f"cannot write {path}: {why}; choose another path") from e


def fill(temporary: pathlib.Path, path: pathlib.Path) -> None:
  """Replaces the contents of `path` by those of `temporary`.

  Args:
    temporary: a directory, at a path from `beside`.
    path: a directory that `is_fixed`.
  """
  old = path / f"{_OWN}{uuid.uuid4().hex[:8]}.old"
  old.mkdir()
  try:
    for entry in _contents(path):
      entry.rename(old / entry.name)
    temporary.rename(old.with_suffix(".new"))  # the output from here on
  finally:
    settle(path)


def settle(path: pathlib.Path) -> None:
  """Completes an interrupted `fill`, or undoes it if it had just begun."""
  if not path.is_dir():
    return
  for new in path.glob(f"{_OWN}*.new"):
    _move(new, path)
    shutil.rmtree(new.with_suffix(".old"), ignore_errors=True)
  for old in path.glob(f"{_OWN}*.old"):
    _move(old, path)


def _move(folder: pathlib.Path, to: pathlib.Path) -> None:
  for entry in sorted(folder.iterdir(), key=lambda p: p.name in _LAST):
    entry.rename(to / entry.name)
  folder.rmdir()
