# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Which files of a folder are read; what is left out is named.

A folder is read whole. Two things are left out, in a line of their own: files
of another kind, or in subfolders; and, beside other files, those called test,
dev or validation, which a training must not see. Files that are asked for by
name are read whatever they are called.
"""

import fnmatch
import re
from typing import Sequence

from nomic_jax.data.readers import storage
from nomic_jax.errors import UserError
from nomic_jax.storage import places

_HELD_OUT = frozenset((
    "test", "tests", "dev", "valid", "val", "validation", "eval", "evaluation",
    "heldout", "holdout"))
_SHOWN = 5  # names in a line
# No data: documentation, and what is hidden.
_IGNORED = re.compile(r"[._].*|(readme|licen[cs]e|notice|citation)\b.*|.*\.md|"
                      r"counts\.json|offsets\.json\.gz", re.I)


def choose(
    folder: str, inside: Sequence[str], suffixes: Sequence[str],
    readable: Sequence[str], include: Sequence[str] = (),
) -> list[str]:
  """Returns the files of a folder that are read, and prints which are not.

  Args:
    folder: its path.
    inside: the paths in it.
    suffixes: of the files that are read.
    readable: of files that could be read as some kind.
    include: patterns of names, such as "*.jsonl"; without any, all files but
      those held out.

  Raises:
    UserError: if a pattern matches no file that can be read.
  """
  found = [p for p in inside if p.endswith(tuple(suffixes))
           and not storage.name(p).startswith(".")]
  if include:
    return _included(folder, found, include)
  train = [p for p in found if not is_held_out(storage.name(p))]
  held_out = [p for p in found if p not in train] if train else []
  others = [p for p in inside if p not in found and _is_data(p, readable)]
  if others:
    print(f"{folder}: not read: {_listed(others)}; name one with --source, or "
          "choose files with --include")
  if held_out:
    print(f"{folder}: held out, not read: {_listed(held_out)}; --include="
          "PATTERN reads files of any name")
  return train or found


def _included(
    folder: str, found: Sequence[str], include: Sequence[str]
) -> list[str]:
  for pattern in include:
    if not any(fnmatch.fnmatchcase(storage.name(p), pattern) for p in found):
      raise UserError(
          f"--include={pattern}: no such file in {folder}; it holds "
          f"{_listed(found) if found else 'none that can be read'}")
  return [p for p in found if any(
      fnmatch.fnmatchcase(storage.name(p), pattern) for pattern in include)]


def is_held_out(name: str) -> bool:
  """Whether a file's name says that it is to evaluate on."""
  words = set(re.findall("[a-z]+", name.partition(".")[0].lower()))
  return bool(words & _HELD_OUT) and "train" not in words


def _is_data(path: str, readable: Sequence[str]) -> bool:
  """Whether something that is not read may hold data."""
  name = storage.name(path)
  if _IGNORED.fullmatch(name) or places.is_system(name):
    return False
  inside = storage.list_folder(path)
  return inside is None or any(p.endswith(tuple(readable)) for p in inside)


def _listed(paths: Sequence[str]) -> str:
  names = [storage.name(p) for p in paths[:_SHOWN]]
  more = len(paths) - len(names)
  return ", ".join(names) + (f" and {more:,} more" if more else "")
