# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The output rows of a mining job, from the results for each query."""

from typing import NamedTuple

import numpy as np

from nomic_jax.curate import corpus as corpora
from nomic_jax.curate import groups
from nomic_jax.curate import parts
from nomic_jax.curate import rewrite
from nomic_jax.curate import select
from nomic_jax.data import dataset
from nomic_jax.storage import unicode_text


class Group(NamedTuple):
  """Rows that were mined together.

  Attributes:
    texts: the texts of the rows.
    name: the name of its parts.
    is_random: whether negatives are random and none were mined.
    keeps: whether rows keep the first of their existing negatives.
  """

  texts: corpora.Corpus
  name: str
  is_random: bool
  keeps: bool


class Chunk(NamedTuple):
  """Queries start..stop of a group, searched together; `name` is its part's."""

  name: str
  start: int
  stop: int


def chunks(name: str, count: int, size: int) -> list[Chunk]:
  """Splits the `count` queries of group `name` into chunks of `size`."""
  return [
    Chunk(f"{name}-{i // size:05d}", i, min(i + size, count))
    for i in range(0, count, size)
  ]


class MinedRows:
  """The outcome of every row and the negatives of those kept.

  Attributes:
    kept: [n] int64, numbers of the rows that are kept, increasing.
    by_source: counts as from `rewrite.count_sources`.
    negatives: numbers of given, mined, random and missing negatives.
    similarity: mean cosine of positives and of mined negatives.
    recall: see `neighbours.recall`; None if the store is float32, or nothing
      was searched.
  """

  def __init__(
    self,
    source: dataset.Source,
    mined_groups: list[Group],
    done: parts.Parts,
    flags: select.Flags,
  ):
    self._source, self._groups, self._flags = source, mined_groups, flags
    self._group = np.zeros(len(source), np.int32)
    self._position = np.zeros(len(source), np.int64)  # of the row in its group
    self._results, recalls = [], []
    outcome = np.full(len(source), "", object)
    for g, group in enumerate(mined_groups):
      rows, scores, own, recall = self._load(group, done)
      self._results.append((rows, scores, own))
      recalls.append(recall)
      at = group.texts.rows
      self._group[at], self._position[at] = g, np.arange(len(at))
      enough = (rows >= 0).sum(axis=1) >= flags.minimum
      enough |= flags.short != "drop"
      query = group.texts.query_of
      outcome[at] = np.where(
        query < 0,
        rewrite.EMPTY,
        np.where(
          enough[query] if len(enough) else True, "kept", "too few negatives"
        ),
      )
    names, number = groups.sources_of(source)
    self.kept = np.flatnonzero(outcome == "kept")
    self.by_source = rewrite.count_sources(
      (names[n] for n in number), outcome.tolist()
    )
    self.recall = _mean([np.array(recalls)])
    self._count()

  def _load(self, group: Group, done: parts.Parts):
    """Returns documents and scores [Q, negatives], pair scores [rows]."""
    flags, texts = self._flags, group.texts
    count = len(texts.queries)
    shape = count, flags.minimum if group.is_random else flags.negatives
    rows = np.full(shape, -1, np.int32)
    scores = np.full(shape, np.nan, np.float32)
    own, recall = np.full(len(texts.rows), np.nan, np.float32), np.nan
    if count and not group.is_random:
      for chunk in chunks(group.name, count, flags.chunk_size):
        part = done.load(chunk.name)
        rows[chunk.start : chunk.stop] = part["rows"]
        scores[chunk.start : chunk.stop] = part["scores"]
      pairs = done.load(group.name)
      own, recall = pairs["score"], float(pairs["recall"])
    if group.is_random or flags.short == "random":
      select.fill(rows[:, : flags.minimum], texts, flags.seed)
    return rows, scores, own, recall

  def _count(self) -> None:
    """Counts the negatives of the rows kept."""
    given = mined = random = missing = 0
    positive, negative = [], []
    for group, (rows, scores, own) in zip(self._groups, self._results):
      if not len(rows):
        continue
      at = np.isin(group.texts.rows, self.kept)
      query = group.texts.query_of[at]
      is_mined = ~np.isnan(scores[query])
      there = rows[query] >= 0
      if group.keeps:
        for i in group.texts.rows[at].tolist():
          kept = min(len(self._source[i]["negatives"]), self._flags.negatives)
          given += kept
          random += max(self._flags.minimum - kept, 0)
        continue
      mined += int(is_mined.sum())
      random += int((there & ~is_mined).sum())
      missing += int((~there).sum())
      positive.append(own[at])
      negative.append(scores[query][is_mined])
    self.negatives = {"mined": mined, "random": random, "missing": missing}
    if given:
      self.negatives["given"] = given
    self.similarity = {"positive": _mean(positive), "mined": _mean(negative)}

  def row(self, i: int) -> dataset.Row:
    """Returns row `i`, which must be kept, with its negatives."""
    row, group = self._source[i], self._groups[self._group[i]]
    rows, scores, own = self._results[self._group[i]]
    q = group.texts.query_of[self._position[i]]
    at = np.flatnonzero(rows[q] >= 0)
    texts = [group.texts.documents[d] for d in rows[q][at].tolist()]
    if not group.keeps:
      score = float(own[self._position[i]])
      return {
        **row,
        "score": row["score"] if group.is_random else score,
        "negatives": texts,
        "negative_scores": scores[q][at].tolist(),
      }
    kept = row["negatives"][: self._flags.negatives]
    known_scores = row["negative_scores"][: len(kept)]
    known_scores += [float("nan")] * (len(kept) - len(known_scores))
    known = set(map(unicode_text.same, kept))
    more = [t for t in texts if unicode_text.same(t) not in known]
    more = more[: max(self._flags.minimum - len(kept), 0)]
    return {
      **row,
      "negatives": kept + more,
      "negative_scores": known_scores + [float("nan")] * len(more),
    }


def _mean(parts_of: list[np.ndarray]) -> float | None:
  values = np.concatenate([np.zeros(0, np.float32), *parts_of])
  values = values[np.isfinite(values)]
  return float(np.mean(values)) if values.size else None
