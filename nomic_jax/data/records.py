# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Rows, and random access to those of a data directory's record files."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import TypedDict

from array_record.python import array_record_data_source
import numpy as np
from tensorflow_datasets.proto import tf_example_pb2

from nomic_jax.data import sources
from nomic_jax.errors import UserError
from nomic_jax.storage import decoding


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
  # Of rows that come as token ids, these, special ones included: then there is
  # no text, and `dataset.open_split` opens them for masked language modelling.
  ids: list[int]


def row(query: str, document: str, **others: Any) -> Row:
  """Returns a `Row` with a default for every feature that is not given.

  Texts are made `decoding.safe`: the name of a file may not be UTF-8.
  """
  defaults = {
    "negatives": [],
    "source": "",
    "location": "",
    "score": float("nan"),
    "negative_scores": [],
    "labels": [],
    "ids": [],
  }
  unknown = set(others) - set(defaults)
  if unknown:
    raise TypeError(f"not features of a row: {sorted(unknown)}")
  return Row(
    **decoding.safe_json(
      {"query": query, "document": document, **defaults, **others}
    )
  )


class Rows:
  """What batches are made of: rows by number, several of them at once.

  Attributes:
    runs: see `sources.Sources`; [] where it is not known.
    prompts: likewise.
    dtype: of token ids, where texts are the bytes of these; else None.
  """

  runs: Sequence[Sequence] = ()
  prompts: Mapping[str, dict[str, Any]] = {}
  dtype: np.dtype | None = None

  def __len__(self) -> int:
    raise NotImplementedError

  def __getitem__(self, index: int) -> Any:
    return self.__getitems__([index])[0]

  def __getitems__(self, indices: Sequence[int]) -> list[Any]:
    """Returns rows in the order of `indices`."""
    raise NotImplementedError

  def layout(self) -> sources.Layout:
    """Returns which rows are of which source; reads them if `runs` is empty."""
    return sources.layout(
      self.runs or [[self[i]["source"], 1] for i in range(len(self))]
    )

  def encode(self, text: str) -> str | bytes:
    """Returns a text as the rows have theirs."""
    return text


class Listed(Rows):
  """Rows that are in memory."""

  def __init__(
    self,
    rows: Sequence[Row],
    prompts: Mapping[str, dict[str, str]] | None = None,
  ):
    self._rows, self.prompts = rows, prompts or {}

  def __len__(self) -> int:
    return len(self._rows)

  def __getitems__(self, indices: Sequence[int]) -> list[Row]:
    return [self._rows[i] for i in indices]


def rows_of(source: Rows | Sequence[Row]) -> Rows:
  """Returns `source` itself, or a sequence of rows as `Rows`."""
  return source if isinstance(source, Rows) else Listed(source)


class Source(Rows):
  """Random access to the rows of one split; can be pickled and shared.

  Decodes the record's protocol buffer itself: TFDS's own decoding, by way of
  numpy and feature by feature, takes more than twice as long.
  """

  def __init__(
    self,
    name: str,
    shards: list,
    runs: list[list],
    prompts: dict[str, dict[str, str]],
  ):
    """Opens `shards`, the TFDS file instructions of split `name`.

    Args:
      name: of the split.
      shards: its files.
      runs: see `sources.Sources`; [] if not known.
      prompts: likewise.
    """
    self.name, self.runs, self.prompts = name, runs, prompts
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
      return _decode(self._records[index])
    except Exception as e:  # Whatever type the C++ reader's error comes as.
      raise damaged(self._shard_of(index), f"row {index}") from e

  def __getitems__(self, indices: Sequence[int]) -> list[Row]:
    """Rows in the order of `indices`; faster than one after another."""
    try:
      return [_decode(r) for r in self._records.__getitems__(list(indices))]
    except Exception:  # Finds out which row it is.
      return [self[index] for index in indices]

  def _shard_of(self, index: int) -> str:
    for shard in self._shards:
      if index < shard.take:
        return shard.filename
      index -= shard.take
    raise IndexError(index)


def encode(row: Row) -> bytes:
  """The serialised tf.train.Example that a record holds.

  What TFDS makes of `builder.features`, in less than a tenth of the time.
  """
  example = tf_example_pb2.Example()
  feature = example.features.feature
  for name in ("query", "document", "source", "location"):
    feature[name].bytes_list.value.append(row[name].encode())
  feature["score"].float_list.value.append(row["score"])
  feature["negatives"].bytes_list.SetInParent()  # is there even if empty
  feature["negatives"].bytes_list.value.extend(
    n.encode() for n in row["negatives"]
  )
  for name in ("negative_scores", "labels"):
    feature[name].float_list.SetInParent()
    feature[name].float_list.value.extend(row[name])
  feature["ids"].int64_list.SetInParent()
  feature["ids"].int64_list.value.extend(row["ids"])
  return example.SerializeToString(deterministic=True)


def _decode(record: bytes) -> Row:
  """Returns the row in a serialised tf.train.Example."""
  feature = tf_example_pb2.Example.FromString(record).features.feature
  return Row(
    query=_text(feature["query"]),
    document=_text(feature["document"]),
    negatives=[v.decode() for v in feature["negatives"].bytes_list.value],
    source=_text(feature["source"]),
    location=_text(feature["location"]),
    score=feature["score"].float_list.value[0],
    negative_scores=list(feature["negative_scores"].float_list.value),
    labels=list(feature["labels"].float_list.value),
    ids=list(feature["ids"].int64_list.value),
  )


def _text(feature: Any) -> str:
  return feature.bytes_list.value[0].decode()


def damaged(file: str, what: str) -> UserError:
  """Returns the error that a file of a data directory is `what`."""
  return UserError(
    f"{file}: damaged or cut short ({what}); copy the data directory again "
    "or make it anew"
  )
