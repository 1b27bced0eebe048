# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Directories in a bucket: gs://BUCKET/PATH and s3://BUCKET/PATH, by fsspec.

Another endpoint is told in AWS_ENDPOINT_URL. An object appears whole or not at
all, but cannot be appended to or renamed, and a folder of objects appears one
by one: what says that it is whole is written last.
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
from typing import Any

from nomic_jax.errors import Stopped
from nomic_jax.errors import UserError

SCHEMES = ("gs", "s3")
COMMITTED = "commit_success.txt"  # Orbax's, the last of a checkpoint's files

_MARKER = "config.json"  # the last of a directory's files
_AT_START = 30.0  # a wrong address is soon told
_PATIENCE, _FIRST_WAIT, _LONGEST_WAIT = 300.0, 1.0, 60.0  # seconds
# Of a work directory, what no reader of models and curves looks at.
_UNREAD = ("compiled", "damaged", "logs", "profile")


def is_remote(path: str | os.PathLike) -> bool:
  """Whether it is an address, and no path on this machine."""
  return "://" in str(path)


def place(path: str | os.PathLike) -> Any:
  """A pathlib.Path, or what behaves like one in a bucket (etils' epath).

  Raises:
    UserError: for an address of another kind, or without what reads it.
  """
  if not is_remote(path):
    return pathlib.Path(path)
  scheme = str(path).partition("://")[0]
  if scheme not in SCHEMES:
    raise UserError(
      f"{path}: expected a folder, gs://BUCKET/PATH or s3://BUCKET/PATH"
    )
  from etils import epath
  import fsspec

  try:
    fsspec.get_filesystem_class(scheme)
  except ImportError as e:
    raise UserError(
      f"{path}: {e}; pip install 'nomic_jax[buckets]' brings what reads and "
      "writes buckets"
    ) from e
  for name in ("gs", "gcs", "s3"):  # tensorstore writes there unseen
    fsspec.config.conf.setdefault(name, {})["use_listings_cache"] = False
  logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # it raises as well
  return epath.Path(str(path).rstrip("/"))


def reach(path: Any) -> None:
  """Raises what `errors` explains if the bucket is not there to be read."""
  system, inside = files(path)
  try:
    patiently(lambda: system.ls(inside), _AT_START)
  except FileNotFoundError:  # nothing there yet, or no such bucket
    try:
      patiently(lambda: system.ls(inside.partition("/")[0]), _AT_START)
    except FileNotFoundError as e:
      raise UserError(
        f"{path}: there is no bucket {inside.partition('/')[0]}; make it, or "
        "mend the address"
      ) from e


@contextlib.contextmanager
def errors(
  path: Any, unreachable: type[Exception] = UserError
) -> Iterator[None]:
  """Turns what a bucket refuses into one line.

  Args:
    path: whatever is read or written there; a local path changes nothing.
    unreachable: raised if it does not answer: Stopped, where the same command
      goes on when it does again.
  """
  try:
    yield
  except (UserError, Stopped):
    raise
  except Exception as e:
    found = refused(e) if is_remote(path) else None
    if found is None:
      raise
    kind, reason = found
    scheme, _, rest = str(path).partition("://")
    bucket = f"{scheme}://{rest.partition('/')[0]}"
    if kind == "unreachable":
      raise unreachable(
        f"{path}: the bucket does not answer ({reason}); run the same "
        "command when it does"
      ) from e
    needs = _NEEDS.get((kind, scheme), "{} asks for other credentials")
    raise UserError(f"{path}: {needs.format(bucket)} ({reason})") from e


_NEEDS = {
  ("credentials", "gs"): "no valid credentials for {}: run gcloud auth "
  "application-default login, or set GOOGLE_APPLICATION_CREDENTIALS; a host "
  "of Google Cloud takes a service account with roles/storage.objectUser",
  ("credentials", "s3"): "no valid credentials for {}: set AWS_ACCESS_KEY_ID "
  "and AWS_SECRET_ACCESS_KEY, or run aws configure",
  ("denied", "gs"): "permission denied in {}: reading takes "
  "roles/storage.objectViewer there, writing roles/storage.objectUser and "
  "roles/storage.legacyBucketReader",
  ("denied", "s3"): "permission denied in {}: reading takes s3:ListBucket "
  "and s3:GetObject there, writing s3:PutObject and s3:DeleteObject too",
}
# Words in the types and messages of gcsfs, s3fs, google-auth, botocore and
# tensorstore, whose errors have no type in common.
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


def refused(error: BaseException | None) -> tuple[str, str] | None:
  """A kind of `_KINDS` and what was said, if a bucket's answer caused it."""
  told = []
  while error is not None:
    told.append(error)
    error = error.__cause__ or error.__context__
  for kind, words in _KINDS.items():
    for e in told:
      name = f"{type(e).__module__}.{type(e).__name__}"
      if any(word in f"{name}: {e}" for word in words):
        return kind, " ".join(str(e).split())[:200] or name
  return None


