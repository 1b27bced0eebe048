# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Training rows that contain a text of an evaluation set.

A row is contaminated by a text if it contains a given fraction of the text's
n-grams of words or, if the text is shorter, is equal to it. Case, punctuation
and line breaks are ignored.
"""

import collections
from collections.abc import Iterator
import pathlib
from typing import NamedTuple

from nomic_jax.data import dataset
from nomic_jax.data.readers import beir
from nomic_jax.data.readers import roles
from nomic_jax.errors import UserError
from nomic_jax.search import corpus
from nomic_jax.storage import decoding
from nomic_jax.storage import formats
from nomic_jax.storage import staging
from nomic_jax.storage import unicode_text


class Match(NamedTuple):
  """An evaluation text found in a row, and the fraction found."""

  text: str
  origin: str
  share: float


class Evaluation:
  """The texts of evaluation sets, indexed by n-grams of words."""

  def __init__(self, paths: list[str], ngram: int, overlap: float):
    """Reads the texts.

    Args:
      paths: data directories, of which all splits except `train` are read; BEIR
        folders, of which the texts in qrels/test.tsv are read; tables and .txt
        files, of which queries and documents are read.
      ngram: number of words in an n-gram.
      overlap: the fraction of a text's n-grams that must be found, above 0.

    Raises:
      UserError: if a path does not exist or has no texts.
    """
    self._ngram, self._overlap = ngram, overlap
    self.texts: list[tuple[str, str]] = []
    self._runs: dict[int, list[int]] = {}
    self._counts: list[int] = []
    self._short: dict[str, int] = {}
    for path in paths:
      before, seen = len(self.texts), set()
      for text in map(decoding.safe, _read(path)):
        normal = unicode_text.words(text)
        key = " ".join(normal)
        if key and key not in seen:
          seen.add(key)
          self._add(text, path, normal)
      if len(self.texts) == before:
        raise UserError(f"--against={path}: contains no texts")

  def _add(self, text: str, origin: str, words: list[str]) -> None:
    number = len(self.texts)
    self.texts.append((text, origin))
    runs = set(self._hashes(words))
    self._counts.append(len(runs))
    if not runs:
      self._short.setdefault(" ".join(words), number)
    for run in runs:
      self._runs.setdefault(run, []).append(number)

  def _hashes(self, words: list[str]) -> Iterator[int]:
    n = self._ngram
    for i in range(len(words) - n + 1):
      yield hash(tuple(words[i : i + n]))

  def find(self, query: str, document: str) -> Match | None:
    """Returns the best match among the evaluation texts, or None."""
    counts: collections.Counter[int] = collections.Counter()
    for text in (query, document):
      words = unicode_text.words(text)
      short = self._short.get(" ".join(words))
      if short is not None:
        return Match(*self.texts[short], 1.0)
      counts_of_text: collections.Counter[int] = collections.Counter()
      for run in set(self._hashes(words)):
        counts_of_text.update(self._runs.get(run, ()))
      counts |= counts_of_text  # the larger count of the two texts
    best, share = None, 0.0
    for number, count in counts.items():
      if count / self._counts[number] > share:
        best, share = number, count / self._counts[number]
    if best is None or share < self._overlap:
      return None
    return Match(*self.texts[best], share)


def _read(address: str) -> Iterator[str]:
  path = staging.file_or_folder(address, dataset.is_held_out)
  local = pathlib.Path(path)
  if not local.exists():
    raise UserError(
      f"--against={address}: no such file or folder; expected a data "
      "directory, a BEIR folder, .jsonl, .csv, .parquet or .txt"
    )
  if path.endswith(formats.TEXTS):
    yield from _of_table(path)
  elif not local.is_dir():
    for text, _ in corpus.read(local):
      yield text
  elif beir.known(path):
    yield from beir.judged(f"{path.rstrip('/')}/qrels/test.tsv")
  else:
    names = [name for name in dataset.splits(path) if name != "train"]
    if not names:
      raise UserError(
        f"--against={address}: has only the split train, so no evaluation "
        "texts; prepare it with --held_out"
      )
    for name in names:
      for row in dataset.open_split(path, name):
        yield from (row["query"], row["document"])


def _of_table(path: str) -> Iterator[str]:
  """Yields the texts of a file: queries, documents, or both texts of a pair.

  Raises:
    UserError: if a row has none.
  """
  for number, row in formats.each(path):
    names = roles.texts(row)
    if not names:
      raise UserError(
        f"--against={path}, row {number}: no text; expected columns such as "
        f"query and document, or text; it has {', '.join(row)}"
      )
    for name in names:
      yield row[name]
