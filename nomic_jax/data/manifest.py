# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""reproduce.json: what a directory was made of, so that it can be made again.

Every directory that a job makes has one: work directories, exported models,
data directories and the folders of teachers' vectors. It records what
determines the content: config or arguments, fingerprints of all inputs, hash
of the code, versions of the libraries, devices. It embeds the manifests of
the inputs, so that a model tells its whole history, down to the source of its
data. `nomic-jax verify` compares it with what is there now.
"""

from collections.abc import Mapping
import hashlib
from importlib import metadata
import json
import os
import pathlib
import platform
from typing import Any

import ml_collections

import nomic_jax
from nomic_jax.data import dataset
from nomic_jax.hub import matryoshka
from nomic_jax.hub.weights import WEIGHTS
from nomic_jax.storage import buckets
from nomic_jax.storage import fingerprints
from nomic_jax.storage import hub_cache
from nomic_jax.storage import staging
from nomic_jax.storage import streams
from nomic_jax.storage.keys import read_json
from nomic_jax.text import tokenizer as tokenizer_lib

FILE = "reproduce.json"
_RECORDS = ("*.array_record-*", "*.npy")
_LIBRARIES = (
  "jax",
  "jaxlib",
  "flax",
  "optax",
  "orbax-checkpoint",
  "grain",
  "array-record",
  "numpy",
  "tokenizers",
)


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
        "path": _absolute(place),
        "fingerprint": dataset.fingerprint(place),
        "rows": _rows(place),
        "manifest": read(place),
      }
  return {
    "config": json.loads(config.to_json()),
    "data": data,
    "tokenizer": of_tokenizer(tokenizer),
    "parent": config.init_from
    and {
      "path": _absolute(config.init_from),
      "manifest": read(config.init_from),
    },
  } | environment()


def of_model(
  source: str | os.PathLike | None, step: int | None, directory: pathlib.Path
) -> dict:
  """The manifest of a model directory that is being written.

  Args:
    source: the work directory or checkpoint that it is exported from, if any.
    step: of that checkpoint.
    directory: with the weights.
  """
  return {
    "weights": of_file(directory / WEIGHTS),
    "training": source
    and {"path": _absolute(source), "step": step, "manifest": read(source)},
  }


def of_data(
  arguments: Mapping[str, Any],
  rows: Mapping[str, Any],
  inputs: Mapping[str, dict | None],
  directory: pathlib.Path,
  devices: bool | None = None,
) -> dict:
  """The manifest of a data directory, or of vectors, that is being written.

  Args:
    arguments: of the job, as its stats.json has them.
    rows: how many there are, as its stats.json has them.
    inputs: what the job read, see `of_input`; None are left out.
    directory: with all of its other files.
    devices: whether they have a say; None: if there is an input "model".
  """
  inputs = {name: value for name, value in inputs.items() if value}
  return {
    "job": arguments.get("job", "prepare"),
    "arguments": dict(arguments),
    "rows": dict(rows),
    "fingerprint": dataset.fingerprint(directory),
    "records": of_records(directory),
    "inputs": inputs,
  } | environment("model" in inputs if devices is None else devices)


def of_input(place: Any) -> dict:
  """Where an input lies, a fingerprint of it, and its own manifest.

  Args:
    place: a data directory, a model, a corpus; or an object in memory, of
      which there is a fingerprint alone.
  """
  if not isinstance(place, (str, os.PathLike)):
    return {"path": None, "fingerprint": fingerprints.of_content(place)}
  return {
    "path": _absolute(place),
    "fingerprint": of_place(place),
    "manifest": read(place),
  }


def of_place(place: str | os.PathLike) -> str | None:
  """A fingerprint of a directory or file; None if nothing is there.

  Of a data directory it is the one that trainings compare, which reads no
  records.
  """
  if _is_data(place):
    return dataset.fingerprint(place)
  if not buckets.place(place).exists():
    return None
  return fingerprints.of_content(place)


def of_records(directory: pathlib.Path) -> str | None:
  """A fingerprint of the rows of a data directory, or of vectors, alone.

  The same source and arguments give the same one wherever the output lies. A
  row records where it was read, so a source that lies elsewhere gives another.
  """
  files = sorted(p for pattern in _RECORDS for p in directory.glob(pattern))
  return (
    fingerprints.of_text(
      " ".join(f"{p.name} {fingerprints.of_content(p)}" for p in files)
    )
    if files
    else (None)
  )


def of_tokenizer(path: str | os.PathLike) -> str:
  return fingerprints.of_text(tokenizer_lib.load(path).to_str())


def of_file(path: pathlib.Path) -> str | None:
  if not path.is_file():
    return None
  with open(path, "rb") as stream:
    return hashlib.file_digest(stream, "sha256").hexdigest()


def environment(devices: bool = True) -> dict[str, Any]:
  """The code, the libraries and, if they have a say, the devices."""
  found = {
    "code": {"nomic_jax": nomic_jax.__version__, "hash": _of_code()},
    "libraries": {"python": platform.python_version()}
    | {name: _version(name) for name in _LIBRARIES},
  }
  if devices:
    import jax  # Jobs that do not compute start without it.

    there = jax.devices()
    found["devices"] = {
      "platform": there[0].platform,
      "kind": there[0].device_kind,
      "count": len(there),
      "processes": jax.process_count(),
    }
  return found


def read(path: str | os.PathLike) -> dict | None:
  """The manifest of a directory, here, in a bucket or on the hub, if any.

  Of a directory in a bucket this file alone is read.
  """
  place = buckets.place(path)
  if not buckets.is_remote(path):
    place = hub_cache.find(path, (FILE,))
  file = matryoshka.training_of(place) / FILE
  with buckets.errors(path):
    if not file.is_file():
      return None
    values = (
      json.loads(buckets.patiently(file.read_text))
      if (buckets.is_remote(path))
      else read_json(file)
    )
  return values or None


def _is_data(path: str | os.PathLike) -> bool:
  name = "dataset_info.json"
  return staging.holds(path, name) or (pathlib.Path(path) / name).is_file()


def _absolute(path: str | os.PathLike) -> str:
  """Names on the hub and addresses stay as they are."""
  path = os.fspath(path)
  return streams.absolute(path) if os.path.exists(path) else path


def _of_code() -> str:
  """Of all that is in the package, whatever its place."""
  root, digest = pathlib.Path(nomic_jax.__file__).parent, hashlib.sha256()
  for path in sorted(root.rglob("*.py")):
    digest.update(f"{path.relative_to(root)}\n".encode())
    digest.update(path.read_bytes())
  return digest.hexdigest()


def _rows(place: str) -> dict | None:
  stats = dataset.index(place) / "stats.json"
  found = read_json(stats) if stats.is_file() else {}
  return found.get("rows") if isinstance(found, dict) else None


def _version(name: str) -> str:
  try:
    return metadata.version(name)
  except metadata.PackageNotFoundError:
    return "none"
