# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""A training run's directory: its config, encoder, tokenizer and usage.

They appear all at once, before the first step, so an interrupted training run
always leaves a directory from which the same command resumes. In a bucket they
appear one by one, the config last.
"""

import json
import os
import pathlib

import ml_collections

from nomic_jax.data import dataset
from nomic_jax.errors import Stopped
from nomic_jax.errors import UserError
from nomic_jax.mesh import processes
from nomic_jax.model import architecture_json
from nomic_jax.model.architecture import Architecture
from nomic_jax.model.usage import Usage
from nomic_jax.run.checkpoint import latest_step
from nomic_jax.storage import buckets
from nomic_jax.storage import decoding
from nomic_jax.storage import format_number
from nomic_jax.storage import places
from nomic_jax.storage.files import read_json
from nomic_jax.storage.files import replacing
from nomic_jax.storage.values import Json
from nomic_jax.storage.values import JsonObject
from nomic_jax.storage.values import Place
from nomic_jax.text import tokenizer as tokenizer_lib
from nomic_jax.text.prompts import PROMPTS

# Keys added to configs later, with their implied earlier values, so that older
# training runs can resume.
_SINCE = {
  "config.recipe": "recommended",
  "config.epochs": 0.0,
  "config.data.mask_draw": "exact",
  "config.data.merge_copies": True,
  "config.data.order": "shuffled",
  "config.data.batch_warmup": 0,
  "config.optimizer.gradient_scale": 1.0,
  "config.optimizer.average": 0.0,
  "config.optimizer.name": "adamw",
}


_FINGERPRINTS = "data.json"
# Settings that do not change results: locations, how a step is computed (up to
# rounding), what is measured, logged and kept.
_FREE = (
  "config.mesh.",
  "config.log.",
  "config.evaluators.",
  "config.checkpoint.",
  "config.log_every",
  "config.data.workers",
  "config.compute.attention",
  "config.compute.remat",
  "config.compute.unroll",
)
_LENGTHS = ("config.steps", "config.epochs")
_DATA = ("config.data.path", "config.data.teacher")  # compared by content


def check(
  workdir: Place, config: ml_collections.ConfigDict, extend: bool = False
) -> None:
  """Checks that a directory is free, or belongs to a run of this config.

  These settings may differ: the mesh (which changes only the last digits), what
  is measured, logged and kept, and the location of the data.

  Args:
    workdir: the directory.
    config: the training config.
    extend: whether `steps` or `epochs` may be larger than before.

  Raises:
    UserError: if it belongs to another config, naming the differences, or is
      not a work directory, or its bucket does not exist.
  """
  if buckets.is_remote(workdir):
    buckets.check_reachable(workdir)
  else:
    decoding.check_name(workdir, "a work directory")
    places.settle(pathlib.Path(workdir))
  path = workdir / "config.json"
  if not (path.is_file() and (workdir / "encoder.json").is_file()):
    refusal = (
      f"{workdir} exists but is not a work directory (no config.json with an "
      "encoder.json); choose another --workdir"
    )
    if not buckets.is_remote(workdir):
      places.check_folder(workdir, refusal)
    elif workdir.exists() and {p.name for p in workdir.iterdir()} - {
      "tokenizer",
      "encoder.json",
      "usage.json",
      "reproduce.json",
      _FINGERPRINTS,
    }:
      raise UserError(refusal)
    return
  format_number.check(workdir)
  new = flat(json.loads(config.to_json()))
  old = {k: v for k, v in _SINCE.items() if k in new} | flat(
    json.loads(path.read_text(encoding="utf-8"))
  )
  begun = latest_step(workdir) is not None
  differing = sorted(
    k
    for k in old.keys() | new.keys()
    if (old.get(k) != new.get(k) or k in _DATA)
    and not k.startswith(_FREE)
    # None means the model's own, which is what the directory has.
    and not (k in new and new[k] is None)
    and not (k == "config.init_from" and begun)  # not read again
    # Fields of the encoder that a later version added are not compared either.
    and not (k.startswith("config.encoder.") and k not in old and begun)
    and not (k in _DATA and _same_data(workdir, k, old.get(k), new.get(k)))
  )
  for k in differing:
    if k in _DATA and old.get(k) == new.get(k):
      raise UserError(
        f"{new[k]}: has changed since {workdir} began to train on it; restore "
        "it, or choose another --workdir"
        + ("" if begun else f", or remove {workdir}: it has no checkpoint yet")
      )
  # Metrics saved with checkpoints are compared with each other.
  best = "config.checkpoint.best"
  if begun and old.get(best) and new.get(best) not in ("", old[best]):
    differing.append(best)
  longer = [
    k for k in _LENGTHS if k in differing and new.get(k, 0) > old.get(k, 0) > 0
  ]
  if longer and differing == longer and extend:
    _extend(path, longer[0], old[longer[0]], new[longer[0]])
    return
  if differing:
    shown = "; ".join(
      f"{k} was {old.get(k)!r} and is now {new.get(k)!r}" for k in differing
    )
    raise UserError(
      f"{workdir} belongs to another config: {shown}. Give the same config "
      "to resume, or another --workdir"
      + ("" if begun else ", or remove it: it has no checkpoint yet")
      + (
        f"; the flag --{longer[0]}={new[longer[0]]} extends the training"
        if longer and not extend
        else ""
      )
    )


def check_start(
  workdir: Place, encoder: Architecture, tokenizer: pathlib.Path, usage: Usage
) -> None:
  """Checks that a directory without a checkpoint describes what is trained.

  `config.init_from` is read again there, and may hold another model by now.

  Raises:
    UserError: if the directory describes another model than the arguments.
  """
  known, folder, used = read(workdir)
  words = [tokenizer_lib.load(p).to_str() for p in (folder, tokenizer)]
  if (known, used) != (encoder, usage) or words[0] != words[1]:
    raise UserError(
      f"{workdir}: was started from another model than config.init_from now "
      "holds; remove it, since it has no checkpoint yet, or choose another "
      "--workdir"
    )


def _extend(path: Place, field: str, before: float, after: float) -> None:
  """Records in config.json that the training run is longer now."""
  name = field.removeprefix("config.")
  if processes.is_first():
    values = json.loads(path.read_text(encoding="utf-8")) | {name: after}
    _write(path, values)
    print(
      f"{path.parent}: extended from {before:g} to {after:g} {name}; from now "
      f"on the schedule is that of {after:g} {name}"
    )


def _write(path: Place, values: dict) -> None:
  text = json.dumps(values, indent=2, sort_keys=True) + "\n"
  if buckets.is_remote(path):
    path.write_text(text)
    return
  with replacing(path) as temporary:
    temporary.write_text(text, encoding="utf-8")


def _same_data(workdir: Place, key: str, before: Json, now: Json) -> bool:
  """Returns whether a path holds the data that a training run began with.

  Its fingerprint was recorded; directories of older versions have none, and are
  compared with the data at the old path, if it still exists.
  """
  if not before or not now:
    return before == now
  recorded = workdir / _FINGERPRINTS
  known = json.loads(recorded.read_text()) if recorded.is_file() else {}
  same_path = os.path.realpath(before) == os.path.realpath(now)
  if not recorded.is_file() and not same_path:
    known = {key: dataset.fingerprint(before)}
  found = dataset.fingerprint(now)
  # The reader reports missing data.
  if same_path and None in (found, known.get(key)):
    return True
  return known.get(key) == found is not None


def claim(
  workdir: Place,
  config: ml_collections.ConfigDict,
  encoder: Architecture,
  tokenizer: pathlib.Path,
  usage: Usage | None = None,
  manifest: dict | None = None,
) -> None:
  """Creates the directory, which appears whole or not at all.

  Args:
    workdir: the directory.
    config: the training config.
    encoder: the architecture.
    tokenizer: a tokenizer.json, or a folder with one.
    usage: how to use the trained model.
    manifest: see `manifest.of_training`.

  Raises:
    UserError: if it is not writable.
  """
  with replacing(workdir) as temporary:
    temporary.mkdir()
    tokenizer_lib.save(tokenizer_lib.load(tokenizer), temporary / "tokenizer")
    data = {f"config.data.{k}": config.data.get(k) for k in ("path", "teacher")}
    (temporary / _FINGERPRINTS).write_text(
      json.dumps(
        {k: dataset.fingerprint(path) for k, path in data.items() if path}
      )
    )
    for name, value in (
      ("encoder", architecture_json.to_json(encoder)),
      ("usage", (usage or Usage()).to_json()),
      ("reproduce", manifest or {}),
      ("config", json.loads(config.to_json())),
    ):
      text = json.dumps(value, indent=2, sort_keys=True) + "\n"
      (temporary / f"{name}.json").write_text(text, encoding="utf-8")


def read(workdir: Place) -> tuple[Architecture, pathlib.Path, Usage]:
  """Returns encoder, tokenizer and usage of a work directory."""
  workdir = pathlib.Path(buckets.fetch(workdir, checkpoints=False))
  return read_architecture(workdir), workdir / "tokenizer", read_usage(workdir)


def recorded_config(workdir: str | os.PathLike) -> JsonObject | None:
  """Returns the config that a work directory records; None if there is none.

  Keys that were added later have the values that they imply.

  Raises:
    UserError: for a damaged file.
  """
  path = buckets.as_path(places.expanded(os.fspath(workdir))) / "config.json"
  with buckets.errors(path, unreachable=Stopped):
    if not path.is_file():
      return None
    try:
      values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as e:
      raise UserError(f"{path}: damaged ({e}); give --config") from e
  for key, value in _SINCE.items():
    *groups, name = key.split(".")[1:]
    group = values
    for part in groups:
      group = group.setdefault(part, {})
    group.setdefault(name, value)
  return values


def read_architecture(workdir: Place) -> Architecture:
  """Returns the architecture of the model in a local work directory.

  Raises:
    UserError: for a damaged file.
  """
  format_number.check(workdir)
  path = workdir / "encoder.json"
  return architecture_json.from_json(read_json(path), str(path))


def read_usage(workdir: Place) -> Usage:
  """Returns the usage of the model in a local work directory.

  Directories of older versions have no usage; their config has the prompts.

  Raises:
    UserError: for a damaged file.
  """
  path = workdir / "usage.json"
  if path.is_file():
    try:
      return Usage(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as e:
      raise UserError(f"{path}: damaged ({e}); copy it again") from e
  path = workdir / "config.json"
  data = (
    json.loads(path.read_text(encoding="utf-8")).get("data", {})
    if (path.is_file())
    else {}
  )
  return fresh_usage(data.get("query_prompt"), data.get("document_prompt"))


def fresh_usage(query: str | None = None, document: str | None = None) -> Usage:
  """Returns the usage of a model trained from fresh weights.

  Its prompts are the paper's. If those for queries or documents differ from the
  paper's, it has only these two, since it is not trained with others.
  """
  usage = Usage(dict(PROMPTS))
  sides = [
    usage.prompt(side) if prompt is None else prompt
    for side, prompt in (("query", query), ("document", document))
  ]
  trained = usage.with_prompts(*sides)
  return usage if trained == usage else Usage().with_prompts(*sides)


def flat(tree: dict, prefix: str = "config") -> JsonObject:
  """Returns a config's values by their dotted names."""
  values = {}
  for k, v in tree.items():
    if isinstance(v, dict):
      values |= flat(v, f"{prefix}.{k}")
    else:
      values[f"{prefix}.{k}"] = v
  return values
