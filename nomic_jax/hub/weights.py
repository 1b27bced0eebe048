# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The tensors of a directory's safetensors files, whole or in shards.

Pickles are never opened, since opening a pickle runs its code.
"""

from collections.abc import Iterator
import contextlib
import pathlib
from typing import Any

# Registers bfloat16 with numpy, which files may contain.
import ml_dtypes  # noqa: F401
import numpy as np
import safetensors

from nomic_jax.errors import UserError
from nomic_jax.storage.keys import read_json

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
# By their names in safetensors. Other dtypes hold quantized weights.
_DTYPES = ("F32", "F16", "BF16", "F64")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


class Tensor:
  """A tensor in a file: its shape is known, its values are read on demand."""

  def __init__(self, opened: Any, name: str, path: pathlib.Path):
    self._opened, self._name, self._path = opened, name, path
    stored = opened.get_slice(name)
    self.shape = tuple(stored.get_shape())
    self._dtype = stored.get_dtype()

  def __array__(self, dtype=None, copy=None) -> np.ndarray:
    if self._dtype not in _DTYPES:
      raise UserError(
        f"{self._path}: '{self._name}' is stored as {self._dtype}, and "
        f"quantized weights are not supported; expected {', '.join(_DTYPES)}"
      )
    values = self._opened.get_tensor(self._name)
    return values if dtype is None else values.astype(dtype)


@contextlib.contextmanager
def open_tensors(directory: pathlib.Path) -> Iterator[dict[str, Tensor]]:
  """Yields the tensors of model.safetensors, or of the shards in its index.

  Raises:
    UserError: if there are none, or files are missing or damaged.
  """
  index = directory / INDEX
  if (directory / WEIGHTS).is_file():
    shards = {WEIGHTS: None}
  elif index.is_file():
    shards = _shards(index)
  else:
    pickled = [p.name for glob in PICKLES for p in directory.glob(glob)]
    if pickled:
      raise UserError(
        f"{directory}: only pickled weights ({pickled[0]}), which are never "
        f"opened because they can run code; expected {WEIGHTS}. If you trust "
        f"them, convert them with transformers.AutoModel.from_pretrained("
        f"'{directory}').save_pretrained('{directory}')"
      )
    raise UserError(
      f"{directory}: no weights; expected {WEIGHTS}, or {INDEX} with its "
      "shards; convert a Hub model that has only pickles with "
      "transformers.AutoModel.from_pretrained(NAME).save_pretrained(DIR)"
    )
  with contextlib.ExitStack() as stack:
    tensors = {}
    for shard, names in shards.items():
      path = directory / shard
      try:
        opened = stack.enter_context(safetensors.safe_open(path, "numpy"))
      except FileNotFoundError as e:
        raise UserError(
          f"{path}: no such file, although {INDEX} lists it; copy it again"
        ) from e
      except (OSError, safetensors.SafetensorError) as e:
        raise UserError(
          f"{path}: damaged or truncated ({e}); copy it again"
        ) from e
      stored = set(opened.keys())
      for name in stored if names is None else names:
        if name not in stored:
          raise UserError(
            f"{path}: no tensor '{name}', although {INDEX} lists it there; "
            "copy both again"
          )
        tensors[name] = Tensor(opened, name, path)
    yield tensors


def _shards(index: pathlib.Path) -> dict[str, list[str]]:
  """Returns the names of the tensors in each file, from an index."""
  values = read_json(index)
  names = values.get("weight_map") if isinstance(values, dict) else None
  if not isinstance(names, dict):
    raise UserError(
      f"{index}: no 'weight_map'; expected a map from tensor names to files"
    )
  shards = {}
  for name, shard in names.items():
    if not isinstance(shard, str) or pathlib.PurePath(shard).name != shard:
      raise UserError(
        f"{index}: '{name}' is in {shard!r}; expected a file beside the index"
      )
    shards.setdefault(shard, []).append(name)
  return shards
