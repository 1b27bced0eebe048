# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Training rows in which a text of an evaluation set stands.

A row is contaminated by a text if it holds a given share of the text's runs of
n words, or, where the text has fewer words, is the same. Case, punctuation and
line breaks do not count.
"""

import collections
from collections.abc import Iterator
import pathlib
from typing import NamedTuple

from nomic_jax.data import dataset
from nomic_jax.data.readers import beir
from nomic_jax.errors import UserError
from nomic_jax.search import corpus
from nomic_jax.storage import decoding
from nomic_jax.storage import staging
from nomic_jax.storage import unicode_text


class Match(NamedTuple):
  """An evaluation text found in a row, and what share of it."""

  text: str
  origin: str
  share: float


class Evaluation:
  """The texts of evaluation sets, by their runs of words."""

  def __init__(self, paths: list[str], ngram: int, overlap: float):
    """Reads the texts.

    Args:
      paths: data directories, whose splits but `train` are read; BEIR folders,
        the texts that qrels/test.tsv names; .jsonl or .txt files.
      ngram: words in a run.
      overlap: the share of a text's runs that must be found, above 0.

    Raises:
      UserError: if a path is not there or has no texts.
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
        raise UserError(f"--against={path}: no texts in it")

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
    """The evaluation text that stands in a row most wholly, if one does."""
    found: collections.Counter[int] = collections.Counter()
    for text in (query, document):
      words = unicode_text.words(text)
      short = self._short.get(" ".join(words))
      if short is not None:
        return Match(*self.texts[short], 1.0)
      here: collections.Counter[int] = collections.Counter()
      for run in set(self._hashes(words)):
        here.update(self._runs.get(run, ()))
      found |= here  # the larger count of the two texts
    best, share = None, 0.0
    for number, count in found.items():
      if count / self._counts[number] > share:
        best, share = number, count / self._counts[number]
    if best is None or share < self._overlap:
      return None
    return Match(*self.texts[best], share)


def _read(address: str) -> Iterator[str]:
  path = staging.file_or_folder(address, dataset.is_held_out)
  place = pathlib.Path(path)
  if not place.exists():
    raise UserError(
      f"--against={address}: no such file or folder; expected a data "
      "directory, a BEIR folder, .jsonl or .txt"
    )
  if not place.is_dir():
    for text, _ in corpus.read(place):
      yield text
  elif beir.known(path):
    yield from beir.judged(f"{path.rstrip('/')}/qrels/test.tsv")
  else:
    names = [name for name in dataset.splits(path) if name != "train"]
    if not names:
      raise UserError(
        f"--against={address}: has no split but train, so nothing to be "
        "evaluated on; prepare it with --held_out"
      )
    for name in names:
      source = dataset.open_split(path, name)
      for i in range(len(source)):
        yield from (source[i]["query"], source[i]["document"])
