# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""reproduce.json: what a model came of, so that it can be made again.

Every work directory and every exported model has one. It holds what decides
the numbers of a training: config, fingerprints of data and tokenizer, version
and hash of the code, versions of the libraries, devices; and the manifest of
the model that it started from, so that a model tells its whole history.
`nomic-jax verify` computes again what can be, and prints what differs.
"""

import hashlib
from importlib import metadata
import json
import os
import pathlib
import platform
from typing import Any, Iterator

import jax
import ml_collections

import nomic_jax
from nomic_jax.data import dataset
from nomic_jax.errors import UserError
from nomic_jax.hub import fetch
from nomic_jax.hub import matryoshka
from nomic_jax.hub.weights import WEIGHTS
from nomic_jax.storage import buckets
from nomic_jax.storage import fingerprints
from nomic_jax.storage.keys import read_json
from nomic_jax.text import tokenizer as tokenizer_lib

FILE = "reproduce.json"
_LIBRARIES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain",
              "array-record", "numpy", "tokenizers")


def of_training(
    config: ml_collections.ConfigDict, tokenizer: str | os.PathLike
) -> dict:
  """The manifest of a training that begins now.

  Args:
    config: as it was given.
    tokenizer: a tokenizer.json, or a folder with one.
  """
  data = {}
  for name in ("path", "teacher"):
    if place := config.data.get(name):
      data[f"config.data.{name}"] = {
          "path": str(place), "fingerprint": dataset.fingerprint(place),
          "rows": _rows(place)}
  return {
      "config": json.loads(config.to_json()),
      "data": data,
      "tokenizer": _of_tokenizer(tokenizer),
      "parent": config.init_from and {
          "path": str(config.init_from),
          "manifest": read(config.init_from)},
  } | environment()


def environment() -> dict[str, Any]:
  """What of this machine has a say: code, libraries, devices."""
  devices = jax.devices()
  return {
      "code": {"nomic_jax": nomic_jax.__version__, "hash": _of_code()},
      "libraries": {"python": platform.python_version()} | {
          name: _version(name) for name in _LIBRARIES},
      "devices": {
          "platform": devices[0].platform, "kind": devices[0].device_kind,
          "count": len(devices), "processes": jax.process_count()},
  }


def of_model(
    source: str | os.PathLike | None, directory: pathlib.Path
) -> dict:
  """The manifest of a model directory that is being written.

  Args:
    source: the work directory or checkpoint that it is of; None: of none.
    directory: with the weights.
  """
  return {
      "weights": _of_file(directory / WEIGHTS),
      "training": source and {
          "path": str(source), "manifest": read(source)},
  }


def read(path: str | os.PathLike) -> dict | None:
  """The manifest in a model or work directory; None where there is none."""
  place = pathlib.Path(buckets.fetch(fetch.find(path), checkpoints=False))
  found = matryoshka.training_of(place) / FILE
  return read_json(found) if found.is_file() else None


def verify(path: str) -> None:
  """Prints what differs from the manifest in a model or work directory.

  Raises:
    UserError: if there is none, or what is there now would give other numbers:
      another tokenizer, data or weights. Another machine is printed alone.
  """
  values = read(path)
  if values is None:
    raise UserError(
        f"{path}: no {FILE} in it; expected a work directory or an exported "
        "model, made by this version or a later one")
  wrong = 0
  for what, before, now, decides in _compared(pathlib.Path(path), values):
    if now is None:
      print(f"{what}: cannot be compared, it is not there any more")
    elif before == now:
      print(f"{what}: the same")
    else:
      wrong += decides
      print(f"{what}: was {before}, is {now}")
  if wrong:
    raise UserError(
        f"{path}: {wrong} of these differ and decide the numbers; see above")


def _compared(
    place: pathlib.Path, values: dict, depth: str = ""
) -> Iterator[tuple[str, Any, Any, bool]]:
  """(what, as it was, as it is or None, whether it decides), of all history."""
  if "weights" in values:
    yield (f"{depth}weights", values["weights"], _of_file(place / WEIGHTS),
           True)
  if "tokenizer" in values and (place / "tokenizer").is_dir():
    yield (f"{depth}tokenizer", values["tokenizer"],
           _of_tokenizer(place / "tokenizer"), True)
  for name, about in values.get("data", {}).items():
    there = os.path.exists(about["path"])
    yield (f"{depth}{name} {about['path']}", about["fingerprint"],
           dataset.fingerprint(about["path"]) if there else None, True)
  for group, now in environment().items() if "config" in values else ():
    for name, before in values[group].items():
      if before != now.get(name):
        yield f"{depth}{group}: {name}", before, str(now.get(name)), False
  for name in ("training", "parent"):
    before = values.get(name)
    if before and before["manifest"]:
      where = pathlib.Path(before["path"])
      now = read(where) if where.exists() else None
      yield (f"{depth}{name} {where}", _of_values(before["manifest"]),
             now and _of_values(now), True)
      yield from _compared(where, before["manifest"], f"{depth}{name}: ")


def _of_values(values: dict) -> str:
  return fingerprints.of_text(json.dumps(values, sort_keys=True))


def _of_tokenizer(path: str | os.PathLike) -> str:
  return fingerprints.of_text(tokenizer_lib.load(path).to_str())


def _of_file(path: pathlib.Path) -> str | None:
  if not path.is_file():
    return None
  with open(path, "rb") as stream:
    return hashlib.file_digest(stream, "sha256").hexdigest()


def _of_code() -> str:
  """Of all that is in the package, whatever its place."""
  root, digest = pathlib.Path(nomic_jax.__file__).parent, hashlib.sha256()
  for path in sorted(root.rglob("*.py")):
    digest.update(f"{path.relative_to(root)}\n".encode())
    digest.update(path.read_bytes())
  return digest.hexdigest()


def _rows(place: str) -> dict | None:
  stats = pathlib.Path(place) / "stats.json"
  found = read_json(stats) if stats.is_file() else {}
  return found.get("rows") if isinstance(found, dict) else None


def _version(name: str) -> str:
  try:
    return metadata.version(name)
  except metadata.PackageNotFoundError:
    return "none"
