# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The data directory: one TFDS ArrayRecord dataset of pairs, whole or absent.

Everything that makes pairs writes this format and everything that reads pairs
reads it, so preparing, filtering and mining can follow in any order. It is an
ordinary TFDS dataset: `tfds.builder_from_directory(DIR)` opens it too.
"""

import contextlib
import io
import json
import os
import pathlib
import re
import shutil
from typing import Any, Iterable, Iterator, Mapping, Sized, TypedDict

from array_record.python import array_record_data_source
from array_record.python import array_record_module
import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.proto import tf_example_pb2

from nomic_jax import files
from nomic_jax.errors import nearest
from nomic_jax.errors import UserError
from nomic_jax.progress import Progress


class Row(TypedDict):
  """One pair; `location` is "path:line" or "", `score` is NaN if unknown."""

  query: str
  document: str
  negatives: list[str]
  source: str
  location: str
  score: float
  negative_scores: list[float]
  labels: list[float]  # classes, or numbers to predict


def row(query: str, document: str, **others: Any) -> Row:
  """Returns a `Row` with a default for every feature that is not given."""
  defaults = {
      "negatives": [], "source": "", "location": "", "score": float("nan"),
      "negative_scores": [], "labels": [],
  }
  unknown = set(others) - set(defaults)
  if unknown:
    raise TypeError(f"not features of a row: {sorted(unknown)}")
  return Row(query=query, document=document, **{**defaults, **others})


class Pairs(tfds.core.GeneratorBasedBuilder):
  """The TFDS builder of the rows it is handed, in the order it gets them."""

  name = "pairs"
  # No downloads, hence no checksums to look for beside this file (the search
  # needs importlib_resources, which TFDS 4.9 forgets to require).
  url_infos: dict = {}
  VERSION = tfds.core.Version("1.0.0")

  def __init__(self, *, splits: Mapping[str, Iterable[Row]], **kwargs: Any):
    self._rows = splits
    super().__init__(file_format="array_record", **kwargs)

  def _info(self) -> tfds.core.DatasetInfo:
    return self.dataset_info_from_configs(
        description="Pairs of a query and a document, with hard negatives.",
        features=tfds.features.FeaturesDict({
            "query": tfds.features.Text(),
            "document": tfds.features.Text(),
            "negatives": tfds.features.Sequence(tfds.features.Text()),
            "source": tfds.features.Text(),
            "location": tfds.features.Text(),
            "score": np.float32,
            "negative_scores": tfds.features.Sequence(np.float32),
            "labels": tfds.features.Sequence(np.float32),
        }),
        # Training shuffles by (seed, step); shuffling here as well would only
        # hide from a reader of the files which row came from where.
        disable_shuffling=True,
    )

  def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
    return {
        name: self._generate_examples(name, rows)
        for name, rows in self._rows.items()
    }

  def _generate_examples(
      self, name: str, rows: Iterable[Row]
  ) -> Iterator[tuple[int, Row]]:
    number = -1
    for number, each in enumerate(rows):
      yield number, each
    if number < 0:
      raise UserError(
          f"no rows for split '{name}'; expected at least one, see how many "
          "were dropped and why"
      )


def write(
    output: str | os.PathLike,
    splits: Mapping[str, Iterable[Row]],
    *,
    stats: dict,
    tokenizer: pathlib.Path | None = None,
) -> None:
  """Writes the data directory `output`, which appears when it is complete.

  Args:
    output: the directory; one that stands there is replaced at the end.
    splits: rows by split name, read once and in order, so generators do.
    stats: what stats.json will hold.
    tokenizer: a directory with tokenizer.json, copied to `output`/tokenizer.

  Raises:
    UserError: if a split has no rows, or the place cannot be written.
  """
  output = pathlib.Path(output)
  with files.replacing(output) as temporary:
    temporary.mkdir()
    builder = Pairs(splits=_shown(splits), data_dir=temporary / "work")
    _build(builder)
    for path in pathlib.Path(builder.data_dir).iterdir():
      path.rename(temporary / path.name)
    shutil.rmtree(temporary / "work")
    if tokenizer is not None:
      shutil.copytree(tokenizer, temporary / "tokenizer")
    text = json.dumps(stats, indent=2, sort_keys=True, ensure_ascii=False)
    (temporary / "stats.json").write_text(text + "\n", encoding="utf-8")


def _shown(splits: Mapping[str, Iterable[Row]]) -> dict[str, Iterable[Row]]:
  """Lets the rows pass and shows progress, where it is known how many come."""

  def passing(name: str, rows: Iterable[Row]) -> Iterator[Row]:
    with Progress(len(rows), "rows", f"write {name}") as progress:
      for each in rows:
        yield each
        progress.update()

  return {
      name: passing(name, rows) if isinstance(rows, Sized) else rows
      for name, rows in splits.items()
  }


def _build(builder: Pairs) -> None:
  """Runs the builder without network, progress bars or announcements.

  Raises:
    OSError: if the disk is full, as any other way of writing would.
  """
  tfds.disable_progress_bar()
  config = tfds.download.DownloadConfig(
      try_download_gcs=False, compute_stats="skip")
  try:
    with contextlib.redirect_stdout(io.StringIO()):
      builder.download_and_prepare(download_config=config)
  except RuntimeError as e:  # As the C++ writer tells of it.
    reason = re.search(r"write\(\) failed: ([^;]+);", str(e))
    if reason is None:
      raise
    raise OSError(reason[1]) from e


class Source:
  """Random access to the rows of one split; can be pickled and shared.

  Decodes the record's protocol buffer itself: TFDS's own decoding, by way of
  numpy and feature by feature, takes more than twice as long.
  """

  def __init__(self, name: str, shards: list):
    """Opens `shards`, the TFDS file instructions of split `name`."""
    self.name = name
    self._shards = shards
    self._records = array_record_data_source.ArrayRecordDataSource(shards)

  def __len__(self) -> int:
    return len(self._records)

  def __repr__(self) -> str:
    return f"Source({self.name!r}, {len(self)} rows)"

  def __getitem__(self, index: int) -> Row:
    if not 0 <= index < len(self):
      raise IndexError(f"row {index} of {len(self)} in split '{self.name}'")
    try:
      example = tf_example_pb2.Example.FromString(self._records[index])
      return _decode(example.features.feature)
    except Exception as e:  # Whatever type the C++ reader's error comes as.
      raise UserError(_damaged(self._shard_of(index), f"row {index}")) from e

  def _shard_of(self, index: int) -> str:
    for shard in self._shards:
      if index < shard.take:
        return shard.filename
      index -= shard.take
    raise IndexError(index)


def _decode(feature: Mapping[str, Any]) -> Row:
  """Returns the row in the features of a tf.train.Example."""
  return Row(
      query=_text(feature["query"]),
      document=_text(feature["document"]),
      negatives=[v.decode() for v in feature["negatives"].bytes_list.value],
      source=_text(feature["source"]),
      location=_text(feature["location"]),
      score=feature["score"].float_list.value[0],
      negative_scores=list(feature["negative_scores"].float_list.value),
      labels=list(feature["labels"].float_list.value),
  )


def _text(feature: Any) -> str:
  return feature.bytes_list.value[0].decode()


def open_split(path: str | os.PathLike, split: str) -> Source:
  """Opens one split of a data directory for random access.

  Raises:
    UserError: if `path` is no data directory, has no such split or no rows in
      it, or one of its record files is missing or damaged.
  """
  path = pathlib.Path(path)
  if not (path / "dataset_info.json").is_file():
    raise UserError(
        f"{path}: no data directory (it has no dataset_info.json); expected "
        "one made by nomic-jax prepare, filter or mine"
    )
  try:
    splits = tfds.builder_from_directory(path).info.splits
  except Exception as e:  # Whatever the parser of a damaged file raises.
    reason = " ".join(str(e).split())
    raise UserError(
        f"{path}: dataset_info.json or features.json is damaged ({reason}); "
        "copy the data directory again or make it anew"
    ) from e
  if split not in splits:
    raise UserError(
        f"{path}: no split '{split}'; it has {', '.join(sorted(splits))}."
        + nearest(split, splits)
    )
  shards = splits[split].file_instructions
  for shard in shards:
    _check(shard)
  if not sum(shard.take for shard in shards):
    raise UserError(f"{path}: split '{split}' has no rows; make it again")
  return Source(split, shards)


def _check(shard: Any) -> None:
  """Finds a file that is missing or cut short before training begins."""
  if not os.path.isfile(shard.filename):
    raise UserError(
        f"{shard.filename}: missing; copy the data directory again or make it "
        "anew"
    )
  reader = array_record_module.ArrayRecordReader(shard.filename)
  rows = reader.num_records() if reader.ok() else -1
  if rows != shard.examples_in_shard:
    raise UserError(_damaged(
        shard.filename, f"{shard.examples_in_shard:,} rows expected"))


def _damaged(file: str, what: str) -> str:
  return (
      f"{file}: damaged or cut short ({what}); copy the data directory again "
      "or make it anew"
  )


def tokenizer_path(path: str | os.PathLike) -> pathlib.Path:
  """Returns the tokenizer's directory inside a data directory.

  Raises:
    UserError: if there is none.
  """
  folder = pathlib.Path(path) / "tokenizer"
  if not (folder / "tokenizer.json").is_file():
    raise UserError(
        f"{path}: no tokenizer/tokenizer.json in it; expected a data directory "
        "made by nomic-jax prepare, filter or mine"
    )
  return folder
