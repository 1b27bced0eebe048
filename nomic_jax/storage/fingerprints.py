# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""What a result was made from, so that a stale one is never taken for new.

Every job that keeps a result records one of these of each of its inputs, and
compares it when it is asked again. `of_content` knows a copy for the same
thing; `of_files` is for what may be large and must not be read to be compared.
"""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import hashlib
import json
import os
import pathlib
from typing import Any
from typing import Protocol
from typing import runtime_checkable

import numpy as np

from nomic_jax.errors import UserError
from nomic_jax.storage import buckets
from nomic_jax.storage import places as places_lib
from nomic_jax.storage import staging

FORMAT = 1  # raise it when equal weights or texts give other results
# What is added to a directory and does not change what it holds.
_NOT_CONTENT = (
  "compiled",
  "logs",
  "metrics.jsonl",
  "report.html",
  "restarts.json",
  "diverged.json",
)
# Of a data directory: made from its texts, and how it was made.
_TOKENS, _MANIFEST = "tokens", "reproduce.json"


@runtime_checkable
class HasParams(Protocol):
  """A loaded model; parameters that are not known are None."""

  params: Mapping[str, Any] | None


def of_content(thing: str | os.PathLike | object, tokens: bool = False) -> str:
  """Returns a short hash of what a directory, file or loaded model holds.

  Of large files 16 places are read, and the size; times do not count, so that
  a copy is the same thing.

  Args:
    thing: a path, a model, or another object, which counts by its type.
    tokens: whether a data directory's token ids count; they are made from its
      texts.

  Raises:
    UserError: if `thing` is a path with nothing there.
  """
  digest = hashlib.sha256()
  if isinstance(thing, (str, os.PathLike)):
    if staging.holds(thing, "dataset_info.json"):
      wanted = lambda name: tokens or not name.startswith(f"{_TOKENS}/")
      place = staging.local(thing, wanted)
    else:
      place = buckets.fetch(thing)
    _add_place(digest, pathlib.Path(place), tokens)
  elif isinstance(thing, HasParams) and thing.params is not None:
    import jax  # Only for a model that is here already.

    for path, leaf in jax.tree_util.tree_leaves_with_path(thing.params):
      digest.update(f"{path} {leaf.shape} {leaf.dtype} ".encode())
      digest.update(np.ascontiguousarray(leaf).tobytes())
  else:
    digest.update(type(thing).__qualname__.encode())
  return digest.hexdigest()[:16]


def _add_place(digest, folder: pathlib.Path, tokens: bool) -> None:
  if folder.is_file():
    _add_file(digest, folder)
  elif not folder.is_dir():
    raise UserError(f"{folder}: no such directory; look at --model and --input")
  skipped = _NOT_CONTENT
  if (folder / "dataset_info.json").is_file():
    skipped += (_MANIFEST,) if tokens else (_MANIFEST, _TOKENS)
  for path in sorted(p for p in folder.rglob("*") if p.is_file()):
    name = path.relative_to(folder)
    if name.parts[0] not in skipped and not places_lib.is_system(str(name)):
      digest.update(
        f"{name} {path.stat().st_size} ".encode("utf-8", "surrogateescape")
      )
      _add_file(digest, path)


def _add_file(digest, path: pathlib.Path, places=16, piece=1 << 20) -> None:
  size = path.stat().st_size
  with open(path, "rb") as f:
    if size <= places * piece:
      digest.update(f.read())
      return
    for i in range(places):
      f.seek(i * (size - piece) // (places - 1))
      digest.update(f.read(piece))


def of_text(text: str) -> str:
  """Returns a hash of a text."""
  return hashlib.sha256(text.encode()).hexdigest()[:16]


def stamps(path: pathlib.Path, pattern: str = "*") -> list[list]:
  """Returns [name, size, time of change] of a file, or of those in a folder.

  Args:
    path: a local file or folder, which is searched with its subfolders.
    pattern: of the names of its files.
  """
  files = sorted(path.rglob(pattern)) if path.is_dir() else [path]
  return [
    [str(f.relative_to(path)), f.stat().st_size, f.stat().st_mtime_ns]
    for f in files
    if f.is_file() and not places_lib.is_system(str(f.relative_to(path)))
  ]


def of_stamps(found: Sequence[list]) -> str:
  """Returns a hash of `stamps`, or of others like them."""
  return of_values(list(found))


def of_values(*parts: Iterable) -> str:
  """Returns a hash of texts, numbers or lists of them."""
  digest = hashlib.sha256(str(FORMAT).encode())
  for part in parts:
    digest.update(json.dumps(part).encode())
    digest.update(b"\n")
  return digest.hexdigest()[:32]
