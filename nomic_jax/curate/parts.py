# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Finished pieces of a long job, kept beside its output until it is complete.

A job is identified by its arguments: its flags, and the contents of its model
and input. Pieces and outputs record them, so only the same command resumes a
job, and results of different models or flags are never mixed.
"""

from collections.abc import Callable
from collections.abc import Mapping
import json
import os
import pathlib
import shutil

import numpy as np

from nomic_jax.errors import UserError
from nomic_jax.mesh import processes
from nomic_jax.mesh import restarts
from nomic_jax.storage import files
from nomic_jax.storage import fingerprints
from nomic_jax.storage import places
from nomic_jax.storage.values import Json

identity = fingerprints.of_content


class Parts:
  """The folder `<output>.parts` with the finished pieces of a job."""

  def __init__(self, output: str | os.PathLike, arguments: Mapping[str, Json]):
    """Opens the folder of an interrupted job, or creates a new one.

    Raises:
      UserError: if the folder belongs to a job with other arguments.
    """
    self.output = pathlib.Path(output)
    self._folder = _folder(output)
    if self._folder.is_dir():
      recorded = _read_arguments(self._folder / "arguments.json")
      if recorded != dict(arguments):
        raise UserError(
          f"{self._folder}: an interrupted job with other arguments "
          f"({_difference(recorded, arguments)}); finish it with those, or "
          "delete this folder"
        )
      return
    with files.replacing(self._folder) as temporary:
      temporary.mkdir()
      (temporary / "arguments.json").write_text(json.dumps(arguments))

  def path(self, name: str) -> pathlib.Path:
    """Returns the path of a piece that is a folder of embeddings."""
    return self._folder / name

  def has(self, name: str) -> bool:
    """Returns whether the arrays `name` have been saved."""
    return (self._folder / f"{name}.npz").is_file()

  def save(self, name: str, **arrays: np.ndarray) -> None:
    """Saves arrays under `name`; they appear whole or not at all."""
    with files.replacing(self._folder / f"{name}.npz") as temporary:
      with open(temporary, "wb") as f:
        np.savez(f, **arrays)  # pyright: ignore[reportArgumentType]

  def load(self, name: str) -> dict[str, np.ndarray]:
    """Returns the arrays saved under `name`."""
    with np.load(self._folder / f"{name}.npz") as arrays:
      return dict(arrays)

  def count(self) -> int:
    """Returns the number of finished files."""
    return sum(
      p.is_file() and p.name != "restarts.json" for p in self._folder.rglob("*")
    )

  def discard(self, *names: str) -> None:
    """Removes folders by their `path` names, if they exist."""
    for name in names:
      shutil.rmtree(self.path(name), ignore_errors=True)

  def remove(self) -> None:
    """Removes the folder and all pieces."""
    shutil.rmtree(self._folder)


def shared(output: str | os.PathLike, arguments: Mapping[str, Json]) -> Parts:
  """Returns `Parts` in all processes of a job; the first creates the folder."""
  if processes.is_first():
    Parts(output, arguments)
  processes.barrier("parts")
  done = Parts(output, arguments)
  restarts.count(done.path(""), done.count())
  return done


def finish(done: Parts, write: Callable[[], dict]) -> dict:
  """Makes the first process write the output and remove the parts.

  Args:
    done: the parts.
    write: writes the output and returns its stats.

  Returns:
    The stats, in every process.
  """
  if processes.is_first():
    stats = write()
    done.remove()
    processes.barrier("written")
    return stats
  processes.barrier("written")
  return json.loads((done.output / "stats.json").read_text("utf-8"))


def finished(
  output: str | os.PathLike, arguments: Mapping[str, Json]
) -> dict | None:
  """Returns stats.json of `output` if a job with `arguments` made it.

  If so, prints that the output is complete, and removes any remaining pieces.

  Returns:
    The stats; None if `output` does not exist.

  Raises:
    UserError: if something else is there, or `output` is not writable.
  """
  places.check_local(output)
  places.check_folder(
    output,
    f"{output}: already exists and was not made by nomic-jax "
    f"{arguments['job']}; choose another --output or remove it",
    lambda path: _made(path).get("job") == arguments["job"],
    keep=True,
  )
  output = pathlib.Path(output)
  if places.is_vacant(output):
    return None
  recorded = _made(output)
  if recorded != dict(arguments):
    raise UserError(
      f"{output}: already made with other arguments "
      f"({_difference(recorded, arguments)}); choose another --output or "
      "remove it"
    )
  leftover = _folder(output)
  if leftover.is_dir():
    shutil.rmtree(leftover)
  print(f"{output}: already complete with these arguments, nothing to do")
  return json.loads((output / "stats.json").read_text("utf-8"))


def _folder(output: str | os.PathLike) -> pathlib.Path:
  return places.beside(places.real(output), ".parts")


def _made(output: pathlib.Path) -> dict:
  """Returns the arguments that an output was made with; {} if it is none."""
  if (
    not (output / "dataset_info.json").is_file()
    or not (output / "stats.json").is_file()
  ):
    return {}
  made = json.loads((output / "stats.json").read_text("utf-8"))
  arguments = made.get("arguments")
  return arguments if isinstance(arguments, dict) else {}


def _read_arguments(path: pathlib.Path) -> dict:
  return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def _difference(before: Mapping[str, Json], now: Mapping[str, Json]) -> str:
  def describe(key):
    if key in ("model", "input"):
      return f"the content of its {key} was different"
    return f"{key} was {before.get(key)}, now {now.get(key)}"

  keys = sorted(set(before) | set(now))
  return "; ".join(describe(k) for k in keys if before.get(k) != now.get(k))
