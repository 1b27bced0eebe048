# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The yaml files that list a training run's data sets, with their prefixes.

    datasets:
      - name: paq
        bucket: s3://bucket/paq_full/shard-{00000..00538}.jsonl.gz
        objective: {type: paired, columns: [query, document]}
        query_prefix: search_query
        document_prefix: search_document

document_prefix defaults to query_prefix; with `query_only: true`, documents
have no prefix. `weight` and `kd_loss` are ignored, as in contrastors.
"""

import re
from typing import NamedTuple

import yaml

from nomic_jax.data.readers import folder
from nomic_jax.data.readers import shards
from nomic_jax.data.readers.columns import Columns
from nomic_jax.data.readers.reader import Asked
from nomic_jax.data.readers.reader import Part
from nomic_jax.errors import one_of
from nomic_jax.errors import UserError
from nomic_jax.storage import decoding
from nomic_jax.storage import places
from nomic_jax.storage import streams
from nomic_jax.storage.values import Json

_KEYS = (
  "name",
  "bucket",
  "objective",
  "query_prefix",
  "document_prefix",
  "query_only",
  "weight",
  "kd_loss",
)


SUFFIXES = ()
records = shards.records  # the format of the data sets that a file lists


class Entry(NamedTuple):
  """A data set; `prompts` is None if not specified."""

  name: str
  bucket: str
  columns: Columns
  prompts: dict[str, str] | None


def known(path: str) -> bool:
  """Returns whether a path is that of a yaml file."""
  return path.endswith((".yaml", ".yml"))


def parts(paths: tuple[str, ...], asked: Asked) -> list[Part]:
  """Returns a part for each data set that the file lists."""
  (path,) = paths
  return [
    Part("shards", _files(e, asked), e.name, e.columns, e.prompts)
    for e in read(path)
  ]


def _files(found: Entry, asked: Asked) -> tuple[str, ...]:
  """Returns the files of one data set."""
  bucket = found.bucket
  if not bucket.endswith("/") and "*" not in bucket:
    return tuple(expand(bucket))
  path, _, pattern = bucket.rpartition("/")
  if pattern not in ("", "*", "shard-*", "shard-*.jsonl.gz"):
    raise UserError(
      f"{asked.source}, data set '{found.name}': bucket {bucket} is not "
      "supported; expected FOLDER/, FOLDER/shard-* or "
      "FOLDER/shard-{00000..00012}.jsonl.gz"
    )
  return folder.files(path, asked._replace(include=()), shards.SUFFIXES)


def read(path: str) -> list[Entry]:
  """Returns the data sets that a file lists.

  Raises:
    UserError: naming the entry and key that cannot be used.
  """
  try:
    with streams.open_binary(path) as stream:
      listed = decoding.safe_json(yaml.safe_load(stream))
  except FileNotFoundError as e:
    raise UserError(f"--source={path}: no such file") from e
  except (yaml.YAMLError, UnicodeDecodeError) as e:
    raise UserError(
      f"{path}: not a yaml file ({' '.join(str(e).split())})"
    ) from e
  entries = listed.get("datasets") if isinstance(listed, dict) else None
  if not isinstance(entries, list) or not entries:
    raise UserError(
      f"{path}: expected a list of data sets under the key 'datasets'"
    )
  return [entry(e, f"{path}, data set {i}") for i, e in enumerate(entries, 1)]


def entry(value: Json, where: str) -> Entry:
  """Returns one data set."""
  if not isinstance(value, dict):
    raise UserError(f"{where}: expected keys and values, found {value!r:.60}")
  for key in value:
    one_of(key, _KEYS, f"{where}: no such key '{key}'")
  for key in ("name", "bucket"):
    if not isinstance(value.get(key), str) or not value[key]:
      raise UserError(f"{where}: '{key}' is missing or not a string")
  objective = value.get("objective")
  try:
    if not isinstance(objective, dict):
      raise TypeError("not keys and values")
    columns = shards.of_objective(objective["type"], list(objective["columns"]))
  except (KeyError, TypeError, ValueError) as e:
    raise UserError(
      f"{where}: objective is {objective!r:.80}; expected a type (self, "
      "paired or triplet) and its 1, 2 or 3 columns"
    ) from e
  bucket = places.expanded(value["bucket"])
  return Entry(value["name"], bucket, columns, prompts(value))


def prompts(value: dict) -> dict[str, str] | None:
  """Returns the prompts of queries and documents; None if not specified."""
  query = value.get("query_prefix")
  if query is None:
    return None
  document = value.get("document_prefix", query)
  return {
    "query": f"{query}: ",
    "document": "" if value.get("query_only") else f"{document}: ",
  }


def expand(pattern: str) -> list[str]:
  """Expands {00000..00012} and {a,b} in a pattern of paths."""
  found = re.search(r"\{([^{}]*)\}", pattern)
  if not found:
    return [pattern]
  numbers = re.fullmatch(r"(\d+)\.\.(\d+)", found[1])
  if numbers:
    first, last = numbers.groups()
    width = len(first) if first.startswith("0") else 0
    inner = [f"{n:0{width}}" for n in range(int(first), int(last) + 1)]
  else:
    inner = found[1].split(",")
  return [
    path
    for each in inner
    for path in expand(pattern[: found.start()] + each + pattern[found.end() :])
  ]
