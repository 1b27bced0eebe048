# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Checks whether the output of `prepare` exists and is up to date."""

import json
import pathlib

from nomic_jax.errors import UserError
from nomic_jax.storage import places


class Changed(UserError):
  """The output was made with other arguments, or from other inputs."""


def already(
  output: pathlib.Path, arguments: dict, overwrite: bool
) -> dict | None:
  """Returns the stats of `output` if it was made with `arguments`.

  Raises:
    Changed: if it was made with other arguments.
    UserError: if something else is there, or `output` cannot be written.
  """
  places.check_folder(
    output,
    f"{output}: exists and is not a data directory; choose another "
    "--output (nothing was changed)",
    _is_data,
    keep=not overwrite,
  )
  if overwrite or places.is_vacant(output):
    return None
  made = json.loads((output / "stats.json").read_text(encoding="utf-8"))
  before = made.get("arguments", {})
  different = [
    f"{key} was {before.get(key)!r} and is now {arguments.get(key)!r}"
    for key in {**before, **arguments}
    if before.get(key) != arguments.get(key)
  ]
  if different:
    raise Changed(
      f"{output}: made with other arguments ({', '.join(different)}); choose "
      "another --output, or --overwrite to replace it"
    )
  return made


def _is_data(path: pathlib.Path) -> bool:
  return all(
    (path / name).is_file() for name in ("stats.json", "dataset_info.json")
  )


def check_inputs(
  output: pathlib.Path, made: dict, inputs: dict[str, str | None]
) -> None:
  """Raises Changed if an input has changed since `output` was made."""
  for name, now in inputs.items():
    before = made.get(name)
    if before is not None and before != now:
      raise Changed(
        f"{output}: the {name} has changed since this was made from it; use "
        "--overwrite to make it again, or choose another --output"
      )
