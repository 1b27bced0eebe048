# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Chooses the files of a folder to read, and prints which are left out.

Two groups of files are left out, and each is reported in a line: files of other
formats or in subfolders; and files whose names mark them as held out, such as
test or validation, unless there are no others. Files that the user names are
always read.
"""

from collections.abc import Sequence
import fnmatch
import re

from nomic_jax.data.readers.reader import Asked
from nomic_jax.errors import UserError
from nomic_jax.storage import places
from nomic_jax.storage import streams

_HELD_OUT = frozenset(
  f"{word}{more}"
  for word in "test dev valid val validation eval evaluation".split()
  for more in ("", "s", "set", "data")
) | {"testing", "heldout", "holdout"}
# testData and TESTData are two words each.
_WORD = re.compile("[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_SHOWN = 5  # names in a line
# Not data: documentation and hidden files.
_IGNORED = re.compile(
  r"[._].*|(readme|licen[cs]e|notice|citation)\b.*|.*\.md|"
  r"counts\.json|offsets\.json\.gz",
  re.I,
)


def files(path: str, asked: Asked, suffixes: Sequence[str]) -> tuple[str, ...]:
  """Returns the files that `choose` returns; raises UserError if none."""
  found = choose(path, asked, suffixes)
  if not found:
    raise UserError(f"{path}: holds no {' or '.join(suffixes)} files")
  return found


def choose(path: str, asked: Asked, suffixes: Sequence[str]) -> tuple[str, ...]:
  """Returns the files of a folder to read, and prints those left out.

  Args:
    path: the path of the folder, or of one file with any name.
    asked: its `include` has patterns of names, such as "*.jsonl"; without
      patterns, all files except held-out ones are read.
    suffixes: the suffixes of the files to read.

  Raises:
    UserError: if there is no such path, or a pattern matches no file that can
      be read.
  """
  path = streams.absolute(path)
  inside = streams.list_folder(path)
  if inside is None:
    if not streams.is_file(path):
      raise UserError(
        f"--source={asked.source}: no such file or folder; {asked.expected}"
      )
    if asked.include:
      raise UserError(f"--include: {path} is a file; expected a folder")
    return (path,)
  found = [
    p
    for p in inside
    if p.endswith(tuple(suffixes)) and not streams.name(p).startswith(".")
  ]
  if not found:
    return ()
  if asked.include:
    return _included(path, found, asked.include)
  train = [p for p in found if not is_held_out(streams.name(p))]
  held_out = [p for p in found if p not in train] if train else []
  others = [p for p in inside if p not in found and _is_data(p, asked.readable)]
  if others:
    print(
      f"{path}: not read: {_listed(others)}; name one with --source, or "
      "choose files with --include"
    )
  if held_out:
    print(
      f"{path}: held out, not read: {_listed(held_out)}; --include="
      "PATTERN reads files of any name"
    )
  return tuple(train or found)


def _included(
  folder: str, found: Sequence[str], include: Sequence[str]
) -> tuple[str, ...]:
  for pattern in include:
    if not any(fnmatch.fnmatchcase(streams.name(p), pattern) for p in found):
      raise UserError(
        f"--include={pattern}: matches no file in {folder}; it holds "
        f"{_listed(found) if found else 'none that can be read'}"
      )
  return tuple(
    p
    for p in found
    if any(fnmatch.fnmatchcase(streams.name(p), pattern) for pattern in include)
  )


def is_held_out(name: str) -> bool:
  """Returns whether the name of a file marks it as for evaluation."""
  words = [word.lower() for word in _WORD.findall(name)]
  words += map("".join, zip(words, words[1:]))  # held_out
  return bool(_HELD_OUT.intersection(words)) and "train" not in words


def _is_data(path: str, readable: Sequence[str]) -> bool:
  """Returns whether a file or folder that is not read may hold data."""
  name = streams.name(path)
  if _IGNORED.fullmatch(name) or places.is_system(name):
    return False
  inside = streams.list_folder(path)
  return inside is None or any(p.endswith(tuple(readable)) for p in inside)


def _listed(paths: Sequence[str]) -> str:
  names = [streams.name(p) for p in paths[:_SHOWN]]
  more = len(paths) - len(names)
  return ", ".join(names) + (f" and {more:,} more" if more else "")
