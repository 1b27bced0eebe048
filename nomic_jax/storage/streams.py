# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Files to read: on this machine, or in a bucket (gs://, s3://, any fsspec).

An S3 endpoint other than Amazon's, such as R2 or MinIO, is named by the
environment variable AWS_ENDPOINT_URL. A bucket that does not answer is asked
again, later and later, and reading goes on at the byte where it broke off.
"""

from collections.abc import Callable
import gzip
import io
import os
import time
from typing import Any
from typing import BinaryIO

from nomic_jax.errors import UserError
from nomic_jax.storage import buckets

_TRIES = 6
_FIRST_WAIT = 1.0  # seconds, then twice as long each time
# What a bucket will not answer otherwise the next time.
_FINAL = (
  FileNotFoundError,
  IsADirectoryError,
  UserError,
  ImportError,
  MemoryError,
)


def absolute(path: str) -> str:
  """Returns `path` as it reads from any working directory."""
  return path if buckets.is_remote(path) else os.path.abspath(path)


def name(path: str) -> str:
  """Returns the last part of a path."""
  return path.rstrip("/").rsplit("/", 1)[-1]


def join(folder: str, *parts: str) -> str:
  return "/".join([folder.rstrip("/"), *parts])


def is_file(path: str) -> bool:
  if not buckets.is_remote(path):
    return os.path.isfile(path)
  files, inside = buckets.files(path)
  return _retried(lambda: files.isfile(inside), path)


def list_folder(path: str) -> list[str] | None:
  """Returns the paths in a folder, sorted; None if there is no such folder."""
  if not buckets.is_remote(path):
    if not os.path.isdir(path):
      return None
    return [join(path, each) for each in sorted(os.listdir(path))]
  files, inside = buckets.files(path)
  if not _retried(lambda: files.isdir(inside), path):
    return None
  found = _retried(lambda: files.ls(inside, detail=False), path)
  return [join(path, each) for each in sorted(map(name, found))]


def stamp(path: str) -> list:
  """Returns [name, size, time or version] of a file, [name] if none is there.

  They change when the file does, and are known without reading it.
  """
  try:
    if not buckets.is_remote(path):
      found = os.stat(path)
      return [name(path), found.st_size, found.st_mtime_ns]
    files, inside = buckets.files(path)
    found = _retried(lambda: files.info(inside), path)
  except FileNotFoundError:
    return [name(path)]
  version = next(
    (
      found[key]
      for key in (
        "ETag",
        "etag",
        "generation",
        "mtime",
        "LastModified",
        "updated",
        "created",
      )
      if found.get(key)
    ),
    "",
  )
  return [name(path), found.get("size"), str(version)]


def open_binary(path: str) -> BinaryIO:
  """Opens a file, decompressed if its name ends in .gz or .zst.

  Raises:
    FileNotFoundError: if there is none.
    UserError: if a bucket does not answer, or an extra is not installed.
  """
  if buckets.is_remote(path):
    raw = _Remote(path)
  else:
    raw = open(path, "rb", buffering=0)
  stream = io.BufferedReader(raw, 1 << 20)
  if path.endswith(".gz"):
    # Not buffered again: of a stream cut short the lines before it are read.
    return gzip.GzipFile(fileobj=stream)
  if path.endswith(".zst"):
    return io.BufferedReader(_Zstandard(stream), 1 << 18)
  return stream


def open_seekable(path: str) -> BinaryIO:
  """Opens a file for random access, as it is; otherwise as `open_binary`."""
  return (
    open(path, "rb")
    if not buckets.is_remote(path)
    else io.BufferedReader(_Remote(path), 1 << 20)
  )


def _retried(ask: Callable[[], Any], path: str) -> Any:
  """Returns what `ask` does, asking again while the bucket fails.

  Raises:
    UserError: if it never answers, or at once if it will not without other
      credentials or permission.
  """
  for attempt in range(_TRIES):
    try:
      return ask()
    except _FINAL:
      raise
    except Exception as e:  # Every file system has errors of its own.
      if (buckets.refused(e) or ("unreachable",))[0] != "unreachable":
        with buckets.errors(path):
          raise
      if attempt == _TRIES - 1:
        raise UserError(
          f"{path}: cannot be read, tried {_TRIES} times "
          f"({type(e).__name__}: {' '.join(str(e).split())}); see whether "
          "the bucket answers and run the same command again"
        ) from e
      time.sleep(_FIRST_WAIT * 2**attempt)


class _Remote(io.RawIOBase):
  """A file in a bucket that is opened again where reading broke off."""

  def __init__(self, path: str):
    self._path, self._at, self._file = path, 0, None
    self._file = _retried(self._open, path)

  def _open(self) -> BinaryIO:
    files, inside = buckets.files(self._path)
    file = files.open(inside, "rb")
    if self._at:
      file.seek(self._at)
    return file

  def readable(self) -> bool:
    return True

  def seekable(self) -> bool:
    return True

  def tell(self) -> int:
    return self._at

  def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
    if whence == io.SEEK_END:
      files, inside = buckets.files(self._path)
      offset += _retried(lambda: files.size(inside), self._path)
    elif whence == io.SEEK_CUR:
      offset += self._at
    self._at = offset
    self._file = None
    return offset

  def readinto(self, buffer: memoryview) -> int:
    def read() -> bytes:
      if self._file is None:
        self._file = self._open()
      try:
        return self._file.read(len(buffer))
      except Exception:
        self._file = None  # Whatever state it is in: open it anew.
        raise

    data = _retried(read, self._path)
    buffer[: len(data)] = data
    self._at += len(data)
    return len(data)

  def close(self) -> None:
    if self._file is not None:
      self._file.close()
      self._file = None
    super().close()


class _Zstandard(io.RawIOBase):
  """Decompresses; unlike the library's own reader it tells a cut stream."""

  def __init__(self, stream: BinaryIO):
    import zstandard

    self._stream, self._rest = stream, b""
    self._new = zstandard.ZstdDecompressor().decompressobj
    self._frame, self._error = None, zstandard.ZstdError

  def readable(self) -> bool:
    return True

  def readinto(self, buffer: memoryview) -> int:
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
    size = min(len(buffer), len(self._rest))
    buffer[:size], self._rest = self._rest[:size], self._rest[size:]
    return size

  def close(self) -> None:
    self._stream.close()
    super().close()
