# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Token ids of a data directory's texts, made ahead of training.

`tokens/` beside the records holds, for each split, three flat files: the
concatenated ids of all texts, the end of each text, and the number of texts
(query, document, negatives) up to each row. They are memory-mapped, so reading
copies only the bytes that are wanted.

Ids are stored without special tokens and prompts, which are added when a batch
is made. So a tokenizer must give a text the same ids alone and after a prompt.
Tokenizers that split at spaces do, byte-level ones do not; `open_split` checks
this and raises an error.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import hashlib
import json
import mmap
import os
import pathlib

import numpy as np
import tokenizers

from nomic_jax.data import dataset
from nomic_jax.data.records import Row
from nomic_jax.data.records import Rows
from nomic_jax.errors import UserError
from nomic_jax.storage import buckets
from nomic_jax.storage import files
from nomic_jax.storage import places
from nomic_jax.storage import staging
from nomic_jax.storage.progress import Progress
from nomic_jax.storage.values import Place
from nomic_jax.text import special_tokens
from nomic_jax.text import tokenizer as tokenizer_lib

_KINDS = ("ids", "ends", "rows")  # files of a split
_ROWS = 1024  # rows tokenised in one call
_COMPARED = 50  # rows compared with their texts when opened


@places.expanding("path", "tokenizer")
def tokenise(path: str | os.PathLike, tokenizer: str | None = None) -> None:
  """Makes the tokens of all splits of a data directory.

  Args:
    path: the data directory.
    tokenizer: a folder or tokenizer.json; None: the directory's own.

  Raises:
    UserError: if `path` is not a data directory or cannot be written.
  """
  path = buckets.as_path(path)
  words = tokenizer_lib.load(tokenizer or dataset.tokenizer_path(path))
  splits = dataset.splits(path)
  if not buckets.is_remote(path):
    places.check_writable(path / "tokens")
  with files.replacing(path / "tokens") as folder:
    folder.mkdir()
    packed = []
    for split in splits:
      source = dataset.open_split(path, split, ids=True)
      if source[0]["ids"]:
        packed.append(split)
      _write(source, words, folder)
    about = {
      "tokenizer": _identity(words),
      "dtype": dtype_of(words).name,
      "records": records(path),
      "packed": packed,
    }
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")


def records(path: Place) -> list[list]:
  """Returns names and sizes of record files, which are the same for a copy."""
  return sorted(
    [name, size]
    for name, size in staging.sizes(path).items()
    if ".array_record-" in name and "/" not in name
  )


def _identity(words: tokenizers.Tokenizer) -> str:
  return hashlib.sha256(words.to_str().encode()).hexdigest()


def dtype_of(words: tokenizers.Tokenizer) -> np.dtype:
  """Returns the dtype in which ids are stored."""
  rows = special_tokens.vocabulary_rows(words)
  return np.dtype(np.uint16 if rows <= 2**16 else np.uint32)


def _write(
  source: dataset.Source, words: tokenizers.Tokenizer, folder: pathlib.Path
) -> None:
  """Writes the three files of one split."""
  dtype, texts_before, end = dtype_of(words), 0, 0
  vocabulary = special_tokens.vocabulary_rows(words)
  with contextlib.ExitStack() as stack:
    ids, ends, rows = (
      stack.enter_context(open(folder / f"{source.name}.{kind}", "wb"))
      for kind in _KINDS
    )
    progress = stack.enter_context(
      Progress(len(source), "rows", f"tokenise {source.name}")
    )
    for start in range(0, len(source), _ROWS):
      block = source.__getitems__(range(start, min(start + _ROWS, len(source))))
      texts = [
        text
        for r in block
        for text in (r["query"], r["document"], *r["negatives"])
      ]
      encoded = [
        e.ids for e in words.encode_batch_fast(texts, add_special_tokens=False)
      ]
      firsts = np.cumsum([0] + [2 + len(r["negatives"]) for r in block])
      for r, first in zip(block, firsts):
        if r["ids"]:  # without text; stored as the ids of its document
          if max(r["ids"]) >= vocabulary:
            raise UserError(
              f"{source!r}: token id {max(r['ids'])} is beyond the "
              f"{vocabulary} of the tokenizer; specify the tokenizer that made "
              "the ids as --tokenizer"
            )
          encoded[first + 1] = r["ids"]
      lengths = np.array([len(i) for i in encoded], np.int64)
      ids.write(np.concatenate(encoded).astype(dtype).tobytes())
      ends.write((end + np.cumsum(lengths)).tobytes())
      rows.write((texts_before + firsts[1:]).tobytes())
      end += int(lengths.sum())
      texts_before += len(texts)
      progress.update(len(block))


