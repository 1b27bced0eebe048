# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Retrieval: do the documents that answer a query come first?

Search is exact. The metrics are trec_eval's, through pytrec_eval.
"""

import collections
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import pathlib
from typing import cast
from typing import ClassVar

import numpy as np

from nomic_jax.errors import UserError
from nomic_jax.evaluation import maps
from nomic_jax.evaluation.systems import Ranker
from nomic_jax.evaluation.systems import System
from nomic_jax.evaluation.task import Outcome
from nomic_jax.evaluation.task import Task
from nomic_jax.storage import fingerprints
from nomic_jax.storage import unicode_text
from nomic_jax.storage.unicode_text import title

METRICS = ("nDCG@10", "MRR@10", "recall@100", "MAP@100", "recall@10")
DEPTH = 100  # documents kept per query, for the deepest metric
FEW, WHOLE = 1000, 20_000  # documents, see `read_task`
_WORST = 20  # queries kept for the report
_MAPPED = 200  # queries on the map of vectors
_SHOWN = 3  # documents shown for each


@dataclasses.dataclass(frozen=True)
class RetrievalTask(Task):
  """Queries, documents to search, and which documents answer which query.

  Attributes:
    relevant: for each query, the indices of the documents that answer it, or a
      mapping from these to grades (1 and more). Indices beyond the number of
      documents denote answers missing from the corpus.
    locations: for each document "path:line", an id, or "".
    itself: for each query the index of the document that is the query, which
      is removed from its ranking; -1 if there is none. May be empty.
    prompts: names of the prompts of queries and documents.
  """

  name: str
  queries: Sequence[str]
  documents: Sequence[str]
  locations: Sequence[str]
  relevant: Sequence[Sequence[int] | Mapping[int, int]]
  itself: Sequence[int] = ()
  path: str = ""
  prompts: tuple[str, str] = ("search_query", "search_document")
  group: str = ""
  published: Mapping[str, float] = dataclasses.field(default_factory=dict)

  kind: ClassVar[str] = "retrieval"
  metrics: ClassVar[tuple[str, ...]] = METRICS
  lexical: ClassVar[bool] = True

  @property
  def size(self) -> str:
    """Numbers of queries and documents; see `Task`."""
    return f"{len(self.queries):,} queries, {len(self.documents):,} documents"

  def fingerprint(self) -> str:
    """Returns a hash of data and settings; see `Task`."""
    judged = [sorted(_grades(answers).items()) for answers in self.relevant]
    return fingerprints.of_values(
      self.kind,
      self.queries,
      self.documents,
      self.locations,
      judged,
      list(self.itself),
      self.prompts,
    )

  def run(self, system: System) -> Outcome:
    """Runs a system; items are [queries, metrics]."""
    scores, rankings = cast(Ranker, system).search(
      self.queries, self.documents, DEPTH + bool(len(self.itself)), self.prompts
    )
    if len(self.itself):
      scores, rankings = without(scores, rankings, self.itself)
    metrics_of = retrieval_scores(rankings, self.relevant)
    return Outcome(
      items=np.stack([metrics_of[m] for m in self.metrics], 1),
      worst=worst(
        self.queries,
        lambda _, document: self._shown(document),
        scores,
        rankings,
        self.relevant,
      ),
      **self._map(system),
    )

  def _map(self, system: System) -> dict:
    """Returns a map of some queries and the best answer of each."""
    mapped = [
      q
      for q, answers in enumerate(self.relevant)
      if _best(answers) < len(self.documents)
    ][:_MAPPED]
    texts = [self.queries[q] for q in mapped] + [
      self.documents[_best(self.relevant[q])] for q in mapped
    ]
    groups = ["query"] * len(mapped) + ["document"] * len(mapped)
    return maps.points(
      system, texts, groups, dict(zip(("query", "document"), self.prompts))
    )

  def scores(self, items: np.ndarray) -> dict[str, float]:
    """Returns the metrics of items; see `Task`."""
    return dict(zip(self.metrics, map(float, items.mean(0))))

  def _shown(self, document: int) -> dict[str, str]:
    if document >= len(self.documents):
      return {"title": "(not in the corpus)", "location": ""}
    return {
      "title": title(self.documents[document]),
      "location": self.locations[document],
    }


def read_task(
  path: str | pathlib.Path, name: str | None = None, split: str = "test"
) -> RetrievalTask:
  """Makes a task of a data directory's held-out split.

  Its queries search its documents, and the answer to a query is the document in
  the same row. With few held-out documents the task would be too easy: if fewer
  than FEW rows are held out, the documents of the other splits are searched as
  well, unless there are more than WHOLE.

  Raises:
    UserError: if the directory or the split is missing or has no rows.
  """
  from nomic_jax.data import dataset  # TFDS: slow to import

  rows = list(dataset.open_split(path, split))
  if not rows:
    raise UserError(
      f"{path}: split '{split}' has no documents to search; prepare the data "
      "with a larger held-out share"
    )
  queries = [row["query"] for row in rows]
  documents = [row["document"] for row in rows]
  locations = [row["location"] for row in rows]
  relevant = relevance(queries, documents)
  if len(rows) < FEW:
    there = set(map(unicode_text.same, documents))
    more = []
    for other in dataset.splits(path):
      found = dataset.open_split(path, other) if other != split else ()
      if len(more) + len(found) > WHOLE:
        more = []
        break
      for row in found:
        if (same := unicode_text.same(row["document"])) not in there:
          there.add(same)
          more.append((row["document"], row["location"]))
    documents += [text for text, _ in more]
    locations += [location for _, location in more]
  return RetrievalTask(
    name=name or pathlib.Path(path).resolve().name,
    queries=queries,
    documents=documents,
    locations=locations,
    relevant=relevant,
    path=str(path),
  )


def relevance(
  queries: Sequence[str], documents: Sequence[str]
) -> list[list[int]]:
  """Returns for each query the indices of the documents that answer it.

  Query i is answered by document i and by copies of it. A repeated query has
  the answers of all its rows, so no ranking is penalized for the order of
  equivalent documents. Texts that differ only in case, accents or spaces are
  copies.

  Args:
    queries: N texts.
    documents: N texts, in the same order.
  """
  copies = collections.defaultdict(list)
  answers = collections.defaultdict(set)
  queries, documents = (
    list(map(unicode_text.same, texts)) for texts in (queries, documents)
  )
  for i, (query, document) in enumerate(zip(queries, documents, strict=True)):
    copies[document].append(i)
    answers[query].add(document)
  return [
    sorted(i for document in answers[query] for i in copies[document])
    for query in queries
  ]


def without(
  scores: np.ndarray, rankings: np.ndarray, itself: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
  """Removes each query's own document, or the last: [Q, K] to [Q, K - 1]."""
  own = np.asarray(itself)[:, None]
  drop = (rankings == own) & (own >= 0)
  drop[:, -1] |= ~drop.any(1)
  shape = (len(rankings), rankings.shape[1] - 1)
  return scores[~drop].reshape(shape), rankings[~drop].reshape(shape)


