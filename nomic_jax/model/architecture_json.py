# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""An `Architecture` as JSON: encoder.json of a work directory."""

import dataclasses
import typing

from nomic_jax.errors import one_of
from nomic_jax.errors import UserError
from nomic_jax.model.architecture import Architecture
from nomic_jax.model.architecture import Layer
from nomic_jax.model.config import EncoderConfig
from nomic_jax.storage.values import Json
from nomic_jax.storage.values import JsonObject


def to_json(architecture: Architecture) -> JsonObject:
  """Returns nested dicts; layers are listed as units with their repeats."""
  values = dataclasses.asdict(architecture)
  values["layers"] = [
    {
      "unit": [dataclasses.asdict(layer) for layer in run.unit],
      "repeats": run.repeats,
    }
    for run in architecture.runs
  ]
  return values


def from_json(values: Json, where: str) -> Architecture:
  """Inverts `to_json`; also reads the fields of an `EncoderConfig`.

  The work directories of version 0.1.0 hold the latter.

  Args:
    values: contents of the file.
    where: the file, for messages.

  Raises:
    UserError: naming an unknown or missing key.
  """
  if not isinstance(values, dict):
    raise UserError(f"{where}: expected a JSON object")
  if not isinstance(values.get("layers"), list):
    return _decode(EncoderConfig, values, where).architecture
  runs = [_decode(_Run, run, where) for run in values["layers"]]
  rest = _decode(Architecture, values | {"layers": ()}, where)
  return dataclasses.replace(
    rest, layers=sum((run.unit * run.repeats for run in runs), ())
  )


@dataclasses.dataclass(frozen=True)
class _Run:
  """An `architecture.Run` as stored in the file."""

  unit: tuple[Layer, ...]
  repeats: int


def _decode(kind: Json, value: Json, where: str) -> Json:
  """Returns a value of the annotated type `kind`."""
  if isinstance(kind, type) and dataclasses.is_dataclass(kind):
    known = typing.get_type_hints(kind)
    try:
      for name in value:
        one_of(name, known, f"{where}: unknown key '{name}'")
      return kind(**{k: _decode(known[k], v, where) for k, v in value.items()})
    except TypeError as e:
      raise UserError(f"{where}: {e}; copy it again") from e
  of = [x for x in typing.get_args(kind) if x not in (type(None), ...)]
  if not of or value is None:
    return value
  if typing.get_origin(kind) is tuple:
    return tuple(_decode(of[0], x, where) for x in value)
  return _decode(of[0], value, where)