class Source(Rows):
  """Rows as in `dataset.Source`, but with each text as the bytes of its ids.

  Attributes:
    runs: see `sources.Sources`.
    prompts: see `sources.Sources`; the prompts' ids as bytes.
    dtype: the dtype of the ids.
    packed: whether rows are token ids of the source. They include special
      tokens, so none are added, and may hold several documents.
  """

  dtype: np.dtype

  def __init__(
    self,
    path: pathlib.Path,
    of: dataset.Source,
    dtype: np.dtype,
    encode: Callable[[str], bytes],
    packed: bool = False,
  ):
    self.name, self.runs, self.dtype = of.name, of.runs, dtype
    self.packed = packed
    self.encode = encode
    self.prompts = {
      name: {side: encode(text) for side, text in each.items()}
      for name, each in of.prompts.items()
    }
    self._names, self._starts = _by_row(of)
    self._path, self._open = path, None

  def __len__(self) -> int:
    return len(self._files()[2])

  def __getstate__(self) -> dict:
    return {**self.__dict__, "_open": None}

  def __getitems__(self, indices: Sequence[int]) -> list[dict]:
    ids, ends, rows = self._files()
    size = self.dtype.itemsize
    at = np.asarray(indices, np.int64)
    lasts = rows[at]
    firsts = np.where(at > 0, rows[np.maximum(at - 1, 0)], 0)
    run = np.searchsorted(self._starts, at, side="right") - 1
    texts = []
    for first, last, r in zip(firsts.tolist(), lasts.tolist(), run.tolist()):
      bounds = ends[max(first - 1, 0) : last].tolist()
      if not first:
        bounds.insert(0, 0)
      query, document, *negatives = (
        bytes(ids[a * size : b * size]) for a, b in zip(bounds, bounds[1:])
      )
      texts.append(
        {
          "query": query,
          "document": document,
          "negatives": negatives,
          "source": self._names[r],
        }
      )
    return texts

  def bounds(self, indices: np.ndarray) -> np.ndarray:
    """Returns where the ids of rows begin and end, without reading them.

    Args:
      indices: int64 [N], of rows. Query and document are one range.

    Returns:
      int64 [N, 2], for `between`; the differences are the numbers of ids.
    """
    _, ends, rows = self._files()
    # The texts of a row are stored in the order query, document, negatives.
    queries = np.where(indices > 0, rows[np.maximum(indices - 1, 0)], 0)
    begins = np.where(queries > 0, ends[np.maximum(queries - 1, 0)], 0)
    return np.stack([begins, ends[queries + 1]], axis=1)

  def between(self, bounds: np.ndarray) -> Iterator[bytes]:
    """Yields the bytes of the ids between each of `bounds`, int64 [N, 2]."""
    ids = self._files()[0]
    for begin, end in (bounds * self.dtype.itemsize).tolist():
      yield bytes(ids[begin:end])

  def _files(self) -> tuple[memoryview, np.ndarray, np.ndarray]:
    if self._open is None:
      maps = []
      for kind in _KINDS:
        with open(self._path / f"{self.name}.{kind}", "rb") as file:
          empty = not os.fstat(file.fileno()).st_size
          maps.append(
            memoryview(b"")
            if empty
            else memoryview(
              mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            )
          )
      self._open = (
        maps[0],
        np.frombuffer(maps[1], np.int64),
        np.frombuffer(maps[2], np.int64),
      )
    return self._open


def _by_row(of: dataset.Source) -> tuple[list[str], np.ndarray]:
  """Returns the sources of the runs, and the first row of each run."""
  runs = of.runs or [["", len(of)]]
  lengths = np.array([length for _, length in runs], np.int64)
  return [str(name) for name, _ in runs], np.cumsum(lengths) - lengths


# Texts with various beginnings, to test after a prompt.
_BEGINNINGS = ("a", "A", "7", "?", "\u00e9", "\u4e2d", " a", "\u0301a", "##a")


# Maps a row to joined texts, each with its parts; see `open_split`.
Joined = Callable[[Row], Iterator[tuple[str, Sequence[str]]]]


