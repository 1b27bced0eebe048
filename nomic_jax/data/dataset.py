# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The data directory: one TFDS ArrayRecord dataset of pairs.

Every job that makes pairs writes this format and every job that reads pairs
reads it, so jobs such as prepare, filter and mine can follow in any order. It
is an ordinary TFDS dataset: `tfds.builder_from_directory(DIR)` opens it too.
"""

import hashlib
import os
import pathlib
from typing import Any

from array_record.python import array_record_module
import numpy as np
import tensorflow_datasets as tfds

from nomic_jax.data import sources as sources_lib
from nomic_jax.data.builder import MANIFEST
from nomic_jax.data.builder import write  # noqa: F401, as dataset.write
from nomic_jax.data.records import damaged
from nomic_jax.data.records import Row  # noqa: F401, as dataset.Row
from nomic_jax.data.records import row  # noqa: F401, as dataset.row
from nomic_jax.data.records import Source
from nomic_jax.errors import one_of
from nomic_jax.errors import UserError
from nomic_jax.storage import buckets
from nomic_jax.storage import decoding
from nomic_jax.storage import format_number
from nomic_jax.storage import places
from nomic_jax.storage import staging

_SMALL = 1 << 20  # bytes; a fingerprint includes the content of smaller files


@places.expanding("path")
def open_split(
  path: str | os.PathLike,
  split: str,
  ids: bool = False,
  first: int | None = None,
) -> Source:
  """Opens one split of a data directory for random access.

  Args:
    path: the data directory; of one in a bucket, a copy is opened.
    split: name of the split.
    ids: whether the caller can use rows of token ids, without texts.
    first: the caller reads only this many rows from the start, so only the
      files that hold them are copied from a bucket; None: all rows.

  Raises:
    UserError: if `path` is not a data directory, the split is missing or empty,
      or a record file is missing or damaged; or if its rows are token ids and
      `ids` is false.
  """
  remote, path = path, index(path)
  infos = _info(path).splits
  one_of(split, sorted(infos), f"{path}: no split '{split}'", "it has")
  shards = needed = infos[split].file_instructions
  if buckets.is_remote(remote):
    if first is not None:
      before = np.cumsum([0] + [shard.take for shard in shards])
      needed = [s for s, rows in zip(shards, before) if rows < first]
    names = {os.path.basename(shard.filename) for shard in needed}
    staging.local(remote, names.__contains__)
  for shard in needed:
    _check(shard)
  if not sum(shard.take for shard in shards):
    raise UserError(f"{path}: split '{split}' has no rows; make the data again")
  known = sources_lib.read(path)
  runs = known.runs.get(split, [])
  rows = sum(shard.take for shard in shards)
  if runs and sum(length for _, length in runs) != rows:
    raise UserError(
      f"{path}: {sources_lib.FILE} does not describe the {rows:,} rows of "
      f"split '{split}'; copy or make the data directory again"
    )
  source = Source(split, shards, runs, known.prompts)
  if not ids and source[0]["ids"]:
    raise UserError(
      f"{path}: its rows are token ids without texts; only masked language "
      "modelling (configs/mlm.py) reads them"
    )
  return source


@places.expanding("path")
def index(path: str | os.PathLike) -> pathlib.Path:
  """Returns the local directory with all of `path` but records and tokens."""
  return pathlib.Path(
    staging.local(
      path,
      lambda name: not (name.startswith("tokens/") or ".array_record" in name),
    )
  )


def is_held_out(name: str) -> bool:
  """Returns whether a file is needed to read the splits other than train.

  Args:
    name: the name of a file in a data directory; of other folders, every file
      is needed.
  """
  return not (name.startswith("tokens/") or "-train.array_record" in name)


@places.expanding("path")
def fingerprint(path: str | os.PathLike) -> str | None:
  """Returns a hash of a folder of data, local or remote; None if there is none.

  The hash is of the names and sizes of the files, and of the contents of small
  ones. It does not include records, tokens, which are made from records, or
  the manifest, which describes how the records were made.
  """
  sizes = {
    name: size
    for name, size in staging.sizes(path).items()
    if not name.startswith("tokens/")
    and not places.is_system(name)
    and name != MANIFEST
  }
  if not sizes:
    return None
  folder, digest = index(path), hashlib.sha256()
  for name, size in sorted(sizes.items()):
    digest.update(f"{name} {size}\n".encode())
    if name.endswith(".json") and size < _SMALL:
      digest.update((folder / name).read_bytes())
  return digest.hexdigest()


def _info(path: pathlib.Path) -> tfds.core.DatasetInfo:
  decoding.check_name(path, "a data directory")
  if not (path / "dataset_info.json").is_file():
    raise UserError(
      f"{path}: not a data directory (it has no dataset_info.json); expected "
      "one made by nomic-jax prepare, filter or mine"
    )
  format_number.check(path)
  try:
    return tfds.builder_from_directory(path).info
  except Exception as e:  # Whatever the parser of a damaged file raises.
    reason = " ".join(str(e).split())
    raise UserError(
      f"{path}: dataset_info.json or features.json is damaged ({reason}); "
      "copy or make the data directory again"
    ) from e


def splits(path: str | os.PathLike) -> list[str]:
  """Returns the names of a data directory's splits that have rows.

  Raises:
    UserError: if `path` is not a data directory.
  """
  return sorted(
    name
    for name, split in _info(index(path)).splits.items()
    if split.num_examples
  )


def _check(shard: Any) -> None:
  """Raises UserError if a record file is missing or truncated."""
  if not os.path.isfile(shard.filename):
    raise UserError(
      f"{shard.filename}: missing; copy or make the data directory again"
    )
  reader = array_record_module.ArrayRecordReader(shard.filename)
  rows = reader.num_records() if reader.ok() else -1
  if rows != shard.examples_in_shard:
    raise damaged(shard.filename, f"{shard.examples_in_shard:,} rows expected")


def tokenizer_path(path: str | os.PathLike) -> pathlib.Path:
  """Returns the tokenizer's directory inside a data directory.

  Raises:
    UserError: if there is none.
  """
  folder = index(path) / "tokenizer"
  if not (folder / "tokenizer.json").is_file():
    raise UserError(
      f"{path}: no tokenizer/tokenizer.json in it; expected a data directory "
      "made by nomic-jax prepare, filter or mine"
    )
  return folder
