# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""What a training's directory is of: its config, encoder and tokenizer.

It appears with all three at once, before the first step, so that whatever
stops a training leaves a directory that the same command takes up again. In a
bucket they appear one by one, the config last.
"""

import dataclasses
import json
import pathlib
from typing import Any

import ml_collections

from nomic_jax import buckets
from nomic_jax import places
from nomic_jax.checkpoint import latest_step
from nomic_jax.data import tokenizer as tokenizer_lib
from nomic_jax.errors import UserError
from nomic_jax.files import replacing
from nomic_jax.model.config import EncoderConfig


# Keys that configs have had for a while, with what was so before: a training
# that began without them goes on.
_SINCE = {
    "config.recipe": "recommended",
    "config.data.mask_draw": "exact",
    "config.data.merge_copies": True,
    "config.data.order": "shuffled",
    "config.optimizer.gradient_scale": 1.0,
}


def check(workdir: pathlib.Path, config: ml_collections.ConfigDict) -> None:
  """Refuses a directory of something else; one that is not there yet is fine.

  The mesh may be another, and what is logged where: neither says what is
  computed.

  Raises:
    UserError: if it is of another config, naming what differs, or of none, or
      in a bucket that is not there.
  """
  if buckets.is_remote(workdir):
    buckets.reach(workdir)
  else:
    places.settle(workdir)
  path = workdir / "config.json"
  if not (path.is_file() and (workdir / "encoder.json").is_file()):
    refusal = (
        f"{workdir} is there and not a work directory (no config.json with "
        "an encoder.json); choose another --workdir")
    if not buckets.is_remote(workdir):
      places.check_folder(workdir, refusal)
    elif workdir.exists() and any(
        p.name not in ("tokenizer", "encoder.json") for p in workdir.iterdir()):
      raise UserError(refusal)
    return
  new = flat(json.loads(config.to_json()))
  old = {k: v for k, v in _SINCE.items() if k in new} | flat(
      json.loads(path.read_text(encoding="utf-8")))
  differing = sorted(
      k for k in old.keys() | new.keys()
      if old.get(k) != new.get(k)
      and not k.startswith(("config.mesh.", "config.log."))
  )
  if differing:
    shown = "; ".join(
        f"{k} was {old.get(k)!r} and is now {new.get(k)!r}"
        for k in differing
    )
    raise UserError(
        f"{workdir} belongs to another config: {shown}. Give the same config "
        "to go on there, or another --workdir" + (
            "" if latest_step(workdir) else
            ", or remove it: it holds no checkpoint yet")
    )


def claim(
    workdir: pathlib.Path, config: ml_collections.ConfigDict,
    encoder: EncoderConfig, tokenizer: pathlib.Path,
) -> None:
  """Makes the directory, whole or not at all.

  Raises:
    UserError: if it cannot be written.
  """
  with replacing(workdir) as temporary:
    temporary.mkdir()
    tokenizer_lib.save(tokenizer_lib.load(tokenizer), temporary / "tokenizer")
    for name, value in (
        ("encoder", dataclasses.asdict(encoder)),
        ("config", json.loads(config.to_json())),
    ):
      text = json.dumps(value, indent=2, sort_keys=True) + "\n"
      (temporary / f"{name}.json").write_text(text, encoding="utf-8")


def read(workdir: pathlib.Path) -> tuple[EncoderConfig, pathlib.Path]:
  """Encoder and tokenizer, as the directory keeps them."""
  workdir = pathlib.Path(buckets.fetch(workdir, checkpoints=False))
  fields = json.loads((workdir / "encoder.json").read_text(encoding="utf-8"))
  return EncoderConfig(**fields), workdir / "tokenizer"


def flat(tree: dict, prefix: str = "config") -> dict[str, Any]:
  """A config's values by their dotted names."""
  values = {}
  for k, v in tree.items():
    if isinstance(v, dict):
      values |= flat(v, f"{prefix}.{k}")
    else:
      values[f"{prefix}.{k}"] = v
  return values
