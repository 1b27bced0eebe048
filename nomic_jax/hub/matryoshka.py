# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Models whose vectors may be truncated: the dims they were trained for.

In a model directory, config.json has the key `matryoshka_dimensions`, which
vLLM reads too; in a work directory, they are in the loss of config.json.
"""

from collections.abc import Sequence
import dataclasses
import os
import pathlib
import warnings

import numpy as np

from nomic_jax.errors import UserError
from nomic_jax.model.architecture import Architecture
from nomic_jax.model.head import Module
from nomic_jax.model.params import Params
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


def check(dim: int, width: int, dims: Sequence[int], flag: str) -> None:
  """Warns of a dim that a model of `width` was not trained for.

  Args:
    dim: the number of dimensions to keep.
    width: the dimensions of the model's vectors.
    dims: the dims it was trained for; () if not known.
    flag: where `dim` was given.

  Raises:
    UserError: if there is no such dim.
  """
  if not 0 < dim <= width:
    raise UserError(f"{flag}: dim {dim} is not between 1 and {width}")
  if dims and dim not in (width, *dims):
    warnings.warn(
      f"dim {dim} is not one of those the model was trained for, "
      f"{', '.join(map(str, dims))}; use the next larger one",
      stacklevel=4,
    )


def truncated(
  architecture: Architecture, params: Params, dim: int
) -> tuple[Architecture, Params]:
  """Returns the model whose vectors are the first `dim` dimensions.

  sentence-transformers' files cannot say that a vector is truncated, so a dense
  layer does it: its kernel is the first `dim` columns of the identity.

  Args:
    architecture: what the model computes.
    params: the encoder's tree.
    dim: at most its output width.

  Raises:
    UserError: if it has a vector per token.
  """
  head = architecture.head
  head.check_one_vector()
  width = architecture.output_width
  if dim == width:
    return architecture, params
  longer = dataclasses.replace(
    head, modules=(*head.modules, Module("dense", dim, bias=False))
  )
  # A further module may change the names of those before it.
  renamed = {
    new: params[old]
    for old, new in zip(head.names, longer.names)
    if old in params
  }
  own = {name: x for name, x in params.items() if name not in head.names}
  kernel = {longer.names[-1]: {"kernel": np.eye(width, dim, dtype=np.float32)}}
  return (
    dataclasses.replace(architecture, head=longer),
    own | renamed | kernel,
  )


def training_of(path: Place) -> Place:
  """Returns the work directory that contains checkpoints/STEP, or `path`."""
  in_one = path.name.isdigit() and path.parent.name == "checkpoints"
  return path.parents[1] if in_one else path


def _of_loss(loss: Json) -> list[int]:
  if isinstance(loss, dict) and loss.get("matryoshka_dims"):
    return list(loss["matryoshka_dims"])
  return []
