# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Copies on this machine of data that is in a bucket (gs://, s3://).

Training reads tens of thousands of rows a second in random order, each of
which would be a request to the bucket. So each host copies what a job reads,
one split or its token ids, before the job starts, and reads that from there.

A copy is of one state of the remote folder: when a file changes there, the
next job makes another copy, which takes over the files that are the same. A
file gets its name when all its bytes have arrived; until then it is NAME.part,
which an interrupted job continues. Processes of one machine share the copies.
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
from typing import NamedTuple

from nomic_jax.errors import Stopped
from nomic_jax.errors import UserError
from nomic_jax.storage import buckets
from nomic_jax.storage import files as files_lib
from nomic_jax.storage.progress import Progress

ENVIRONMENT = "NOMIC_JAX_CACHE"  # the folder of the copies, instead of ~/.cache

_PIECE = 16 << 20  # bytes that are asked for at once
_THREADS = 16  # so many pieces at a time
# By which the file systems of fsspec tell that an object was replaced.
_PART = ".part"
_MB = 10**6
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG)
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
  name: str  # in the folder
  remote: str  # for the file system
  size: int
  state: str


def local(
  path: str | os.PathLike, wanted: Callable[[str], bool] = lambda name: True
) -> str:
  """Returns where the files of a folder can be read: it or a copy of it.

  Args:
    path: a folder; one that is no address is returned as it is.
    wanted: whether a file is to be read, by its name in the folder. Others may
      be missing from the copy.

  Raises:
    UserError: if there is nothing, the bucket refuses, or there is no space.
    Stopped: if the bucket does not answer; the same call continues.
  """
  if not buckets.is_remote(path):
    return os.fspath(path)
  with buckets.errors(path, unreachable=Stopped):
    files = _listed(path)
    if not files:
      raise UserError(f"{path}: there is nothing in that place of the bucket")
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
          f"{path}: it changed while it was copied to this machine; run the "
          "same command when nothing writes there"
        )
  return str(folder)


def file_or_folder(
  path: str | os.PathLike, wanted: Callable[[str], bool] = lambda name: True
) -> str:
  """As `local`, of one file as well as of a folder."""
  if buckets.is_remote(path):
    with buckets.errors(path, unreachable=Stopped):
      place = buckets.place(path)
      if buckets.patiently(place.is_file):
        return os.path.join(
          local(str(path).rpartition("/")[0], place.name.__eq__), place.name
        )
  return local(path, wanted)


def state(path: str | os.PathLike) -> str:
  """Returns what differs whenever a remote folder does; "" for a local one."""
  if not buckets.is_remote(path):
    return ""
  with buckets.errors(path, unreachable=Stopped):
    return _key(_listed(path))


def sizes(path: str | os.PathLike) -> dict[str, int]:
  """Bytes of the files of a folder, remote or local, by name; {} if none."""
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
  """Whether an address is a folder with a file of this name."""
  if not buckets.is_remote(path):
    return False
  with buckets.errors(path, unreachable=Stopped):
    return (buckets.place(path) / name).exists()


def _home(path: str | os.PathLike) -> pathlib.Path:
  """The folder of all copies of a remote folder."""
  cache = os.environ.get(ENVIRONMENT) or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or "~/.cache", "nomic_jax"
  )
  address = str(path).rstrip("/")
  short = hashlib.blake2b(address.encode(), digest_size=4).hexdigest()
  return pathlib.Path(cache).expanduser() / (
    f"{address.rpartition('/')[2]}-{short}"
  )


def _listed(path: str | os.PathLike) -> list[_File]:
  """The files of a remote folder, by name."""
  files, inside = buckets.files(buckets.place(path))
  files.invalidate_cache()
  try:
    found = buckets.patiently(lambda: files.find(inside, detail=True))
  except FileNotFoundError:
    return []
  return [
    _File(
      name[len(inside) + 1 :],
      name,
      info["size"],
      " ".join(str(info[k]) for k in _STATE if info.get(k)),
    )
    for name, info in sorted(found.items())
    if info["type"] == "file" and not name.endswith("/")
  ]


def _key(files: list[_File]) -> str:
  text = "\n".join(f"{f.name} {f.size} {f.state}" for f in files)
  return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


@contextlib.contextmanager
def _locked(home: pathlib.Path) -> Iterator[None]:
  """One process of this machine copies; the others wait and find it done."""
  with open(home / "lock", "w", encoding="utf-8") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    yield


def _size(path: pathlib.Path) -> int:
  return path.stat().st_size if path.is_file() else -1


def _supersede(
  home: pathlib.Path, folder: pathlib.Path, files: list[_File]
) -> None:
  """Makes `folder` the only copy; it takes over what it shares with others."""
  listing = {f.name: [f.size, f.state] for f in files}
  told = folder.with_suffix(".json")  # what its files are copies of
  if not told.is_file():
    for other in home.glob("*.json"):
      old = other.with_suffix("")
      before = json.loads(other.read_text(encoding="utf-8"))
      for name in (n for n in listing if before.get(n) == listing[n]):
        for kept in (name, name + _PART):
          if (old / kept).is_file() and not (folder / kept).exists():
            (folder / kept).parent.mkdir(parents=True, exist_ok=True)
            os.link(old / kept, folder / kept)
    with files_lib.replacing(told) as temporary:
      temporary.write_text(json.dumps(listing), encoding="utf-8")
  for old in home.iterdir():
    if old.is_dir() and old != folder:
      shutil.rmtree(old, ignore_errors=True)
    elif old.suffix == ".json" and old != told:
      old.unlink()


def _copy(
  path: str | os.PathLike, folder: pathlib.Path, missing: list[_File]
) -> None:
  """Copies files; what is there of one is not asked for again."""
  here = {f: max(_size(folder / (f.name + _PART)), 0) for f in missing}
  needed = sum(f.size - here[f] for f in missing)
  free = shutil.disk_usage(folder).free
  if free < needed:
    raise UserError(
      f"{path}: its copy on this machine takes {needed / 1e9:,.1f} GB more "
      f"and {folder.parent} has {free / 1e9:,.1f} GB left; make room or set "
      f"{ENVIRONMENT} to a folder on a larger disk, or on /dev/shm"
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
          os.fsync(out.fileno())  # its length says how much of it is good
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
      f"{folder}: cannot be written: {e.strerror}; make room or set "
      f"{ENVIRONMENT} to another folder, and run the same command to "
      "continue the copy"
    ) from e


def _pieces(
  path: str | os.PathLike, missing: list[_File], here: dict[_File, int]
) -> Iterator[tuple[_File, bytes]]:
  """Yields the files' bytes in order, some pieces being fetched ahead."""
  files, _ = buckets.files(buckets.place(path))

  def fetch(file: _File, start: int) -> bytes:
    end = min(start + _PIECE, file.size)
    if start == end:  # an empty file
      return b""
    piece = buckets.patiently(
      lambda: files.cat_file(file.remote, start=start, end=end)
    )
    if len(piece) != end - start:
      raise UserError(
        f"{path}/{file.name}: {len(piece):,} bytes came in place of "
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
