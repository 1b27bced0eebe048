# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""What a training's directory is of: its config, encoder, tokenizer and usage.

It appears with all of them at once, before the first step, so that whatever
stops a training leaves a directory that the same command takes up again. In a
bucket they appear one by one, the config last.
"""

import json
import os
import pathlib
from typing import Any

import ml_collections

from nomic_jax.data import dataset
from nomic_jax.errors import UserError
from nomic_jax.mesh import processes
from nomic_jax.model import architecture_json
from nomic_jax.model.architecture import Architecture
from nomic_jax.model.usage import Usage
from nomic_jax.run.checkpoint import latest_step
from nomic_jax.storage import buckets
from nomic_jax.storage import decoding
from nomic_jax.storage import places
from nomic_jax.storage.files import read_json
from nomic_jax.storage.files import replacing
from nomic_jax.text import tokenizer as tokenizer_lib
from nomic_jax.text.prompts import PROMPTS

# Keys that configs have had for a while, with what was so before: a training
# that began without them goes on.
_SINCE = {
  "config.recipe": "recommended",
  "config.data.mask_draw": "exact",
  "config.data.merge_copies": True,
  "config.data.order": "shuffled",
  "config.optimizer.gradient_scale": 1.0,
}


_FINGERPRINTS = "data.json"
# What changes no number: where things lie, how a step is computed (but for
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
_DATA = ("config.data.path", "config.data.teacher")  # of equal content


def check(
  workdir: pathlib.Path, config: ml_collections.ConfigDict, extend: bool = False
) -> None:
  """Refuses a directory of something else; one that is not there yet is fine.

  What changes no number may differ: the mesh, what is measured, logged and
  kept, and the place of the data.

  Args:
    workdir: the directory.
    config: of the training.
    extend: whether `steps` may be more than they were.

  Raises:
    UserError: if it is of another config, naming what differs, or of none, or
      in a bucket that is not there.
  """
  if buckets.is_remote(workdir):
    buckets.reach(workdir)
  else:
    decoding.check_name(workdir, "a work directory")
    places.settle(workdir)
  path = workdir / "config.json"
  if not (path.is_file() and (workdir / "encoder.json").is_file()):
    refusal = (
      f"{workdir} is there and not a work directory (no config.json with "
      "an encoder.json); choose another --workdir"
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
  new = flat(json.loads(config.to_json()))
  old = {k: v for k, v in _SINCE.items() if k in new} | flat(
    json.loads(path.read_text(encoding="utf-8"))
  )
  begun = latest_step(workdir) is not None
  differing = sorted(
    k
    for k in old.keys() | new.keys()
    if old.get(k) != new.get(k)
    and not k.startswith(_FREE)
    # None asks for the model's own, which is what the directory has.
    and not (k in new and new[k] is None)
    and not (k == "config.init_from" and begun)  # it is not read again
    # Nor is this; a field of a later version has no say in what is there.
    and not (k.startswith("config.encoder.") and k not in old and begun)
    and not (k in _DATA and _same_data(workdir, k, old.get(k), new.get(k)))
  )
  # The metrics kept beside checkpoints are compared with each other.
  best = "config.checkpoint.best"
  if begun and old.get(best) and new.get(best) not in ("", old[best]):
    differing.append(best)
  steps = "config.steps"
  if differing == [steps] and extend and new[steps] > old[steps]:
    _extend(path, old[steps], new[steps])
    return
  if differing:
    shown = "; ".join(
      f"{k} was {old.get(k)!r} and is now {new.get(k)!r}" for k in differing
    )
    longer = steps in differing and new[steps] > old[steps]
    raise UserError(
      f"{workdir} belongs to another config: {shown}. Give the same config "
      "to go on there, or another --workdir"
      + ("" if begun else ", or remove it: it holds no checkpoint yet")
      + (
        f"; --config.steps={new[steps]} as a flag makes the training longer"
        if longer and not extend
        else ""
      )
    )


def _extend(path: pathlib.Path, before: int, after: int) -> None:
  """Notes in config.json that the training is longer now."""
  if processes.is_first():
    values = json.loads(path.read_text(encoding="utf-8")) | {"steps": after}
    _write(path, values)
    print(
      f"{path.parent}: longer than before, {after} steps and not {before}; "
      f"its schedule is from here on that of {after} steps"
    )


def _write(path: Any, values: dict) -> None:
  text = json.dumps(values, indent=2, sort_keys=True) + "\n"
  if buckets.is_remote(path):
    path.write_text(text)
    return
  with replacing(path) as temporary:
    temporary.write_text(text, encoding="utf-8")


def _same_data(workdir: Any, key: str, before: Any, now: Any) -> bool:
  """Whether a place holds the data that a training began with.

  Its fingerprint was kept; directories of older versions have none, and are
  compared with what is still in the old place.
  """
  if not before or not now:
    return False
  if os.path.realpath(before) == os.path.realpath(now):
    return True
  kept = workdir / _FINGERPRINTS
  known = (
    json.loads(kept.read_text())
    if kept.is_file()
    else {key: dataset.fingerprint(before)}
  )
  return known.get(key) == dataset.fingerprint(now) is not None


def claim(
  workdir: pathlib.Path,
  config: ml_collections.ConfigDict,
  encoder: Architecture,
  tokenizer: pathlib.Path,
  usage: Usage | None = None,
  manifest: dict | None = None,
) -> None:
  """Makes the directory, whole or not at all.

  Args:
    workdir: the directory.
    config: of the training.
    encoder: the architecture.
    tokenizer: a tokenizer.json, or a folder with one.
    usage: how the model that is trained is to be used.
    manifest: see `manifest.of_training`.

  Raises:
    UserError: if it cannot be written.
  """
  with replacing(workdir) as temporary:
    temporary.mkdir()
    tokenizer_lib.save(tokenizer_lib.load(tokenizer), temporary / "tokenizer")
    data = {f"config.data.{k}": config.data.get(k) for k in ("path", "teacher")}
    (temporary / _FINGERPRINTS).write_text(
      json.dumps(
        {k: dataset.fingerprint(place) for k, place in data.items() if place}
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


def read(workdir: pathlib.Path) -> tuple[Architecture, pathlib.Path, Usage]:
  """Encoder, tokenizer and usage, as the directory keeps them."""
  workdir = pathlib.Path(buckets.fetch(workdir, checkpoints=False))
  return read_architecture(workdir), workdir / "tokenizer", read_usage(workdir)


def read_architecture(workdir: pathlib.Path) -> Architecture:
  """The architecture of the model of a work directory on this disk.

  Raises:
    UserError: for a damaged file.
  """
  path = workdir / "encoder.json"
  return architecture_json.from_json(read_json(path), str(path))


def read_usage(workdir: pathlib.Path) -> Usage:
  """How the model of a work directory on this disk is to be used.

  A directory that was made before this was kept has the prompts of its config.

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
  """That of a model trained from fresh weights.

  Its prompts are the paper's, or with others than the paper's for queries or
  documents those two alone, since it is trained with no further ones.
  """
  usage = Usage(dict(PROMPTS))
  sides = [
    usage.prompt(side) if prompt is None else prompt
    for side, prompt in (("query", query), ("document", document))
  ]
  trained = usage.with_prompts(*sides)
  return usage if trained == usage else Usage().with_prompts(*sides)


def flat(tree: dict, prefix: str = "config") -> dict[str, Any]:
  """A config's values by their dotted names."""
  values = {}
  for k, v in tree.items():
    if isinstance(v, dict):
      values |= flat(v, f"{prefix}.{k}")
    else:
      values[f"{prefix}.{k}"] = v
  return values
