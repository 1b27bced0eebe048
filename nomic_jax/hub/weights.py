# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The tensors of a directory's safetensors files, whole or in shards.

Never those of pickles, since opening a pickle runs what is in it.
"""

from collections.abc import Iterator
import contextlib
import pathlib
from typing import Any

# Gives numpy the bfloat16 that files may hold.
import ml_dtypes  # noqa: F401
import numpy as np
import safetensors

from nomic_jax.errors import UserError
from nomic_jax.storage.keys import read_json

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


class Tensor:
  """A tensor in a file: its shape now, its values when asked for."""

  def __init__(self, opened: Any, name: str):
    self._opened, self._name = opened, name
    self.shape = tuple(opened.get_slice(name).get_shape())

  def __array__(self, dtype=None, copy=None) -> np.ndarray:
    values = self._opened.get_tensor(self._name)
    return values if dtype is None else values.astype(dtype)


@contextlib.contextmanager
def open_tensors(directory: pathlib.Path) -> Iterator[dict[str, Tensor]]:
  """The tensors of model.safetensors, or of the shards its index lists.

  Raises:
    UserError: if there are none, or files are missing or damaged.
  """
  index = directory / INDEX
  if (directory / WEIGHTS).is_file():
    places = {WEIGHTS: None}
  elif index.is_file():
    places = _shards(index)
  else:
    pickled = [p.name for glob in PICKLES for p in directory.glob(glob)]
    if pickled:
      raise UserError(
        f"{directory}: only pickled weights ({pickled[0]}), which are never "
        f"opened as they can run code; expected {WEIGHTS}. If you trust "
        f"them: transformers.AutoModel.from_pretrained('{directory}')"
        f".save_pretrained('{directory}') converts them"
      )
    raise UserError(
      f"{directory}: no weights; expected {WEIGHTS}, or {INDEX} with its "
      "shards; a hub model that has only pickles must be converted first, by "
      "transformers.AutoModel.from_pretrained(NAME).save_pretrained(DIR)"
    )
  with contextlib.ExitStack() as stack:
    tensors = {}
    for shard, names in places.items():
      path = directory / shard
      try:
        opened = stack.enter_context(safetensors.safe_open(path, "numpy"))
      except FileNotFoundError as e:
        raise UserError(
          f"{path}: no such file, though {INDEX} lists it; copy it again"
        ) from e
      except (OSError, safetensors.SafetensorError) as e:
        raise UserError(
          f"{path}: damaged or cut short ({e}); copy it again"
        ) from e
      stored = set(opened.keys())
      for name in stored if names is None else names:
        if name not in stored:
          raise UserError(
            f"{path}: no tensor '{name}', though {INDEX} lists it there; "
            "copy both again"
          )
        tensors[name] = Tensor(opened, name)
    yield tensors


def _shards(index: pathlib.Path) -> dict[str, list[str]]:
  """File name -> names of its tensors, by an index of shards."""
  values = read_json(index)
  names = values.get("weight_map") if isinstance(values, dict) else None
  if not isinstance(names, dict):
    raise UserError(f"{index}: no 'weight_map'; expected tensor names to files")
  places = {}
  for name, shard in names.items():
    if not isinstance(shard, str) or pathlib.PurePath(shard).name != shard:
      raise UserError(
        f"{index}: '{name}' is in {shard!r}; expected a file beside the index"
      )
    places.setdefault(shard, []).append(name)
  return places
