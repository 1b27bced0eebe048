# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Reranking: do the positives among a query's candidates come first?"""

from collections.abc import Sequence
import dataclasses
import pathlib
from typing import cast
from typing import ClassVar

import numpy as np

from nomic_jax.errors import UserError
from nomic_jax.evaluation import retrieval
from nomic_jax.evaluation.systems import Ranker
from nomic_jax.evaluation.systems import System
from nomic_jax.evaluation.task import Outcome
from nomic_jax.evaluation.task import Task
from nomic_jax.storage import fingerprints
from nomic_jax.storage import rows
from nomic_jax.storage import unicode_text

_PROMPTS = ("classification", "classification")  # the paper's


@dataclasses.dataclass(frozen=True)
class RerankingTask(Task):
  """Queries with positive and negative texts; items are [Q, metrics]."""

  name: str
  queries: Sequence[str]
  positives: Sequence[Sequence[str]]
  negatives: Sequence[Sequence[str]]
  path: str = ""
  group: str = ""

  kind: ClassVar[str] = "reranking"
  metrics: ClassVar[tuple[str, ...]] = ("MAP", "MRR@10")
  lexical: ClassVar[bool] = True

  @property
  def size(self) -> str:
    """Numbers of queries and candidates; see `Task`."""
    candidates = sum(map(len, (*self.positives, *self.negatives)))
    return f"{len(self.queries):,} queries, {candidates:,} candidates"

  def fingerprint(self) -> str:
    """Returns a hash of data and settings; see `Task`."""
    return fingerprints.of_values(
      self.kind, self.queries, self.positives, self.negatives, _PROMPTS
    )

  def run(self, system: System) -> Outcome:
    """Ranks each query's candidates; see `Task`."""
    # Negatives first, so that among tied candidates a positive ranks last.
    candidates = [
      [*bad, *good] for bad, good in zip(self.negatives, self.positives)
    ]
    documents = {
      text: i
      for i, text in enumerate(
        dict.fromkeys(text for texts in candidates for text in texts)
      )
    }
    scores_of = cast(Ranker, system).compare(
      self.queries,
      list(documents),
      [[documents[text] for text in texts] for texts in candidates],
      _PROMPTS,
    )
    width = max(map(len, candidates))
    rankings = np.full((len(candidates), width), -1)
    scores = np.zeros((len(candidates), width), np.float32)
    for q, one in enumerate(scores_of):
      order = np.argsort(-one, kind="stable")
      rankings[q, : len(one)], scores[q, : len(one)] = order, one[order]
    relevant = [
      list(range(len(bad), len(bad) + len(good)))
      for bad, good in zip(self.negatives, self.positives)
    ]
    measured = retrieval.rank_scores(
      rankings, relevant, {"MAP": "map"}
    ) | retrieval.rank_scores(
      rankings[:, :10], relevant, {"MRR@10": "recip_rank"}
    )
    items = np.stack([measured[m] for m in self.metrics], 1)
    worst = retrieval.worst(
      self.queries,
      lambda q, c: {
        "title": unicode_text.title(candidates[q][c]),
        "location": "",
      },
      scores,
      rankings,
      relevant,
    )
    return Outcome(items, worst)

  def scores(self, items: np.ndarray) -> dict[str, float]:
    """Returns the metrics of items; see `Task`."""
    return dict(zip(self.metrics, map(float, items.mean(0))))


def read(path: pathlib.Path, name: str) -> RerankingTask:
  """Reads the test file of a folder: query, positive and negative.

  Queries without a positive or without a negative are skipped, as in MTEB.

  Raises:
    UserError: as `rows.read`, or if no query remains.
  """
  file, examples = rows.read(
    path,
    "test",
    {"query": rows.TEXT, "positive": rows.TEXTS, "negative": rows.TEXTS},
  )
  examples = [row for row in examples if row["positive"] and row["negative"]]
  if not examples:
    raise UserError(
      f"{file}: no query has both a positive and a negative; both are needed"
    )
  queries, positives, negatives = (
    [row[column] for row in examples]
    for column in ("query", "positive", "negative")
  )
  return RerankingTask(name, queries, positives, negatives, str(path))
