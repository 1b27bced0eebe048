# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The manifest, reproduce.json: what a directory was made from.

Every directory that a job makes has one: work directories, exported models,
data directories and folders of teachers' vectors. It records what determines
the content: config or arguments, fingerprints of all inputs, the hash of the
code, library versions, devices. It embeds the manifests of the inputs, so a
model's manifest holds its whole history down to the source of its data.
`nomic-jax verify` compares it with the current state.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import hashlib
from importlib import metadata
import json
import os
import pathlib
import platform

import ml_collections

import nomic_jax
from nomic_jax.data import dataset
from nomic_jax.hub import matryoshka
from nomic_jax.hub.weights import WEIGHTS
from nomic_jax.storage import buckets
from nomic_jax.storage import fingerprints
from nomic_jax.storage import format_number
from nomic_jax.storage import hub_cache
from nomic_jax.storage import staging
from nomic_jax.storage import streams
from nomic_jax.storage.keys import read_json
from nomic_jax.storage.values import Json
from nomic_jax.storage.values import JsonObject
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
  """Returns the manifest of a training run that begins now.

  Args:
    config: as given.
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
    format_number.KEY: format_number.FORMAT,
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
  """Returns the manifest of a model directory that is being written.

  Args:
    source: the work directory or checkpoint that is exported, if any.
    step: the step of that checkpoint.
    directory: with the weights.
  """
  return {
    format_number.KEY: format_number.FORMAT,
    "weights": of_file(directory / WEIGHTS),
    "training": source
    and {"path": _absolute(source), "step": step, "manifest": read(source)},
  }


def of_merge(
  models: Sequence[str], arguments: Mapping[str, Json], directory: pathlib.Path
) -> dict:
  """Returns the manifest of a merged model directory that is being written.

  Args:
    models: paths or Hub names of the merged models, in their order.
    arguments: the arguments of the job.
    directory: with the weights.
  """
  return {
    format_number.KEY: format_number.FORMAT,
    "job": "merge",
    "arguments": dict(arguments),
    "weights": of_file(directory / WEIGHTS),
    "inputs": {
      f"models[{i}]": of_input(model) for i, model in enumerate(models)
    },
  } | environment(devices=False)


def of_data(
  arguments: Mapping[str, Json],
  rows: Mapping[str, Json],
  inputs: Mapping[str, dict | None],
  directory: pathlib.Path,
  devices: bool | None = None,
) -> dict:
  """Returns the manifest of a data directory, or of vectors, being written.

  Args:
    arguments: the arguments of the job, as in its stats.json.
    rows: row counts, as in its stats.json.
    inputs: what the job read, see `of_input`; those that are None are left out.
    directory: the directory, complete except for the manifest.
    devices: whether the content depends on devices; None: only if there is an
      input "model".
  """
  inputs = {name: value for name, value in inputs.items() if value}
  return {
    format_number.KEY: format_number.FORMAT,
    "job": arguments.get("job", "prepare"),
    "arguments": dict(arguments),
    "rows": dict(rows),
    "fingerprint": dataset.fingerprint(directory),
    "records": of_records(directory),
    "inputs": inputs,
  } | environment("model" in inputs if devices is None else devices)


def of_input(place: object) -> dict:
  """Returns an input's location, its fingerprint and its own manifest.

  Args:
    place: a data directory, a model or a corpus; or an object in memory, which
      has only a fingerprint.
  """
  if not isinstance(place, (str, os.PathLike)):
    return {"path": None, "fingerprint": fingerprints.of_content(place)}
  return {
    "path": _absolute(place),
    "fingerprint": of_place(place),
    "manifest": read(place),
  }


def of_place(place: str | os.PathLike) -> str | None:
  """Returns a fingerprint of a directory or file; None if there is none.

  For a data directory it is the one that training runs compare, which does not
  depend on records.
  """
  if _is_data(place):
    return dataset.fingerprint(place)
  if not buckets.as_path(place).exists():
    return None
  return fingerprints.of_content(place)


def of_records(directory: pathlib.Path) -> str | None:
  """Returns a fingerprint of only the rows of a data directory, or of vectors.

  It is the same for equal source and arguments, wherever the output is. It
  changes if the source moves, since rows record where they were read.
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
  """Returns a fingerprint of a tokenizer."""
  return fingerprints.of_text(tokenizer_lib.load(path).to_str())


def of_file(path: pathlib.Path) -> str | None:
  """Returns the SHA-256 hash of a file; None if there is none."""
  if not path.is_file():
    return None
  with open(path, "rb") as stream:
    return hashlib.file_digest(stream, "sha256").hexdigest()


def environment(devices: bool = True) -> JsonObject:
  """Returns the code, the libraries and, if they matter, the devices."""
  values: JsonObject = {
    "code": {"nomic_jax": nomic_jax.__version__, "hash": _of_code()},
    "libraries": {"python": platform.python_version()}
    | {name: _version(name) for name in _LIBRARIES},
  }
  if devices:
    import jax  # Here, so that jobs that do not compute start faster.

    jax_devices = jax.devices()
    values["devices"] = {
      "platform": jax_devices[0].platform,
      "kind": jax_devices[0].device_kind,
      "count": len(jax_devices),
      "processes": jax.process_count(),
    }
  return values


def read(path: str | os.PathLike) -> dict | None:
  """Returns the manifest of a directory, local, in a bucket or on the Hub.

  Returns None if there is none. Only this file is read from a bucket.
  """
  place = buckets.as_path(path)
  if not buckets.is_remote(path):
    place = hub_cache.find(path, (FILE,))
  file = matryoshka.training_of(place) / FILE
  with buckets.errors(path):
    if not file.is_file():
      return None
    values = (
      json.loads(buckets.retry(file.read_text))
      if (buckets.is_remote(path))
      else read_json(file)
    )
  return values or None


def _is_data(path: str | os.PathLike) -> bool:
  name = "dataset_info.json"
  return staging.holds(path, name) or (pathlib.Path(path) / name).is_file()


def _absolute(path: str | os.PathLike) -> str:
  """Returns an absolute path; Hub names and addresses stay as they are."""
  path = os.fspath(path)
  return streams.absolute(path) if os.path.exists(path) else path


def _of_code() -> str:
  """Returns a hash of the package's code, wherever it is installed."""
  root, digest = pathlib.Path(nomic_jax.__file__).parent, hashlib.sha256()
  for path in sorted(root.rglob("*.py")):
    digest.update(f"{path.relative_to(root)}\n".encode())
    digest.update(path.read_bytes())
  return digest.hexdigest()


def _rows(place: str) -> dict | None:
  stats = dataset.index(place) / "stats.json"
  values = read_json(stats) if stats.is_file() else {}
  return values.get("rows") if isinstance(values, dict) else None


def _version(name: str) -> str:
  try:
    return metadata.version(name)
  except metadata.PackageNotFoundError:
    return "none"
