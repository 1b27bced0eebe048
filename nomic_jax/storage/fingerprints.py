# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Hashes of a result's inputs, so that a stale result is never reused.

Every job that keeps a result records a fingerprint of each input and compares
it on the next run. `of_content` gives a copy the same fingerprint; `of_stamps`
is for data too large to read for a comparison.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import hashlib
import json
import os
import pathlib
from typing import Protocol
from typing import runtime_checkable

import numpy as np

from nomic_jax.errors import UserError
from nomic_jax.storage import buckets
from nomic_jax.storage import places as places_lib
from nomic_jax.storage import staging

FORMAT = 1  # increment when equal weights or texts give other results
# Files added to a directory that do not change what it holds.
_NOT_CONTENT = (
  "compiled",
  "logs",
  "metrics.jsonl",
  "report.html",
  "restarts.json",
  "diverged.json",
)
# In a data directory: derived from its texts, and the record of its making.
_TOKENS, _MANIFEST = "tokens", "reproduce.json"


@runtime_checkable
class HasParams(Protocol):
  """A loaded model; parameters that are not known are None."""

  params: Mapping[str, object] | None


def of_content(thing: str | os.PathLike | object, tokens: bool = False) -> str:
  """Returns a short hash of what a directory, file or loaded model holds.

  Of a large file, only its size and 16 samples are read. Times do not count,
  so a copy has the same hash.

  Args:
    thing: a path, a model, or another object, which counts by its type.
    tokens: whether a data directory's token ids count; they are derived from
      its texts.

  Raises:
    UserError: if `thing` is a path that does not exist.
  """
  digest = hashlib.sha256()
  if isinstance(thing, (str, os.PathLike)):
    if staging.holds(thing, "dataset_info.json"):
      wanted = lambda name: tokens or not name.startswith(f"{_TOKENS}/")
      local = staging.local(thing, wanted)
    else:
      local = buckets.fetch(thing)
    _add_path(digest, pathlib.Path(local), tokens)
  elif isinstance(thing, HasParams) and thing.params is not None:
    import jax  # Only needed for a loaded model.

    for path, leaf in jax.tree_util.tree_leaves_with_path(thing.params):
      digest.update(f"{path} {leaf.shape} {leaf.dtype} ".encode())
      digest.update(np.ascontiguousarray(leaf).tobytes())
  else:
    digest.update(type(thing).__qualname__.encode())
  return digest.hexdigest()[:16]


def _add_path(digest, folder: pathlib.Path, tokens: bool) -> None:
  if folder.is_file():
    _add_file(digest, folder)
  elif not folder.is_dir():
    raise UserError(f"{folder}: no such directory; check --model and --input")
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


def _add_file(digest, path: pathlib.Path, samples=16, piece=1 << 20) -> None:
  size = path.stat().st_size
  with open(path, "rb") as f:
    if size <= samples * piece:
      digest.update(f.read())
      return
    for i in range(samples):
      f.seek(i * (size - piece) // (samples - 1))
      digest.update(f.read(piece))


def of_text(text: str) -> str:
  """Returns a hash of a text."""
  return hashlib.sha256(text.encode()).hexdigest()[:16]


def stamps(path: pathlib.Path, pattern: str = "*") -> list[list]:
  """Returns [name, size, modification time] of each file.

  Args:
    path: a local file, or a folder searched with its subfolders.
    pattern: glob pattern of file names in a folder.
  """
  files = sorted(path.rglob(pattern)) if path.is_dir() else [path]
  return [
    [str(f.relative_to(path)), f.stat().st_size, f.stat().st_mtime_ns]
    for f in files
    if f.is_file() and not places_lib.is_system(str(f.relative_to(path)))
  ]


def of_stamps(files: Sequence[list]) -> str:
  """Returns a hash of `stamps`, or of similar lists."""
  return of_values(list(files))


def of_values(*parts: object) -> str:
  """Returns a hash of texts, numbers or lists of them."""
  digest = hashlib.sha256(str(FORMAT).encode())
  for part in parts:
    digest.update(json.dumps(part).encode())
    digest.update(b"\n")
  return digest.hexdigest()[:32]