def worst(
  queries: Sequence[str],
  shown: Callable[[int, int], dict[str, str]],
  scores: np.ndarray,
  rankings: np.ndarray,
  relevant: Sequence[Iterable[int] | Mapping[int, int]],
) -> list[dict]:
  """Returns the queries whose answer ranked last or was not found.

  Queries without an answer are left out.

  Ties are broken by confidence: the query with the largest drop in score from
  the first document to the answer comes first, or to the last document if the
  answer was not found.

  Args:
    queries: Q texts.
    shown: returns what to show of a document, given the query's index and the
      document.
    scores: [Q, K], of the documents in `rankings`.
    rankings: [Q, K], as for `retrieval_scores`.
    relevant: as for `retrieval_scores`.
  """
  ranks, answerable = [], []
  for ranking, answers in zip(rankings.tolist(), relevant):
    good = {d for d, grade in _grades(answers).items() if grade > 0}
    if good:
      answerable.append(len(ranks))
    ranks.append(
      next((rank for rank, d in enumerate(ranking) if d in good), None)
    )
  missed = rankings.shape[1]
  order = sorted(
    answerable,
    key=lambda q: (
      -missed if ranks[q] is None else -ranks[q],
      scores[q, -1 if ranks[q] is None else ranks[q]] - scores[q, 0],
    ),
  )
  return [
    {
      "query": queries[q],
      "answer": shown(q, _best(relevant[q])),
      "rank": None if ranks[q] is None else ranks[q] + 1,
      "retrieved": [
        {"score": float(score), **shown(q, d)}
        for score, d in zip(scores[q], rankings[q].tolist()[:_SHOWN])
        if d >= 0
      ],
    }
    for q in order[:_WORST]
    if ranks[q] != 0
  ]


def retrieval_scores(
  rankings: np.ndarray, relevant: Sequence[Iterable[int] | Mapping[int, int]]
) -> dict[str, np.ndarray]:
  """Scores rankings with trec_eval's nDCG, reciprocal rank, recall and MAP.

  Args:
    rankings: [Q, K] indices of documents, best first; -1 for none.
    relevant: for each of the Q queries the indices that answer it, optionally
      with grades.

  Returns:
    For each of METRICS the Q scores, in 0..1.
  """
  rankings = np.asarray(rankings)
  whole = rank_scores(
    rankings[:, :DEPTH],
    relevant,
    {
      "nDCG@10": "ndcg_cut_10",
      "recall@100": "recall_100",
      "MAP@100": "map_cut_100",
      "recall@10": "recall_10",
    },
  )
  # trec_eval's recip_rank reads the whole ranking, so MRR@10 is computed on a
  # ranking truncated to ten.
  return whole | rank_scores(
    rankings[:, :10], relevant, {"MRR@10": "recip_rank"}
  )


def rank_scores(
  rankings: np.ndarray,
  relevant: Sequence[Iterable[int] | Mapping[int, int]],
  measures: Mapping[str, str],
) -> dict[str, np.ndarray]:
  """Returns trec_eval's `measures` [Q] of `rankings` [Q, K], by our names."""
  import pytrec_eval

  judgements = {
    str(q): {str(d): int(grade) for d, grade in _grades(answers).items()}
    for q, answers in enumerate(relevant)
  }
  depth = rankings.shape[1]
  # The library sorts by score and breaks ties by name, so ranks are given as
  # scores to keep the order.
  run = {
    str(q): {
      str(d): float(depth - rank) for rank, d in enumerate(row) if d >= 0
    }
    for q, row in enumerate(rankings.tolist())
  }
  evaluated = pytrec_eval.RelevanceEvaluator(
    judgements, set(measures.values())
  ).evaluate(run)
  return {
    name: np.array(
      [
        evaluated[str(q)][measure] if run[str(q)] else 0.0
        for q in range(len(rankings))
      ]
    )
    for name, measure in measures.items()
  }


def _grades(relevant: Iterable[int] | Mapping[int, int]) -> Mapping[int, int]:
  return (
    relevant if isinstance(relevant, Mapping) else dict.fromkeys(relevant, 1)
  )


def _best(relevant: Iterable[int] | Mapping[int, int]) -> int:
  grades = _grades(relevant)
  return max(grades, key=lambda document: grades[document])
