# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Retrieval tasks from texts with ids and judgements of their pairs.

An id has one text and a pair has one grade: repeated equal rows are counted
once and reported, conflicting rows are refused. A judged document missing from
the corpus cannot be found, but counts in the ideal ranking, recall and MAP, as
in trec_eval. A judged query without text is skipped.
"""

from collections.abc import Hashable
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any
from typing import TypeVar

from nomic_jax.errors import UserError
from nomic_jax.evaluation.retrieval import RetrievalTask
from nomic_jax.storage import bad as bad_lib

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def unique(
  rows: Iterable[tuple[int, K, V]], where: str, kind: str
) -> dict[K, V]:
  """Returns {key: value} of (row number, key, value).

  Args:
    rows: in order.
    where: the file, for error messages.
    kind: what a key is, such as "_id".

  Raises:
    UserError: naming both rows, if a key has two values.
  """
  bad = bad_lib.BadRows(skippable=False)
  values = {
    key: value
    for _, key, value in bad_lib.unique(
      rows, where, "row", bad_lib.both_have(kind), bad
    )
  }
  if bad.left.total():
    print(f"{where}: {bad.left.total():,} rows repeat an earlier row; ignored")
  return values


def task(
  name: str,
  documents: Mapping[str, tuple[str, str]],
  queries: Mapping[str, tuple[str, str]],
  judgements: Mapping[tuple[str, str], int],
  where: str,
  **options: Any,
) -> RetrievalTask:
  """Makes a retrieval task.

  In ArguAna and Quora, queries are also documents. A document with the id and
  the text of a query does not count as an answer to that query.

  Args:
    name: the name of the task.
    documents: by id, (text to search, text to compare with the query's).
    queries: likewise.
    judgements: grade of each (query, document).
    where: the judgements' file, for error messages.
    **options: of `RetrievalTask`.

  Raises:
    UserError: if there are no judgements, or none that match the texts.
  """
  if not judgements:
    raise UserError(f"{where}: no judgements, so nothing to score")
  index = {key: i for i, key in enumerate(documents)}
  grades: dict[str, dict[int, int]] = {}
  unknown, absent, lost = set(), set(), 0
  for (query, document), grade in judgements.items():
    if query not in queries:
      unknown.add(query)
      continue
    if document not in documents:
      absent.add(document)
      lost += 1
    at = index.setdefault(document, len(index))
    grades.setdefault(query, {})[at] = grade
  if not any(i < len(documents) for some in grades.values() for i in some):
    raise UserError(
      f"{where}: no judgement names a query and a document that both exist; "
      "expected judgements of these texts"
    )
  if absent:
    print(
      f"{where}: {lost:,} judgements name {len(absent):,} documents that "
      "are not in the corpus; they count as not found"
    )
  if unknown:
    print(
      f"{where}: {len(unknown):,} judged queries have no text and are skipped"
    )
  without = sum(max(g.values()) <= 0 for g in grades.values())
  if without:
    print(
      f"{where}: {without:,} queries have no document with a grade above 0, "
      "so they score 0"
    )
  itself = [
    index[q] if q in documents and queries[q][1] == documents[q][1] else -1
    for q in grades
  ]
  return RetrievalTask(
    name,
    [queries[q][0] for q in grades],
    [text for text, _ in documents.values()],
    list(documents),
    [list(g) if set(g.values()) == {1} else g for g in grades.values()],
    itself if max(itself) >= 0 else (),
    **options,
  )
