# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Local copies of data in a bucket (gs://, s3://).

Training reads tens of thousands of rows a second in random order, and each
would be a request to the bucket. So before a job starts, each host copies what
the job reads (one split, or its token ids) and reads the copy.

A copy reflects one state of the remote folder: when a file changes there, the
next job makes another copy, which reuses unchanged files. While a file is being
copied it is called NAME.part, and an interrupted job resumes it. Processes on
one machine share the copies.
"""

import collections
from collections.abc import Callable
from collections.abc import Iterator
import concurrent.futures
import contextlib
import errno
import fcntl
import hashlib
import json
import os
import pathlib
import shutil
from typing import Any
from typing import cast
from typing import NamedTuple

from nomic_jax.errors import Stopped
from nomic_jax.errors import UserError
from nomic_jax.storage import buckets
from nomic_jax.storage import files as files_lib
from nomic_jax.storage.progress import Progress
from nomic_jax.storage.values import JsonObject

ENVIRONMENT = "NOMIC_JAX_CACHE"  # the folder for copies; default: ~/.cache

_PIECE = 16 << 20  # bytes per request
_THREADS = 16  # concurrent requests
_PART = ".part"
_MB = 10**6
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG)
# Details by which fsspec's file systems show that an object was replaced.
_STATE = (
  "generation",
  "etag",
  "ETag",
  "md5Hash",
  "LastModified",
  "mtime",
  "updated",
)


class _File(NamedTuple):
  name: str  # relative to the folder
  remote: str  # path in the file system
  size: int
  state: str


def local(
  path: str | os.PathLike, wanted: Callable[[str], bool] = lambda name: True
) -> str:
  """Returns a local folder: the given one, or a copy of a remote one.

  Args:
    path: a folder; a local one is returned unchanged.
    wanted: selects the files to copy by their names in the folder. Others may
      be missing from the copy.

  Raises:
    UserError: if nothing is there, the bucket refuses, or the disk is full.
    Stopped: if the bucket does not answer; the same call resumes.
  """
  if not buckets.is_remote(path):
    return os.fspath(path)
  with buckets.errors(path, unreachable=Stopped):
    files = _listed(path)
    if not files:
      raise UserError(f"{path}: the bucket holds nothing at this address")
    home = _home(path)
    folder = home / _key(files)
    home.mkdir(parents=True, exist_ok=True)
    with _locked(home):
      folder.mkdir(exist_ok=True)
      missing = [
        f for f in files if wanted(f.name) and _size(folder / f.name) != f.size
      ]
      _supersede(home, folder, files)
      _copy(
        path, folder, [f for f in missing if _size(folder / f.name) != f.size]
      )
      if missing and _key(_listed(path)) != folder.name:
        raise UserError(
          f"{path}: it changed while it was being copied; run the same command "
          "again when nothing writes there"
        )
  return str(folder)


def file_or_folder(
  path: str | os.PathLike, wanted: Callable[[str], bool] = lambda name: True
) -> str:
  """Returns the local path of one file, or of a folder as `local` does."""
  if buckets.is_remote(path):
    with buckets.errors(path, unreachable=Stopped):
      remote = buckets.as_path(path)
      if buckets.retry(remote.is_file):
        return os.path.join(
          local(str(path).rpartition("/")[0], remote.name.__eq__), remote.name
        )
  return local(path, wanted)


def state(path: str | os.PathLike) -> str:
  """Returns a hash of a remote folder's state; "" for a local folder."""
  if not buckets.is_remote(path):
    return ""
  with buckets.errors(path, unreachable=Stopped):
    return _key(_listed(path))


def sizes(path: str | os.PathLike) -> dict[str, int]:
  """Returns the sizes in bytes of a folder's files by name; {} if none."""
  if buckets.is_remote(path):
    with buckets.errors(path, unreachable=Stopped):
      return {f.name: f.size for f in _listed(path)}
  folder = pathlib.Path(path)
  return {
    str(p.relative_to(folder)): p.stat().st_size
    for p in folder.rglob("*")
    if p.is_file()
  }


def holds(path: str | os.PathLike, name: str) -> bool:
  """Returns whether `path` is an address of a folder with such a file."""
  if not buckets.is_remote(path):
    return False
  with buckets.errors(path, unreachable=Stopped):
    return (buckets.as_path(path) / name).exists()


def _home(path: str | os.PathLike) -> pathlib.Path:
  """Returns the folder of all copies of a remote folder."""
  cache = os.environ.get(ENVIRONMENT) or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or "~/.cache", "nomic_jax"
  )
  address = str(path).rstrip("/")
  short = hashlib.blake2b(address.encode(), digest_size=4).hexdigest()
  return pathlib.Path(cache).expanduser() / (
    f"{address.rpartition('/')[2]}-{short}"
  )


