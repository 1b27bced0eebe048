# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Finished pieces of a long job, kept beside its output until that is whole.

A job is named by its arguments: flags, and what its model and input hold.
Pieces and outputs carry these, so work is taken up again by the same command
only, and never mixed with that of another model or flag.
"""

from collections.abc import Callable
from collections.abc import Mapping
import json
import os
import pathlib
import shutil
from typing import Any

import numpy as np

from nomic_jax.errors import UserError
from nomic_jax.mesh import processes
from nomic_jax.mesh import restarts
from nomic_jax.storage import files
from nomic_jax.storage import fingerprints
from nomic_jax.storage import places

identity = fingerprints.of_content


class Parts:
  """The folder `<output>.parts` of pieces that one job has finished."""

  def __init__(self, output: str | os.PathLike, arguments: Mapping[str, Any]):
    """Opens the folder of an interrupted job, or makes a new one.

    Raises:
      UserError: if what lies there is of a job with other arguments.
    """
    self.output = pathlib.Path(output)
    self._folder = _folder(output)
    if self._folder.is_dir():
      there = _read_arguments(self._folder / "arguments.json")
      if there != dict(arguments):
        raise UserError(
          f"{self._folder}: an interrupted job with other arguments "
          f"({_difference(there, arguments)}); finish it with those, or "
          "delete this folder"
        )
      return
    with files.replacing(self._folder) as temporary:
      temporary.mkdir()
      (temporary / "arguments.json").write_text(json.dumps(arguments))

  def path(self, name: str) -> pathlib.Path:
    """Where a piece that is not an .npz lies: a folder of embeddings."""
    return self._folder / name

  def has(self, name: str) -> bool:
    return (self._folder / f"{name}.npz").is_file()

  def save(self, name: str, **arrays: np.ndarray) -> None:
    """Keeps arrays under `name`; they are there whole or not at all."""
    with files.replacing(self._folder / f"{name}.npz") as temporary:
      with open(temporary, "wb") as f:
        np.savez(f, **arrays)

  def load(self, name: str) -> dict[str, np.ndarray]:
    with np.load(self._folder / f"{name}.npz") as arrays:
      return dict(arrays)

  def count(self) -> int:
    """How many files have been finished."""
    return sum(
      p.is_file() and p.name != "restarts.json" for p in self._folder.rglob("*")
    )

  def discard(self, *names: str) -> None:
    """Removes folders given by their `path` names, where they are."""
    for name in names:
      shutil.rmtree(self.path(name), ignore_errors=True)

  def remove(self) -> None:
    shutil.rmtree(self._folder)


def shared(output: str | os.PathLike, arguments: Mapping[str, Any]) -> Parts:
  """`Parts` of all processes of a job; the first one makes the folder."""
  if processes.is_first():
    Parts(output, arguments)
  processes.meet("parts")
  done = Parts(output, arguments)
  restarts.count(done.path(""), done.count())
  return done


def finish(done: Parts, write: Callable[[], dict]) -> dict:
  """Has the first process write the output and remove the parts.

  Args:
    done: the parts.
    write: writes the output and returns its stats.

  Returns:
    The stats, in every process.
  """
  if processes.is_first():
    stats = write()
    done.remove()
    processes.meet("written")
    return stats
  processes.meet("written")
  return json.loads((done.output / "stats.json").read_text("utf-8"))


def finished(
  output: str | os.PathLike, arguments: Mapping[str, Any]
) -> dict | None:
  """Returns stats.json of `output` if a job with `arguments` has made it.

  Then says so, and removes pieces that a kill after the last step left.

  Returns:
    None if nothing stands there.

  Raises:
    UserError: if something else stands there, or nothing can be written.
  """
  places.check_folder(
    output,
    f"{output}: already there and not made by nomic-jax "
    f"{arguments['job']}; choose another --output or remove it",
    lambda path: _made(path).get("job") == arguments["job"],
    keep=True,
  )
  output = pathlib.Path(output)
  if places.is_vacant(output):
    return None
  there = _made(output)
  if there != dict(arguments):
    raise UserError(
      f"{output}: already made with other arguments "
      f"({_difference(there, arguments)}); choose another --output or "
      "remove it"
    )
  left = _folder(output)
  if left.is_dir():
    shutil.rmtree(left)
  print(f"{output}: already complete with these arguments, left as it is")
  return json.loads((output / "stats.json").read_text("utf-8"))


def _folder(output: str | os.PathLike) -> pathlib.Path:
  return places.beside(places.real(output), ".parts")


def _made(output: pathlib.Path) -> dict:
  """The arguments that an output was made with, {} if it is none."""
  if (
    not (output / "dataset_info.json").is_file()
    or not (output / "stats.json").is_file()
  ):
    return {}
  made = json.loads((output / "stats.json").read_text("utf-8"))
  found = made.get("arguments")
  return found if isinstance(found, dict) else {}


def _read_arguments(path: pathlib.Path) -> dict:
  return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def _difference(there: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
  def told(key):
    if key in ("model", "input"):
      return f"its {key} held other things"
    return f"{key} {there.get(key)} there, {asked.get(key)} asked"

  keys = sorted(set(there) | set(asked))
  return "; ".join(told(k) for k in keys if there.get(k) != asked.get(k))
