# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Checks whether the output of `prepare` exists and is up to date."""

from collections.abc import Sequence
import dataclasses
import json
import os
import pathlib

from nomic_jax.data import readers
from nomic_jax.errors import UserError
from nomic_jax.storage import fingerprints
from nomic_jax.storage import places
from nomic_jax.storage import streams


def is_docstrings(source: str) -> bool:
  """Returns whether a source is the docstrings of Python files."""
  return source == "docstrings" or source.startswith("docstrings:")


def absolute(source: str) -> str:
  """Returns `source` in a form valid in any working directory."""
  if source == "docstrings":
    return source
  if is_docstrings(source):
    return "docstrings:" + os.path.abspath(source.split(":", 1)[1])
  kind, colon, path = source.partition(":")
  if colon and not path.startswith("//"):
    exists = os.path.exists(path)
    return f"{kind}:{os.path.abspath(path)}" if exists else source
  return streams.absolute(source)


def already(
  output: pathlib.Path, arguments: dict, overwrite: bool
) -> dict | None:
  """Returns the stats of `output` if it was made with `arguments`.

  Raises:
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
    raise UserError(
      f"{output}: made with other arguments ({', '.join(different)}); choose "
      "another --output, or --overwrite to replace it"
    )
  return made


def _is_data(path: pathlib.Path) -> bool:
  return all(
    (path / name).is_file() for name in ("stats.json", "dataset_info.json")
  )


def stamps(source: str, parts: list[readers.Part]) -> list[list] | None:
  """Returns [name, size, time or version] of each of the source's files.

  Returns None for sources without files: those on the Hub, and all Python
  packages of this machine.
  """
  if not is_docstrings(source):
    return readers.stamps(parts)
  if ":" in source:
    return fingerprints.stamps(pathlib.Path(source.partition(":")[2]), "*.py")
  return None


def of_files(file_stamps: list[list] | None) -> str | None:
  """Returns a fingerprint of `stamps` that a copy of the files has too."""
  return (
    None
    if file_stamps is None
    else fingerprints.of_stamps([stamp[:2] for stamp in file_stamps])
  )


def of_source(
  source: str, include: Sequence[str] = (), documents: Sequence[str] = ()
) -> str | None:
  """Returns `of_files` of a source in its present state.

  For the arguments see `prepare`.

  Raises:
    UserError: if the source does not exist.
  """
  parts = (
    []
    if is_docstrings(source)
    else readers.find(source, readers.Columns(), include)
  )
  if documents:  # --documents, its path first
    beside = (documents[0],)
    parts = [dataclasses.replace(part, beside=beside) for part in parts]
  return of_files(stamps(source, parts))


def check_inputs(
  output: pathlib.Path, made: dict, inputs: dict[str, str | None]
) -> None:
  """Raises UserError if an input has changed since `output` was made."""
  for name, now in inputs.items():
    before = made.get(name)
    if before is not None and before != now:
      raise UserError(
        f"{output}: the {name} has changed since this was made from it; use "
        "--overwrite to make it again, or choose another --output"
      )
