# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The dims to which a model's vectors may be truncated, from its files.

In a model directory, config.json has the key `matryoshka_dimensions`, which
vLLM reads too; in a work directory, they are in the loss of config.json.
"""

import os
import pathlib

from nomic_jax.errors import UserError
from nomic_jax.storage import buckets
from nomic_jax.storage.keys import read_json
from nomic_jax.storage.values import Json
from nomic_jax.storage.values import Place

KEY = "matryoshka_dimensions"


def read(path: str | os.PathLike) -> tuple[int, ...]:
  """Returns the dims a model was trained for; () if its files list none.

  Raises:
    UserError: for a value that is not a list of dims.
  """
  path = pathlib.Path(buckets.fetch(path))
  file = training_of(path) / "config.json"
  if not file.is_file():
    return ()
  values = read_json(file)
  values = values if isinstance(values, dict) else {}
  dims: Json = values.get(KEY) or _of_loss(values.get("loss"))
  if not isinstance(dims, list) or not all(type(d) is int for d in dims):
    raise UserError(
      f"{file}: '{KEY}' is {dims!r}; expected a list of whole numbers"
    )
  return tuple(sorted(dims))


def training_of(path: Place) -> Place:
  """Returns the work directory that contains checkpoints/STEP, or `path`."""
  in_one = path.name.isdigit() and path.parent.name == "checkpoints"
  return path.parents[1] if in_one else path


def _of_loss(loss: Json) -> list[int]:
  if isinstance(loss, dict) and loss.get("matryoshka_dims"):
    return list(loss["matryoshka_dims"])
  return []
