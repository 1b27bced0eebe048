# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Directories in buckets, gs://BUCKET/PATH and s3://BUCKET/PATH, by fsspec.

Set AWS_ENDPOINT_URL to use another S3-compatible store. An object appears
whole or not at all, but cannot be appended to or renamed. The objects of a
folder appear one by one, so the file that marks it complete is written last.
"""

import atexit
from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import functools
import logging
import os
import pathlib
import random
import shutil
import tempfile
import time
from typing import TYPE_CHECKING
from typing import TypeVar

from nomic_jax.errors import Stopped
from nomic_jax.errors import UserError
from nomic_jax.storage.values import Place

if TYPE_CHECKING:
  from fsspec import AbstractFileSystem


SCHEMES = ("gs", "s3")
COMMITTED = "commit_success.txt"  # Orbax writes it last in a checkpoint

T = TypeVar("T")

_MARKER = "config.json"  # written last in a directory
_AT_START = 30.0  # seconds; report a wrong address soon
_PATIENCE, _FIRST_WAIT, _LONGEST_WAIT = 300.0, 1.0, 60.0  # seconds
# Parts of a work directory that readers of models and metrics do not need.
_UNREAD = ("compiled", "damaged", "logs", "profile")


def is_remote(path: str | os.PathLike) -> bool:
  """Returns whether `path` is an address rather than a local path."""
  return "://" in str(path)


def as_path(path: str | os.PathLike) -> Place:
  """Returns a pathlib.Path, or etils' epath.Path for an address in a bucket.

  Raises:
    UserError: for another kind of address, or if a package is missing.
  """
  if not is_remote(path):
    return pathlib.Path(path)
  scheme = str(path).partition("://")[0]
  if scheme not in SCHEMES:
    raise UserError(
      f"{path}: expected a folder, gs://BUCKET/PATH or s3://BUCKET/PATH"
    )
  from etils import epath
  import fsspec.config

  try:
    fsspec.get_filesystem_class(scheme)
  except ImportError as e:
    raise UserError(
      f"{path}: {e}; pip install 'nomic_jax[buckets]' to read and write buckets"
    ) from e
  for name in ("gs", "gcs", "s3"):  # tensorstore writes behind fsspec's back
    fsspec.config.conf.setdefault(name, {})["use_listings_cache"] = False
  logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # it also raises
  return epath.Path(str(path).rstrip("/"))


def check_reachable(path: Place) -> None:
  """Checks that the bucket exists and answers.

  Raises:
    UserError: if there is no such bucket.
    Exception: the bucket's own error, which `errors` explains.
  """
  system, inside = files(path)
  try:
    retry(lambda: system.ls(inside), _AT_START)
  except FileNotFoundError:  # the path is empty, or there is no such bucket
    try:
      retry(lambda: system.ls(inside.partition("/")[0]), _AT_START)
    except FileNotFoundError as e:
      raise UserError(
        f"{path}: there is no bucket {inside.partition('/')[0]}; create it or "
        "correct the address"
      ) from e


@contextlib.contextmanager
def errors(
  path: str | os.PathLike, unreachable: type[Exception] = UserError
) -> Iterator[None]:
  """Turns a bucket's errors into one line.

  Args:
    path: what is read or written; errors of a local path pass unchanged.
    unreachable: the type to raise if the bucket does not answer: Stopped where
      rerunning the same command resumes.
  """
  try:
    yield
  except (UserError, Stopped):
    raise
  except Exception as e:
    refusal = classify(e) if is_remote(path) else None
    if refusal is None:
      raise
    kind, reason = refusal
    scheme, _, rest = str(path).partition("://")
    bucket = f"{scheme}://{rest.partition('/')[0]}"
    if kind == "unreachable":
      raise unreachable(
        f"{path}: the bucket does not answer ({reason}); run the same "
        "command again when it does"
      ) from e
    needs = _NEEDS.get((kind, scheme), "{} requires other credentials")
    raise UserError(f"{path}: {needs.format(bucket)} ({reason})") from e


_NEEDS = {
  ("credentials", "gs"): "no valid credentials for {}: run gcloud auth "
  "application-default login, or set GOOGLE_APPLICATION_CREDENTIALS; on Google "
  "Cloud, give the machine a service account with roles/storage.objectUser",
  ("credentials", "s3"): "no valid credentials for {}: set AWS_ACCESS_KEY_ID "
  "and AWS_SECRET_ACCESS_KEY, or run aws configure",
  ("denied", "gs"): "permission denied in {}: reading requires "
  "roles/storage.objectViewer there, writing roles/storage.objectUser and "
  "roles/storage.legacyBucketReader",
  ("denied", "s3"): "permission denied in {}: reading requires s3:ListBucket "
  "and s3:GetObject there, writing also s3:PutObject and s3:DeleteObject",
}
# Words in the types and messages of errors by gcsfs, s3fs, google-auth,
# botocore and tensorstore, which share no base class.
_KINDS = {
  "credentials": (
    "NoCredentials",
    "PartialCredentials",
    "DefaultCredentialsError",
    "RefreshError",
    "UNAUTHENTICATED",
    "Anonymous caller",
    "HTTP 401",
    "Unauthorized",
    "Invalid Credentials",
    ", 401",
    "InvalidAccessKeyId",
    "AWS Access Key Id",
    "SignatureDoesNotMatch",
    "ExpiredToken",
  ),
  "denied": (
    "PermissionError",
    "PERMISSION_DENIED",
    "AccessDenied",
    "Access Denied",
    "Forbidden",
    "HTTP 403",
    ", 403",
  ),
  "unreachable": (
    "aiohttp.",
    "EndpointConnectionError",
    "gcsfs.retry.HttpError",
    "TransportError",
    "ConnectTimeout",
    "ReadTimeout",
    "UNAVAILABLE",
    "CURL error",
    "DEADLINE_EXCEEDED",
    "ConnectionError",
    "ServiceUnavailable",
    "SlowDown",
    "reduce your request rate",
    "Too Many Requests",
    ", 429",
    ", 500",
    ", 502",
    ", 503",
    ", 504",
    "HTTP 429",
    "HTTP 503",
    "TimeoutError",
    "InternalError",
    "[Errno 16]",
  ),
}


def classify(error: BaseException | None) -> tuple[str, str] | None:
  """Returns a kind of `_KINDS` and the bucket's message, or None.

  The whole chain of causes is searched.
  """
  chain = []
  while error is not None:
    chain.append(error)
    error = error.__cause__ or error.__context__
  for kind, words in _KINDS.items():
    for e in chain:
      name = f"{type(e).__module__}.{type(e).__name__}"
      if any(word in f"{name}: {e}" for word in words):
        return kind, " ".join(str(e).split())[:200] or name
  return None


def retry(ask: Callable[[], T], seconds: float | None = None) -> T:
  """Calls `ask` until the bucket answers and returns its result.

  Retries on 429, 5xx, a broken connection and timeouts. Waits grow and are
  random, so that the hosts of a pod do not all retry at once.

  Raises:
    Exception: the last error after `seconds` (default: five minutes); any
      other error at once.
  """
  began, wait = time.monotonic(), _FIRST_WAIT
  seconds = _PATIENCE if seconds is None else seconds
  while True:
    try:
      return ask()
    except Exception as e:
      kind, _ = classify(e) or ("", "")
      left = began + seconds - time.monotonic()
      if kind != "unreachable" or left <= 0:
        raise
      time.sleep(min(wait * random.uniform(0.5, 1.5), left))
      wait = min(2 * wait, _LONGEST_WAIT)


@contextlib.contextmanager
def uploading(path: str | os.PathLike) -> Iterator[pathlib.Path]:
  """Yields a temporary path to write to; copies it to `path` afterwards."""
  with tempfile.TemporaryDirectory() as folder:
    made = pathlib.Path(folder) / "made"
    yield made
    upload(made, path)


def upload(made: pathlib.Path, path: str | os.PathLike) -> None:
  """Copies a file or folder to `path`; config.json of a folder comes last."""
  to = as_path(path)
  if made.is_file():
    retry(lambda: to.write_bytes(made.read_bytes()))
    return
  files = [p for p in sorted(made.rglob("*")) if p.is_file()]
  for file in sorted(files, key=lambda p: p == made / _MARKER):
    target = to / str(file.relative_to(made))
    retry(functools.partial(target.write_bytes, file.read_bytes()))


def move(path: Place, to: Place) -> None:
  """Moves the objects of a folder; objects already at `to` are kept."""
  system, old = files(path)
  _, new = files(to)
  for name in system.find(old):
    system.copy(name, new + name[len(old) :])
  system.rm(old, recursive=True)


def whole_steps(folder: Place) -> list[int]:
  """Returns the steps of the complete checkpoints in a checkpoints folder."""
  names = [p.parent.name for p in folder.glob(f"*/{COMMITTED}")]
  return sorted(int(name) for name in names if name.isdigit())


def fetch(path: str | os.PathLike, checkpoints: bool = True) -> str:
  """Copies a directory from a bucket to a temporary folder.

  The copy lives as long as this process.

  Args:
    path: the directory, or the checkpoints/STEP of one; a local path is
      returned unchanged.
    checkpoints: whether to copy a checkpoint too: the newest, or the one that
      `path` names.

  Returns:
    The local path.

  Raises:
    UserError: if nothing is there, or the bucket refuses.
  """
  if not is_remote(path):
    return str(path)
  with errors(path):
    return _fetch(str(path).rstrip("/"), checkpoints)


@functools.cache
def _fetch(path: str, checkpoints: bool) -> str:
  address = root = as_path(path)
  step = None
  if address.name.isdigit() and address.parent.name == "checkpoints":
    root, step = address.parents[1], int(address.name)
  check_reachable(root)
  steps = whole_steps(root / "checkpoints") if checkpoints else []
  if step is None:
    step = max(steps, default=None)
  elif step not in steps:
    raise UserError(
      f"{path}: no such checkpoint; the complete ones are "
      f"{', '.join(map(str, steps)) or 'none'}"
    )
  system, inside = files(root)
  here = scratch(root)
  copies = []
  for name in retry(lambda: system.find(inside)):
    parts = pathlib.PurePosixPath(name[len(inside) :]).parts[1:]
    if parts[0] == "checkpoints":
      if checkpoints and parts[1] == str(step):
        copies.append((name, here.joinpath(*parts)))
    elif parts[0] not in _UNREAD:
      copies.append((name, here.joinpath(*parts)))
  if not copies:
    raise UserError(f"{path}: the bucket holds nothing at this address")
  retry(
    lambda: system.get(
      [name for name, _ in copies], [str(to) for _, to in copies]
    )
  )
  return str(here if root is address else here / "checkpoints" / str(step))


@functools.cache
def scratch(path: Place) -> pathlib.Path:
  """Returns a local path, or a temporary folder in place of an address."""
  if not is_remote(path):
    return pathlib.Path(path)
  folder = tempfile.mkdtemp(prefix="nomic_jax-")
  atexit.register(shutil.rmtree, folder, ignore_errors=True)
  return pathlib.Path(folder) / path.name


def files(path: str | os.PathLike) -> tuple["AbstractFileSystem", str]:
  """Returns the fsspec file system of an address, and the path in it.

  Raises:
    UserError: for an unknown kind of address, or if a package is missing.
  """
  import fsspec

  try:
    system, inside = fsspec.core.url_to_fs(str(path))
  except ImportError as e:
    raise UserError(
      f"{path}: {' '.join(str(e).split())}; pip install 'nomic_jax[buckets]' "
      "to read and write buckets"
    ) from e
  except ValueError as e:
    raise UserError(
      f"{path}: {e}; expected a path, gs://BUCKET/... or s3://BUCKET/..."
    ) from e
  return system, inside.rstrip("/")
