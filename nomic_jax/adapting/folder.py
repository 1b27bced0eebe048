# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The folder of an adaptation: its arguments, results and report lines."""

from collections.abc import Iterator
import contextlib
import json
import os
import pathlib
import shutil
import time

from nomic_jax.errors import UserError
from nomic_jax.storage import places
from nomic_jax.storage.files import read_json
from nomic_jax.storage.files import replacing
from nomic_jax.storage.values import Json
from nomic_jax.storage.values import JsonObject

# Made before any choice, so they can be made again if the arguments change.
_UNDECIDED = ("data", "held_out", "trial", "before", "minutes")


class Folder:
  """The folder of an adaptation, and the lines of its report."""

  def __init__(self, root: pathlib.Path, model: str, source: str):
    self._root, self.model, self.source = root, model, source
    self.notes: list[str] = []
    self.chosen: list[tuple[str, str]] = []
    self.minutes: dict[str, float] = {}

  def path(self, *names: str) -> pathlib.Path:
    """Returns a path in the folder."""
    return self._root.joinpath(*names)

  def claim(self, arguments: JsonObject) -> None:
    """Checks that the folder is new, or was made with these arguments.

    If no sizes have been chosen yet, changed arguments are accepted and earlier
    results are discarded.

    Raises:
      UserError: if the folder has other contents, or was made with other
        arguments.
    """
    absolute = lambda p: os.path.abspath(p) if os.path.exists(p) else p
    arguments = {
      "model": absolute(self.model),
      "source": absolute(self.source),
    } | arguments
    arguments = json.loads(json.dumps(arguments))
    file = self.path("arguments.json")
    places.check_folder(
      self._root,
      f"{self._root}: already exists and was not made by nomic-jax adapt; "
      "choose another --output",
      lambda path: (path / "arguments.json").is_file(),
    )
    known = read_json(file) if file.is_file() else {}
    differing = [
      key
      for key in sorted(known.keys() | arguments.keys())
      if known.get(key) != arguments.get(key)
    ]
    if differing:
      key = differing[0]
      self.discard(
        f"{key} was {known.get(key)!r} and is now {arguments.get(key)!r}"
      )
      self.write("arguments.json", arguments)
    if self.path("minutes.json").is_file():
      self.minutes = read_json(self.path("minutes.json"))

  def check_inputs(self, fingerprints: dict[str, str]) -> None:
    """Checks that the inputs are those that earlier results were made from.

    Args:
      fingerprints: of the contents of each input, by name. An input without a
        recorded fingerprint is not compared.

    Raises:
      UserError: if one has changed since sizes were chosen.
    """
    file = self.path("inputs.json")
    known = read_json(file) if file.is_file() else {}
    for name, fingerprint in fingerprints.items():
      if known.get(name, fingerprint) != fingerprint:
        self.discard(f"--{name} has changed since these results were made")
    if known != fingerprints:
      self.write("inputs.json", fingerprints)

  def discard(self, why: str) -> None:
    """Removes the results that are made before sizes are chosen.

    Raises:
      UserError: if sizes have been chosen.
    """
    if self.path("chosen.json").is_file():
      raise UserError(
        f"{self._root}: {why}; choose another --output, or remove this one"
      )
    for name in _UNDECIDED:
      shutil.rmtree(self.path(name), ignore_errors=True)
      self.path(f"{name}.json").unlink(missing_ok=True)
    self.minutes = {}

  def write(self, name: str, value: Json) -> None:
    """Writes a value as JSON."""
    with replacing(self.path(name)) as temporary:
      temporary.write_text(json.dumps(value, indent=2) + "\n")

  @contextlib.contextmanager
  def step(self, name: str, title: str) -> Iterator[None]:
    """Prints the title and records the step's minutes, summed over restarts."""
    print(f"\n== {title}", flush=True)
    began = time.monotonic()
    yield
    spent = (time.monotonic() - began) / 60
    self.minutes[name] = self.minutes.get(name, 0.0) + spent
    self.write("minutes.json", self.minutes)

  def note(self, line: str) -> None:
    """Prints a line and adds it to the report."""
    print(line, flush=True)
    self.notes.append(line)

  def choose(self, what: str, value: str) -> None:
    """Prints a choice and adds it to the report."""
    print(f"{what:<26}{value}", flush=True)
    self.chosen.append((what, value))
