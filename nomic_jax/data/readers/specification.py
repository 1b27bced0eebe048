# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The yaml files that list a training's data sets, with their prefixes.

    datasets:
      - name: paq
        bucket: s3://bucket/paq_full/shard-{00000..00538}.jsonl.gz
        objective: {type: paired, columns: [query, document]}
        query_prefix: search_query
        document_prefix: search_document

A missing document_prefix is the query's; with `query_only: true` documents
have none. `weight` and `kd_loss` are read over, as where they come from.
"""

import re
from typing import Any

import yaml

from nomic_jax.data.readers import shards
from nomic_jax.data.readers import storage
from nomic_jax.data.readers.columns import Columns
from nomic_jax.errors import nearest
from nomic_jax.errors import UserError
from nomic_jax.storage import decoding
from nomic_jax.storage import places

_KEYS = ("name", "bucket", "objective", "query_prefix", "document_prefix",
         "query_only", "weight", "kd_loss")


def read(path: str) -> list[tuple[str, str, Columns, dict[str, str] | None]]:
  """Returns (name, bucket, columns, prompts or None) of each data set.

  Raises:
    UserError: naming the entry and key that cannot be used.
  """
  try:
    with storage.open_binary(path) as stream:
      listed = decoding.safe_json(yaml.safe_load(stream))
  except FileNotFoundError as e:
    raise UserError(f"--source={path}: no such file") from e
  except (yaml.YAMLError, UnicodeDecodeError) as e:
    raise UserError(
        f"{path}: not a yaml file ({' '.join(str(e).split())})") from e
  entries = listed.get("datasets") if isinstance(listed, dict) else None
  if not isinstance(entries, list) or not entries:
    raise UserError(
        f"{path}: expected a list of data sets under the key 'datasets'")
  return [entry(e, f"{path}, data set {i}") for i, e in enumerate(entries, 1)]


def entry(
    value: Any, where: str
) -> tuple[str, str, Columns, dict[str, str] | None]:
  """Returns one data set's (name, bucket, columns, prompts or None)."""
  if not isinstance(value, dict):
    raise UserError(f"{where}: expected keys and values, found {value!r:.60}")
  for key in value:
    if key not in _KEYS:
      raise UserError(
          f"{where}: no such key '{key}'; expected {', '.join(_KEYS)}."
          + nearest(str(key), _KEYS))
  for key in ("name", "bucket"):
    if not isinstance(value.get(key), str) or not value[key]:
      raise UserError(f"{where}: '{key}' is missing or no text")
  objective = value.get("objective")
  try:
    columns = shards.of_objective(objective["type"], list(objective["columns"]))
  except (KeyError, TypeError, ValueError) as e:
    raise UserError(
        f"{where}: objective is {objective!r:.80}; expected a type (self, "
        "paired or triplet) and its 1, 2 or 3 columns"
    ) from e
  bucket = places.expanded(value["bucket"])
  return value["name"], bucket, columns, prompts(value)


def prompts(value: dict) -> dict[str, str] | None:
  """Returns what stands before queries and documents, None if not said."""
  query = value.get("query_prefix")
  if query is None:
    return None
  document = value.get("document_prefix", query)
  return {
      "query": f"{query}: ",
      "document": "" if value.get("query_only") else f"{document}: ",
  }


def expand(pattern: str) -> list[str]:
  """Returns the paths of a bucket, {00000..00012} and {a,b} written out."""
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
      path for each in inner
      for path in expand(pattern[:found.start()] + each + pattern[found.end():])
  ]