def patiently(ask: Callable[[], Any], seconds: float | None = None) -> Any:
  """Returns what `ask` does, asking again while the bucket does not answer.

  That is: 429, 5xx, a broken connection, no answer in time. Waits are longer
  each time and random, so that the hosts of a pod do not all come back at once.

  Raises:
    Exception: the last one after `seconds`, by default five minutes; any other
      at once.
  """
  began, wait = time.monotonic(), _FIRST_WAIT
  seconds = _PATIENCE if seconds is None else seconds
  while True:
    try:
      return ask()
    except Exception as e:
      kind, _ = refused(e) or ("", "")
      left = began + seconds - time.monotonic()
      if kind != "unreachable" or left <= 0:
        raise
      time.sleep(min(wait * random.uniform(0.5, 1.5), left))
      wait = min(2 * wait, _LONGEST_WAIT)


@contextlib.contextmanager
def uploading(path: str | os.PathLike) -> Iterator[pathlib.Path]:
  """Yields where to make a file or folder that is copied to `path` then."""
  with tempfile.TemporaryDirectory() as folder:
    made = pathlib.Path(folder) / "made"
    yield made
    upload(made, path)


def upload(made: pathlib.Path, path: str | os.PathLike) -> None:
  """Copies a file or folder; a folder's config.json last."""
  to = place(path)
  if made.is_file():
    patiently(lambda: to.write_bytes(made.read_bytes()))
    return
  files = [p for p in sorted(made.rglob("*")) if p.is_file()]
  for file in sorted(files, key=lambda p: p == made / _MARKER):
    target = to / str(file.relative_to(made))
    patiently(functools.partial(target.write_bytes, file.read_bytes()))


def move(path: Any, to: Any) -> None:
  """Copies a folder's objects and removes them; what was at `to` stays."""
  system, old = files(path)
  _, new = files(to)
  for name in system.find(old):
    system.copy(name, new + name[len(old) :])
  system.rm(old, recursive=True)


def whole_steps(folder: Any) -> list[int]:
  """Steps of the checkpoints that are whole, of a folder of them."""
  names = [p.parent.name for p in folder.glob(f"*/{COMMITTED}")]
  return sorted(int(name) for name in names if name.isdigit())


def fetch(path: str | os.PathLike, checkpoints: bool = True) -> str:
  """A copy here, while this process lives, of a directory in a bucket.

  Args:
    path: the directory, or the checkpoints/STEP of one; a path that is no
      address is returned as it is.
    checkpoints: with the newest of them, or that one.

  Raises:
    UserError: if there is nothing, or the bucket refuses.
  """
  if not is_remote(path):
    return str(path)
  with errors(path):
    return _fetch(str(path).rstrip("/"), checkpoints)


@functools.cache
def _fetch(path: str, checkpoints: bool) -> str:
  address = root = place(path)
  step = None
  if address.name.isdigit() and address.parent.name == "checkpoints":
    root, step = address.parents[1], int(address.name)
  reach(root)
  steps = whole_steps(root / "checkpoints") if checkpoints else []
  if step is None:
    step = max(steps, default=None)
  elif step not in steps:
    raise UserError(
      f"{path}: no such checkpoint; those that are whole are "
      f"{', '.join(map(str, steps)) or 'none'}"
    )
  system, inside = files(root)
  here = near(root)
  found = []
  for name in patiently(lambda: system.find(inside)):
    parts = pathlib.PurePosixPath(name[len(inside) :]).parts[1:]
    if parts[0] == "checkpoints":
      if checkpoints and parts[1] == str(step):
        found.append((name, here.joinpath(*parts)))
    elif parts[0] not in _UNREAD:
      found.append((name, here.joinpath(*parts)))
  if not found:
    raise UserError(f"{path}: there is nothing in that place of the bucket")
  patiently(
    lambda: system.get(
      [name for name, _ in found], [str(to) for _, to in found]
    )
  )
  return str(here if root is address else here / "checkpoints" / str(step))


@functools.cache
def near(path: Any) -> pathlib.Path:
  """A local path is itself; for another, a folder here while this lives."""
  if not is_remote(path):
    return pathlib.Path(path)
  folder = tempfile.mkdtemp(prefix="nomic_jax-")
  atexit.register(shutil.rmtree, folder, ignore_errors=True)
  return pathlib.Path(folder) / path.name


def files(path: Any) -> tuple[Any, str]:
  """Returns the file system of an address, and the path in it.

  Raises:
    UserError: for an address of no kind, or without what reads it.
  """
  import fsspec

  try:
    system, inside = fsspec.core.url_to_fs(str(path))
  except ImportError as e:
    raise UserError(
      f"{path}: {' '.join(str(e).split())}; pip install 'nomic_jax[buckets]' "
      "brings what reads and writes buckets"
    ) from e
  except ValueError as e:
    raise UserError(
      f"{path}: {e}; expected a path, gs://BUCKET/... or s3://BUCKET/..."
    ) from e
  return system, inside.rstrip("/")