def _listed(path: str | os.PathLike) -> list[_File]:
  """Returns the files of a remote folder, sorted by name."""
  files, inside = buckets.files(buckets.as_path(path))
  files.invalidate_cache()
  try:
    details = cast(
      dict[str, JsonObject],
      buckets.retry(lambda: files.find(inside, detail=True)),
    )
  except FileNotFoundError:
    return []
  return [
    _File(
      name[len(inside) + 1 :],
      name,
      info["size"],
      " ".join(str(info[k]) for k in _STATE if info.get(k)),
    )
    for name, info in sorted(details.items())
    if info["type"] == "file" and not name.endswith("/")
  ]


def _key(files: list[_File]) -> str:
  text = "\n".join(f"{f.name} {f.size} {f.state}" for f in files)
  return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


@contextlib.contextmanager
def _locked(home: pathlib.Path) -> Iterator[None]:
  """Lets one process of this machine copy while the others wait."""
  with open(home / "lock", "w", encoding="utf-8") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    yield


def _size(path: pathlib.Path) -> int:
  return path.stat().st_size if path.is_file() else -1


def _supersede(
  home: pathlib.Path, folder: pathlib.Path, files: list[_File]
) -> None:
  """Makes `folder` the only copy; it takes over files shared with others."""
  listing = {f.name: [f.size, f.state] for f in files}
  record = folder.with_suffix(".json")  # the states of its files
  if not record.is_file():
    for other in home.glob("*.json"):
      old = other.with_suffix("")
      before = json.loads(other.read_text(encoding="utf-8"))
      for name in (n for n in listing if before.get(n) == listing[n]):
        for file in (name, name + _PART):
          if (old / file).is_file() and not (folder / file).exists():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            os.link(old / file, folder / file)
    with files_lib.replacing(record) as temporary:
      temporary.write_text(json.dumps(listing), encoding="utf-8")
  for old in home.iterdir():
    if old.is_dir() and old != folder:
      shutil.rmtree(old, ignore_errors=True)
    elif old.suffix == ".json" and old != record:
      old.unlink()


def _copy(
  path: str | os.PathLike, folder: pathlib.Path, missing: list[_File]
) -> None:
  """Copies files; parts that are already here are not requested again."""
  here = {f: max(_size(folder / (f.name + _PART)), 0) for f in missing}
  needed = sum(f.size - here[f] for f in missing)
  free = shutil.disk_usage(folder).free
  if free < needed:
    raise UserError(
      f"{path}: its copy on this machine needs {needed / 1e9:,.1f} GB more "
      f"but {folder.parent} has {free / 1e9:,.1f} GB free; free some space or "
      f"set {ENVIRONMENT} to a folder on a larger disk, or on /dev/shm"
    )
  if not missing:
    return
  total = sum(f.size for f in missing)
  try:
    with (
      Progress(
        total // _MB, "MB", f"copy {path}", start=sum(here.values()) // _MB
      )
      if total >= _MB
      else contextlib.nullcontext() as progress
    ):
      done = shown = sum(here.values())
      for file, piece in _pieces(path, missing, here):
        part = folder / (file.name + _PART)
        part.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "ab") as out:
          out.write(piece)
          out.flush()
          os.fsync(out.fileno())  # its length tells how much is valid
        done += len(piece)
        if progress:
          progress.update((done - shown) // _MB)
        shown += (done - shown) // _MB * _MB
        if _size(part) >= file.size:
          part.rename(folder / file.name)
  except OSError as e:
    if e.errno not in _DISK:
      raise
    raise UserError(
      f"{folder}: cannot be written: {e.strerror}; free some space or set "
      f"{ENVIRONMENT} to another folder, then run the same command to resume "
      "the copy"
    ) from e


def _pieces(
  path: str | os.PathLike, missing: list[_File], here: dict[_File, int]
) -> Iterator[tuple[_File, bytes]]:
  """Yields the files' bytes in order, fetching some pieces ahead."""
  files, _ = buckets.files(buckets.as_path(path))

  def fetch(file: _File, start: int) -> bytes:
    end = min(start + _PIECE, file.size)
    if start == end:  # an empty file
      return b""
    piece = cast(
      bytes,
      buckets.retry(lambda: files.cat_file(file.remote, start=start, end=end)),
    )
    if len(piece) != end - start:
      raise UserError(
        f"{path}/{file.name}: got {len(piece):,} bytes, expected "
        f"{end - start:,}; run the same command when nothing writes there"
      )
    return piece

  wanted = iter(
    [
      (f, start)
      for f in missing
      for start in range(here[f], max(f.size, here[f] + 1), _PIECE)
    ]
  )
  with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
    ahead: collections.deque[Any] = collections.deque()
    try:
      while True:
        while len(ahead) < 2 * _THREADS and (piece := next(wanted, None)):
          ahead.append((piece[0], pool.submit(fetch, *piece)))
        if not ahead:
          return
        file, future = ahead.popleft()
        yield file, future.result()
    finally:
      pool.shutdown(cancel_futures=True)