def joins_prompts(query: str, document: str) -> Joined:
  """Returns the texts that contrastive training joins, for `open_split`."""

  def joined(row: Row) -> Iterator[tuple[str, Sequence[str]]]:
    for prompt, text in ((query, row["query"]), (document, row["document"])):
      for after in (text, *_BEGINNINGS):
        yield prompt + after, (prompt, after)

  return joined


def joins_lines(row: Row) -> Iterator[tuple[str, Sequence[str]]]:
  """Yields the texts that masked-language-model training joins."""
  if row["query"]:
    yield f"{row['query']}\n{row['document']}", (row["query"], row["document"])


@places.expanding("path")
def open_split(
  path: str | os.PathLike,
  split: str,
  words: tokenizers.Tokenizer,
  joined: Joined = lambda row: iter(()),
  ids: bool = False,
) -> Source:
  """Opens the tokens of one split of a data directory.

  Args:
    path: the data directory.
    split: name of the split.
    words: the tokenizer of the model.
    joined: yields, for a row, each text that training joins from parts, and
      these parts; the parts' concatenated ids must be those of the text.
    ids: whether the caller can use rows of token ids, without texts.

  Raises:
    UserError: if there are no tokens, they were made with another tokenizer or
      from other texts, or the ids of a joined text are not those of its parts.
  """
  texts = dataset.open_split(path, split, ids, first=_COMPARED)
  folder = (
    pathlib.Path(
      staging.local(
        path,
        lambda name: (
          name
          in ("tokens/about.json", *(f"tokens/{split}.{k}" for k in _KINDS))
        ),
      )
    )
    / "tokens"
  )
  hint = f"run nomic-jax tokenise --input={path} with this model's tokenizer"
  try:
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    dtype = np.dtype(about["dtype"])
  except FileNotFoundError as e:
    raise UserError(
      f"{path}: its texts are not tokenised; {hint}, or set "
      "config.data.tokenised to false"
    ) from e
  except (ValueError, KeyError, TypeError) as e:
    raise UserError(f"{folder}/about.json: damaged; {hint}") from e
  if about.get("tokenizer") != _identity(words) or dtype != dtype_of(words):
    raise UserError(f"{folder}: made with another tokenizer; {hint}")
  encode = Encoder(words, dtype)
  source = Source(
    folder, texts, dtype, encode, split in about.get("packed", [])
  )
  try:
    # Earlier versions did not record from which records ids were made. A copy
    # of a remote directory has only the records that are compared.
    record_files, known = records(folder.parent), about.get("records")
    same = len(source) == len(texts) and (
      known is None
      or known == record_files
      or (buckets.is_remote(path) and all(r in known for r in record_files))
    )
    compared = min(len(texts), _COMPARED) if same else 0
    for i in (n * len(texts) // compared for n in range(compared)):
      row, at = texts[i], source[i]
      if row["ids"]:
        same &= at["document"] == np.array(row["ids"], dtype).tobytes()
        continue
      _check_joined(row, joined, encode)
      same &= at["query"] == encode(row["query"]) and (
        at["document"] == encode(row["document"])
        and len(at["negatives"]) == len(row["negatives"])
      )
  except (OSError, ValueError, IndexError) as e:
    raise UserError(f"{folder}: damaged ({e}); {hint}") from e
  if not same:
    raise UserError(f"{folder}: made from other texts; {hint}")
  return source


def _check_joined(
  row: Row, joined: Joined, encode: Callable[[str], bytes]
) -> None:
  """Raises UserError if ids of a joined text are not those of its parts."""
  for text, parts in joined(row):
    if b"".join(map(encode, parts)) != encode(text):
      raise UserError(
        f"config.data.tokenised: this tokenizer splits {text[:40]!r} into "
        "other tokens than its parts, so the model would be trained on other "
        "tokens than it later reads; set config.data.tokenised to false"
      )


class Encoder:
  """Encodes texts as the bytes of their ids, without special tokens."""

  def __init__(self, words: tokenizers.Tokenizer, dtype: np.dtype):
    self._words, self._dtype = words, dtype

  def __call__(self, text: str) -> bytes:
    """Returns the ids of a text as bytes."""
    ids = self._words.encode(text, add_special_tokens=False).ids
    return np.array(ids, self._dtype).tobytes()
