# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Opening local and remote files (gs://, s3:// and other fsspec addresses).

Set AWS_ENDPOINT_URL to use an S3-compatible store such as R2 or MinIO. Requests
that fail are retried with growing waits, and reading resumes at the byte where
it broke off.
"""

from collections.abc import Callable
import gzip
import io
import os
import time
from typing import BinaryIO
from typing import cast
from typing import TYPE_CHECKING
from typing import TypeVar

from nomic_jax.errors import UserError
from nomic_jax.storage import buckets

if TYPE_CHECKING:
  from _typeshed import WriteableBuffer

T = TypeVar("T")

_TRIES = 6
_FIRST_WAIT = 1.0  # seconds; doubles with each retry
# Errors that a retry does not change.
_FINAL = (
  FileNotFoundError,
  IsADirectoryError,
  UserError,
  ImportError,
  MemoryError,
)


def absolute(path: str) -> str:
  """Returns an absolute path, valid in any working directory."""
  return path if buckets.is_remote(path) else os.path.abspath(path)


def name(path: str) -> str:
  """Returns the last part of a path."""
  return path.rstrip("/").rsplit("/", 1)[-1]


def join(folder: str, *parts: str) -> str:
  """Returns a path inside a folder, local or remote."""
  return "/".join([folder.rstrip("/"), *parts])


def is_file(path: str) -> bool:
  """Returns whether a local or remote file exists."""
  if not buckets.is_remote(path):
    return os.path.isfile(path)
  files, inside = buckets.files(path)
  return _retried(lambda: files.isfile(inside), path)


def list_folder(path: str) -> list[str] | None:
  """Returns the sorted paths in a folder, or None if it does not exist."""
  if not buckets.is_remote(path):
    if not os.path.isdir(path):
      return None
    return [join(path, each) for each in sorted(os.listdir(path))]
  files, inside = buckets.files(path)
  if not _retried(lambda: files.isdir(inside), path):
    return None
  entries = _retried(lambda: files.ls(inside, detail=False), path)
  return [join(path, each) for each in sorted(map(name, entries))]


def stamp(path: str) -> list:
  """Returns [name, size, time or version] of a file; [name] if missing.

  The result changes when the file does, and needs no reading of the file.
  """
  try:
    if not buckets.is_remote(path):
      info = os.stat(path)
      return [name(path), info.st_size, info.st_mtime_ns]
    files, inside = buckets.files(path)
    info = _retried(lambda: files.info(inside), path)
  except FileNotFoundError:
    return [name(path)]
  version = next(
    (
      info[key]
      for key in (
        "ETag",
        "etag",
        "generation",
        "mtime",
        "LastModified",
        "updated",
        "created",
      )
      if info.get(key)
    ),
    "",
  )
  return [name(path), info.get("size"), str(version)]


def open_binary(path: str) -> io.BufferedIOBase:
  """Opens a file, decompressing it if its name ends in .gz or .zst.

  Raises:
    FileNotFoundError: if it does not exist.
    UserError: if a bucket does not answer, or a package is missing.
  """
  if buckets.is_remote(path):
    raw = _Remote(path)
  else:
    raw = open(path, "rb", buffering=0)
  stream = io.BufferedReader(raw, 1 << 20)
  if path.endswith(".gz"):
    # Not buffered again, so that all lines before a truncation are read.
    return gzip.GzipFile(fileobj=stream)
  if path.endswith(".zst"):
    return io.BufferedReader(_Zstandard(stream), 1 << 18)
  return stream


def open_seekable(path: str) -> io.BufferedReader:
  """Opens a file for random access, without decompressing it."""
  return (
    open(path, "rb")
    if not buckets.is_remote(path)
    else io.BufferedReader(_Remote(path), 1 << 20)
  )


def _retried(ask: Callable[[], T], path: str) -> T:
  """Calls `ask` until the bucket answers and returns its result.

  Raises:
    UserError: after the last retry, or at once if credentials or permissions
      are missing.
  """
  attempt = 0
  while True:
    try:
      return ask()
    except _FINAL:
      raise
    except Exception as e:  # Every file system has its own errors.
      if (buckets.classify(e) or ("unreachable",))[0] != "unreachable":
        with buckets.errors(path):
          raise
      attempt += 1
      if attempt == _TRIES:
        raise UserError(
          f"{path}: cannot be read, tried {_TRIES} times "
          f"({type(e).__name__}: {' '.join(str(e).split())}); check the "
          "bucket and run the same command again"
        ) from e
      time.sleep(_FIRST_WAIT * 2 ** (attempt - 1))


class _Remote(io.RawIOBase):
  """A file in a bucket, reopened where reading broke off."""

  def __init__(self, path: str):
    self._path, self._at, self._file = path, 0, None
    self._file = _retried(self._open, path)

  def _open(self) -> BinaryIO:
    files, inside = buckets.files(self._path)
    file = cast(BinaryIO, files.open(inside, "rb"))
    if self._at:
      file.seek(self._at)
    return file

  def readable(self) -> bool:
    """Returns True."""
    return True

  def seekable(self) -> bool:
    """Returns True."""
    return True

  def tell(self) -> int:
    """Returns the position in bytes."""
    return self._at

  def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
    """Moves to a position; the next read opens the file there."""
    if whence == io.SEEK_END:
      files, inside = buckets.files(self._path)
      size = _retried(lambda: files.size(inside), self._path)
      if size is None:
        raise UserError(
          f"{self._path}: the server does not report the size of this file, "
          "which is needed to read its end; download it and give the local path"
        )
      offset += size
    elif whence == io.SEEK_CUR:
      offset += self._at
    self._at = offset
    self._file = None
    return offset

  def readinto(self, buffer: "WriteableBuffer") -> int:
    """Reads into `buffer`, retrying on errors; returns the number of bytes."""
    view = memoryview(buffer).cast("B")

    def read() -> bytes:
      if self._file is None:
        self._file = self._open()
      try:
        return self._file.read(len(view))
      except Exception:
        self._file = None  # Its state is unknown, so open it again.
        raise

    data = _retried(read, self._path)
    view[: len(data)] = data
    self._at += len(data)
    return len(data)

  def close(self) -> None:
    """Closes the file."""
    if self._file is not None:
      self._file.close()
      self._file = None
    super().close()


class _Zstandard(io.RawIOBase):
  """Decompresses; unlike the library's reader it detects truncation."""

  def __init__(self, stream: io.BufferedIOBase):
    import zstandard

    self._stream, self._rest = stream, b""
    self._new = zstandard.ZstdDecompressor().decompressobj
    self._frame, self._error = None, zstandard.ZstdError

  def readable(self) -> bool:
    """Returns True."""
    return True

  def readinto(self, buffer: "WriteableBuffer") -> int:
    """Reads into `buffer`; returns the number of bytes, 0 at the end."""
    view = memoryview(buffer).cast("B")
    while not self._rest:
      data = self._stream.read1(1 << 16)
      if self._frame is not None and self._frame.eof:
        data, self._frame = self._frame.unused_data + data, None
      if not data:
        if self._frame is not None:
          raise EOFError("the last frame has no end")
        return 0
      self._frame = self._frame or self._new()
      try:
        self._rest = self._frame.decompress(data)
      except self._error as e:
        raise EOFError(str(e)) from e
    size = min(len(view), len(self._rest))
    view[:size], self._rest = self._rest[:size], self._rest[size:]
    return size

  def close(self) -> None:
    """Closes the underlying stream."""
    self._stream.close()
    super().close()
