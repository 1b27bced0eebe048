# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Families of encoders. To add one, add a file here and its name to NAMES."""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import functools
import importlib

from nomic_jax.errors import about
from nomic_jax.errors import one_of
from nomic_jax.errors import UserError
from nomic_jax.families.family import Family
from nomic_jax.model.architecture import Architecture
from nomic_jax.storage.values import Json
from nomic_jax.storage.values import JsonObject

NAMES = (
  "nomic_bert",
  "bert",
  "roberta",
  "xlm_roberta",
  "camembert",
  "distilbert",
  "mpnet",
  "modernbert",
)


@functools.cache
def table() -> tuple[Family, ...]:
  """Returns all families."""
  return tuple(
    importlib.import_module(f"{__name__}.{name}").FAMILY for name in NAMES
  )


def of_json(values: Json, where: str) -> Family:
  """Returns the family of a config.json.

  Raises:
    UserError: if no family reads it.
  """
  if not isinstance(values, Mapping):
    raise UserError(f"{where}: expected a JSON object")
  for family in table():
    if (
      family.reads(values)
      if family.reads
      else (values.get("model_type") == family.name)
    ):
      return family
  raise UserError(
    f"{where}: model_type '{values.get('model_type')}' is not supported; "
    f"expected {' or '.join(f.name for f in table())}. To add a family, see "
    "nomic_jax/families/README.md"
  )


def read(values: Mapping[str, Json], where: str) -> Architecture:
  """Returns the architecture of a config.json.

  Args:
    values: the contents of the file.
    where: the file, for messages.

  Raises:
    UserError: if a key is missing, wrong or not supported; the message names
      it.
  """
  return of_json(values, where).read(values, where)


def fresh(numbers: Mapping[str, Json]) -> Architecture:
  """Returns the architecture of fresh weights.

  Args:
    numbers: the keys of config.encoder with `vocab_size` and `pad_token_id`;
      keys that are absent or None default to the family's own.

  Raises:
    UserError: if the family has no fresh weights, or no such key.
  """
  numbers = {k: v for k, v in numbers.items() if v is not None}
  name = numbers.pop("family", NAMES[0])
  able = {f.name: f.fresh for f in table() if f.fresh}
  one_of(name, able, f"family: no fresh weights of '{name}'")
  with about(name):
    return dataclasses.replace(able[name](**numbers), family=name)


def of(architecture: Architecture) -> Family:
  """Returns the family in whose format an architecture is written.

  Families whose class in transformers computes the architecture come first,
  and among them the architecture's own.

  Raises:
    UserError: if no family's config.json can express the architecture.
  """
  order = sorted(table(), key=lambda f: f.name != architecture.family)
  lacks = {f.name: f.lacks(architecture) for f in order}
  able = [f for f in order if not lacks[f.name]]
  for family in able:
    if family.opens(architecture):
      return family
  if able:
    return able[0]
  raise UserError(lacks[order[0].name])


def to_json(
  architecture: Architecture,
  heads: tuple[bool, int] = (False, 0),
  classes: Sequence[str] = (),
) -> JsonObject:
  """Returns the config.json of a model directory.

  Args:
    architecture: the architecture to write.
    heads: whether there is an MLM head, and the number of labels of a
      classifier; they determine the class that transformers opens.
    classes: names of the labels; default: transformers' LABEL_0 and so on.

  Raises:
    UserError: if no family's config.json can express the architecture.
  """
  family = of(architecture)
  mlm_head, labels = heads
  tree = (
    "classification_head" if labels else ("mlm_head" if mlm_head else "encoder")
  )
  if tree not in family.classes:
    raise UserError(f"{family.name}: its files cannot hold a {tree}")
  named = [*classes]
  if len(named) != labels:
    named = [f"LABEL_{i}" for i in range(labels)]
  return (
    {"architectures": [family.classes[tree]]}
    | (
      {
        "id2label": {str(i): name for i, name in enumerate(named)},
        "label2id": {name: i for i, name in enumerate(named)},
      }
      if labels
      else {}
    )
    | family.to_json(architecture)
  )
