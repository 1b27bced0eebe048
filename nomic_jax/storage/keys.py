# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Foreign JSON files, read key by key with type checks."""

from collections.abc import Collection
from collections.abc import Mapping

from nomic_jax.errors import nearest
from nomic_jax.errors import one_of
from nomic_jax.errors import UserError
from nomic_jax.storage.files import read_json  # noqa: F401, as keys.read_json
from nomic_jax.storage.values import Json

ANY = None  # in `Keys.only`: any value; the key is read elsewhere or harmless


class Keys:
  """The keys of a config.json, read with type checks."""

  def __init__(self, values: Mapping[str, Json], where: str):
    if not isinstance(values, Mapping):
      raise UserError(f"{where}: expected a JSON object")
    self._values, self.where = values, where

  def __contains__(self, key: str) -> bool:
    return self._values.get(key) is not None

  def any(self, key: str) -> Json:
    """Returns the value of any type, or None if absent."""
    return self._values.get(key)

  def with_defaults(self, **values: Json) -> "Keys":
    """Returns a copy with values for the keys that are absent or null."""
    there = {k: v for k, v in self._values.items() if v is not None}
    return Keys(values | there, self.where)

  def without(self, *names: str) -> "Keys":
    """Returns a copy as if these keys were absent.

    For a reader that passes the rest on to another, which does not know them.
    """
    rest = {k: v for k, v in self._values.items() if k not in names}
    return Keys(rest, self.where)

  def only(self, known: Mapping[str, Collection[Json] | None]) -> None:
    """Refuses keys that are unknown or have an unsupported value.

    Args:
      known: the supported values of each key, or ANY.

    Raises:
      UserError: naming the key.
    """
    for key, value in self._values.items():
      if key not in known:
        raise UserError(
          f"{self.where}: unknown key '{key}', which may change what the "
          f"model computes.{nearest(key, known)} Remove it if it does not"
        )
      supported = known[key]  # None: ANY
      if supported is not None and value not in supported:
        wanted = " or ".join(map(repr, supported))
        raise UserError(
          f"{self.where}: {key}={value!r} is not supported; expected {wanted}"
        )

  def get(self, key: str, kind: type, *default: Json) -> Json:
    """Returns the value of a key.

    Args:
      key: the name.
      kind: the expected type; an int is accepted as a float.
      *default: returned if the key is absent or null; without one it is
        required.

    Raises:
      UserError: if the key is missing or has another type.
    """
    value = self._values.get(key)
    if value is None:
      if not default:
        raise UserError(f"{self.where}: key '{key}' is missing")
      return default[0]
    if kind is float and type(value) is int:
      return float(value)
    if type(value) is not kind:
      raise UserError(
        f"{self.where}: {key}={value!r} is a {type(value).__name__}; "
        f"expected {kind.__name__}"
      )
    return value

  def same(self, key: str, other: str) -> None:
    """Raises UserError if both keys are present with different values."""
    if self.any(key) not in (None, self.any(other)):
      raise UserError(
        f"{self.where}: {key}={self.any(key)!r} is not supported; expected "
        f"the value of {other}, {self.any(other)!r}"
      )

  def activation(self, key: str, table: Mapping[str, str], default: str) -> str:
    """Returns our name of an activation, by a table from the file's names."""
    value = self.get(key, str, default)
    one_of(value, table, f"{self.where}: {key}='{value}' is not supported")
    return table[value]
