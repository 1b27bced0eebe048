# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Rows, and random access to the rows in a data directory's record files."""

import abc
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import NotRequired
from typing import TypedDict

from array_record.python import array_record_data_source
import numpy as np
from tensorflow_datasets.proto import tf_example_pb2

from nomic_jax.data import sources
from nomic_jax.errors import UserError
from nomic_jax.storage import decoding
from nomic_jax.storage.values import Json
from nomic_jax.storage.values import JsonObject

_Example: Any = tf_example_pb2.Example  # pyright: ignore[reportAttributeAccessIssue]


class Row(TypedDict):
  """A row of a data directory, usually a pair of a query and a document.

  `location` is "path:line" or "", and `score` is NaN if unknown.
  """

  query: str
  document: str
  negatives: list[str]
  source: str
  location: str
  score: float
  negative_scores: list[float]
  labels: list[float]  # classes, or numbers to predict
  # The token ids, special ones included, of a row whose source has ids instead
  # of text. `dataset.open_split` opens it only for masked language modelling.
  ids: list[int]
  # Equal in rows made from the same document; not stored.
  group: NotRequired[str]


def row(query: str, document: str, **others: Json) -> Row:
  """Returns a `Row` with defaults for all features that are not given.

  Texts are made `decoding.safe`, since a file's name may not be UTF-8.
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
    raise TypeError(f"a row has no features {sorted(unknown)}")
  return Row(
    **decoding.safe_json(
      {"query": query, "document": document, **defaults, **others}
    )
  )


class Rows(abc.ABC):
  """Random access to rows, several at a time.

  Attributes:
    runs: see `sources.Sources`; [] if not known.
    prompts: see `sources.Sources`.
    dtype: the dtype of token ids, if texts are stored as the bytes of ids; else
      None.
  """

  runs: Sequence[Sequence] = ()
  prompts: Mapping[str, JsonObject] = {}
  dtype: np.dtype | None = None

  @abc.abstractmethod
  def __len__(self) -> int:
    """Returns the number of rows."""

  def __getitem__(self, index: int) -> Any:
    return self.__getitems__([index])[0]

  @abc.abstractmethod
  def __getitems__(self, indices: Sequence[int]) -> list[Any]:
    """Returns rows in the order of `indices`."""

  def __iter__(self) -> Iterator[Any]:
    return (self[i] for i in range(len(self)))

  def layout(self) -> sources.Layout:
    """Returns the rows of each source; reads all rows if `runs` is empty."""
    return sources.layout(self.runs or [[row["source"], 1] for row in self])

  def encode(self, text: str, /) -> str | bytes:
    """Returns a text in the form in which rows hold texts."""
    return text


class Listed(Rows):
  """Rows in memory."""

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


def spaced(rows: Rows | Sequence[Row], most: int) -> Iterator[Row]:
  """Yields all of `rows`, or `most` of them that are evenly spaced."""
  count = min(len(rows), most)
  source = rows_of(rows)
  for start in range(0, count, 1000):
    stop = min(start + 1000, count)
    yield from source.__getitems__(
      [i * len(source) // count for i in range(start, stop)]
    )


class Source(Rows):
  """Random access to the rows of one split; can be pickled and shared.

  Decodes the protocol buffers of records itself: TFDS's decoding, which goes
  through numpy feature by feature, takes more than twice as long.
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
      name: the name of the split.
      shards: its files.
      runs: see `sources.Sources`; [] if not known.
      prompts: see `sources.Sources`.
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
    except Exception as e:  # The C++ reader raises various types.
      raise damaged(self._shard_of(index), f"row {index}") from e

  def __getitems__(self, indices: Sequence[int]) -> list[Row]:
    """Returns rows in the order of `indices`; faster than one by one."""
    try:
      return [_decode(r) for r in self._records.__getitems__(list(indices))]
    except Exception:  # Read one by one to find the damaged row.
      return [self[index] for index in indices]

  def _shard_of(self, index: int) -> str:
    for shard in self._shards:
      if index < shard.take:
        return shard.filename
      index -= shard.take
    raise IndexError(index)


def encode(row: Row) -> bytes:
  """Returns a row as the serialized tf.train.Example of a record.

  The same bytes as TFDS makes with `builder.features`, in less than a tenth of
  the time.
  """
  example = _Example()
  feature = example.features.feature
  for name in ("query", "document", "source", "location"):
    feature[name].bytes_list.value.append(row[name].encode())
  feature["score"].float_list.value.append(row["score"])
  feature["negatives"].bytes_list.SetInParent()  # present even if empty
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
  """Returns the row in a serialized tf.train.Example."""
  feature = _Example.FromString(record).features.feature
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
  """Returns the error to raise for a damaged file of a data directory."""
  return UserError(
    f"{file}: damaged or truncated ({what}); copy or make the data directory "
    "again"
  )
