# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Ranking metrics and the retrieval task that a data directory holds.

The task is the directory's held-out split: its queries against its documents,
where a query is answered by the document of its own row. The metrics are
trec_eval's, through pytrec_eval.
"""

import collections
import dataclasses
import pathlib
from typing import Iterable, Sequence

import numpy as np

from nomic_jax.errors import UserError

METRICS = ("nDCG@10", "MRR@10", "recall@100")
DEPTH = 100  # documents kept per query: what the deepest metric reads


@dataclasses.dataclass(frozen=True)
class RetrievalTask:
  """Queries, the documents they are asked of, and which ones answer them.

  Attributes:
    relevant: for each query, the indices of the documents that answer it.
    locations: for each document "path:line", or "".
  """

  name: str
  queries: Sequence[str]
  documents: Sequence[str]
  locations: Sequence[str]
  relevant: Sequence[Sequence[int]]


def read_task(
    path: str | pathlib.Path, name: str | None = None, split: str = "test"
) -> RetrievalTask:
  """Makes a task of a data directory's held-out split.

  Raises:
    UserError: if the directory or the split is missing or has no rows.
  """
  from nomic_jax.data import dataset  # TFDS: slow to import

  source = dataset.open_split(path, split)
  rows = [source[i] for i in range(len(source))]
  if not rows:
    raise UserError(
        f"{path}: split '{split}' has no documents to search; prepare it with "
        "a larger held-out share"
    )
  queries = [row["query"] for row in rows]
  documents = [row["document"] for row in rows]
  return RetrievalTask(
      name=name or pathlib.Path(path).resolve().name,
      queries=queries,
      documents=documents,
      locations=[row["location"] for row in rows],
      relevant=relevance(queries, documents),
  )


def relevance(
    queries: Sequence[str], documents: Sequence[str]
) -> list[list[int]]:
  """Returns for each query the indices of the documents that answer it.

  Query i is answered by document i; a copy of a document answers what the
  document answers, and a repeated query has the answers of all its rows, so
  that no ranking is punished for telling apart what nobody can.

  Args:
    queries: N texts.
    documents: N texts, in the same order.
  """
  copies = collections.defaultdict(list)
  answers = collections.defaultdict(set)
  for i, (query, document) in enumerate(zip(queries, documents, strict=True)):
    copies[document].append(i)
    answers[query].add(document)
  return [
      sorted(i for document in answers[query] for i in copies[document])
      for query in queries
  ]


def retrieval_scores(
    rankings: np.ndarray, relevant: Iterable[Iterable[int]]
) -> dict[str, np.ndarray]:
  """Scores rankings with trec_eval's nDCG, reciprocal rank and recall.

  Args:
    rankings: [Q, K] indices of documents, best first; -1 for none.
    relevant: for each of the Q queries the indices that answer it.

  Returns:
    For each of METRICS the Q scores, in 0..1.
  """
  import pytrec_eval

  rankings = np.asarray(rankings)
  judgements = {
      str(q): {str(d): 1 for d in answers} for q, answers in enumerate(relevant)
  }
  whole = _evaluate(
      pytrec_eval, judgements, rankings[:, :DEPTH],
      {"ndcg_cut.10", "recall.100"},
  )
  # trec_eval's recip_rank reads the whole ranking: MRR@10 is that measure of
  # a ranking that ends after ten.
  first = _evaluate(pytrec_eval, judgements, rankings[:, :10], {"recip_rank"})
  return {
      "nDCG@10": whole["ndcg_cut_10"],
      "MRR@10": first["recip_rank"],
      "recall@100": whole["recall_100"],
  }


def _evaluate(library, judgements, rankings, measures):
  """Returns for each measure the scores [Q] of `rankings` [Q, K]."""
  depth = rankings.shape[1]
  # The library sorts by score and breaks ties by name: places as scores keep
  # the order that was given.
  run = {
      str(q): {
          str(d): float(depth - place) for place, d in enumerate(row) if d >= 0
      }
      for q, row in enumerate(rankings.tolist())
  }
  found = library.RelevanceEvaluator(judgements, measures).evaluate(run)
  return {
      name: np.array([found[str(q)][name] if run[str(q)] else 0.0
                      for q in range(len(rankings))])
      for name in (measure.replace(".", "_") for measure in measures)
  }
