# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Folders written by `save_to_disk` of Hugging Face datasets.

If there are several splits, `train` is read; to read another, name its folder.
"""

from collections.abc import Iterator

from nomic_jax.data.readers.reader import Asked
from nomic_jax.data.readers.reader import Part
from nomic_jax.errors import UserError
from nomic_jax.storage import formats
from nomic_jax.storage import streams
from nomic_jax.storage.bad import BadRows

SUFFIXES = ()  # a folder

_STATE, _SPLITS = "state.json", "dataset_dict.json"


def known(path: str) -> bool:
  """Returns whether a folder was written by `save_to_disk`."""
  found = {streams.name(p) for p in streams.list_folder(path) or ()}
  return _SPLITS in found or (
    _STATE in found and any(name.endswith(formats.ARROW) for name in found)
  )


def parts(paths: tuple[str, ...], asked: Asked) -> list[Part]:
  """Returns the files of one split as a part."""
  (path,) = paths
  folder = streams.absolute(path)
  inside = [streams.name(p) for p in streams.list_folder(folder) or ()]
  name = streams.name(folder)
  if _SPLITS in inside:
    splits = [
      each
      for each in inside
      if streams.is_file(streams.join(folder, each, _STATE))
    ]
    if "train" not in splits:
      raise UserError(
        f"{path}: has no split train; specify another as "
        f"--source={path}/SPLIT; it has {', '.join(splits) or 'none'}"
      )
    left = [each for each in splits if each != "train"]
    if left:
      print(f"{path}: read only train, not {', '.join(left)}")
    folder = streams.join(folder, "train")
  files = tuple(
    p
    for p in streams.list_folder(folder) or ()
    if p.endswith(formats.ARROW) and not streams.name(p).startswith("cache-")
  )
  if not files:
    raise UserError(f"{path}: holds no .arrow files; save the data set again")
  return [Part("saved", files, name, asked.columns)]


def records(path: str, bad: BadRows) -> Iterator[tuple[int, dict]]:
  """Yields (row number from 1, columns)."""
  return formats.arrow(path, bad)
