# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Chooses the rows that are held out, so that no text is in train and test.

Texts that differ only in case, accents or spaces count as one. Rows that share
something, a text or a package, form a group, and groups are held out whole.
Five 64-bit hashes of each row are kept in memory, not its texts.
"""

import array
import collections
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import hashlib
import json
import math
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from nomic_jax.data.dataset import Row
from nomic_jax.errors import UserError
from nomic_jax.storage import unicode_text

# Groups larger than this share of the held-out rows are chosen last: otherwise
# a single large package could be the whole test.
_LARGEST_GROUP = 0.25

TRAIN, TEST, COPY = range(3)

# Number of held-out rows to aim for, if the user does not set a share.
_ENOUGH = 200
_LEAST_SHARE, _MOST_SHARE = 0.07, 0.3


def share_of(rows: int) -> float:
  """Returns the default share of held-out rows: enough to compare models.

  That is 200 rows, but at least 7 % and at most 30 % of all rows.
  """
  return min(max(_ENOUGH / rows, _LEAST_SHARE), _MOST_SHARE)


class Survey(NamedTuple):
  """The result of one pass over n rows.

  Attributes:
    queries: uint64 [n], hashes; of the document if there is no query.
    documents: uint64 [n], hashes.
    rows: uint64 [n], hashes of everything that training reads of a row.
    same_queries, same_documents: uint64 [n], hashes that ignore case, accents
      and spaces; see `unicode_text.same`.
    linked: uint64 [n], 1 where a row was made from the same document as the
      previous row.
    sources: number of rows of each source.
    largest_id: the largest token id in rows of ids; -1 if there are none.
  """

  queries: np.ndarray
  documents: np.ndarray
  rows: np.ndarray
  same_queries: np.ndarray
  same_documents: np.ndarray
  linked: np.ndarray
  sources: collections.Counter[str]
  largest_id: int


def survey(rows: Iterable[Row]) -> Survey:
  """Reads rows once and returns their hashes and counts."""
  queries, documents, wholes, same_queries, same_documents, linked = (
    array.array("Q") for _ in range(6)
  )
  group = None
  sources: collections.Counter[str] = collections.Counter()
  largest = -1
  for row in rows:
    sources[row["source"]] += 1
    before, group = group, row.get("group")
    linked.append(bool(group) and group == before)
    largest = max(largest, max(row["ids"], default=-1))
    document = _hash(row["document"] or _joined(row["ids"]))
    # Plain text has no query, so rows cannot share one.
    queries.append(_hash(row["query"]) if row["query"] else document)
    documents.append(document)
    same = document
    if row["document"]:
      same = _hash(unicode_text.same(row["document"]))
    same_documents.append(same)
    same_queries.append(
      _hash(unicode_text.same(row["query"])) if row["query"] else same
    )
    rest = [row["negatives"], row["labels"]]
    if not math.isnan(row["score"]):
      rest.append(row["score"])
    wholes.append(_hash(_joined(rest)) if any(rest) or rest[2:] else 0)
  pairs = np.frombuffer(queries, np.uint64), np.frombuffer(documents, np.uint64)
  return Survey(
    *pairs,
    _pair_hash(*pairs) + np.frombuffer(wholes, np.uint64),
    np.frombuffer(same_queries, np.uint64),
    np.frombuffer(same_documents, np.uint64),
    np.frombuffer(linked, np.uint64),
    sources,
    largest,
  )


def fates(
  found: Survey, held_out: float, keep_copies: bool = False
) -> np.ndarray:
  """Returns TRAIN, TEST or COPY (of an earlier row) for each row, uint8 [n].

  A row is a copy if an earlier row has the same query and document, and its
  negatives, labels and score are the same or absent.

  Raises:
    UserError: if all rows form one group and some are to be held out.
  """
  queries, documents = found.queries, found.documents
  rows = len(queries)
  fate = np.zeros(rows, np.uint8)
  if not keep_copies:
    # Sorting is stable: the first of equal rows comes first.
    order = np.argsort(found.rows, kind="stable")
    copy = np.diff(found.rows[order]) == 0
    fate[order[1:][copy]] = COPY
    order = np.lexsort((documents, queries))
    pair = (np.diff(queries[order]) == 0) & (np.diff(documents[order]) == 0)
    plain = found.rows == _pair_hash(queries, documents)
    fate[order[1:][pair & plain[order[1:]]]] = COPY
  if held_out:
    texts, at = np.unique(
      np.concatenate([found.same_queries, found.same_documents]),
      return_inverse=True,
    )
    left, right = at[:rows], at[rows:]
    if found.linked.any():
      (later,) = np.nonzero(found.linked)
      left = np.concatenate([left, at[:rows][later]])
      right = np.concatenate([right, at[:rows][later - 1]])
    edges = sparse.coo_array(
      (np.ones(len(left), np.int8), (left, right)),
      shape=(len(texts), len(texts)),
    )
    count, group = csgraph.connected_components(edges, directed=False)
    # The smallest hash of its texts identifies a group, independent of the
    # order of rows. Groups are chosen in the order of these hashes.
    names = np.full(count, np.iinfo(np.uint64).max, np.uint64)
    group_of = group[at[:rows]]
    np.minimum.at(names, group_of, np.minimum(queries, documents))
    sizes = np.bincount(group_of[fate != COPY], minlength=count)
    chosen = np.zeros(count, bool)
    chosen[_choose(np.argsort(names), sizes, held_out)] = True
    fate[chosen[group_of] & (fate != COPY)] = TEST
  return fate


def _pair_hash(queries: np.ndarray, documents: np.ndarray) -> np.ndarray:
  with np.errstate(over="ignore"):
    return queries ^ documents * np.uint64(0x9E3779B97F4A7C15)


def _joined(parts: Iterable[object]) -> str:
  return json.dumps(parts, ensure_ascii=False) if parts else ""


def _hash(text: str) -> int:
  digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
  return int.from_bytes(digest, "little")


def by_package(rows: Iterable[Row], held_out: float) -> np.ndarray:
  """Returns TRAIN or TEST for each row; holds out whole packages."""
  # The package `_x` often holds code of `x`: treat them as one.
  names = [row["source"].strip("_") for row in rows]
  chosen = choose_groups(collections.Counter(names), held_out)
  return np.array([TEST if n in chosen else TRAIN for n in names], np.uint8)


def choose_groups(sizes: Mapping[str, int], share: float) -> set[str]:
  """Chooses whole groups that together hold about `share` of all rows.

  Groups are visited in the order of a hash of their names, so that a new group
  seldom changes the split of others. Each is chosen if the total does not
  exceed the target; groups above a quarter of the target are visited last. If
  none fits, the first of the smallest is chosen.

  Raises:
    UserError: if there is only one group.
  """
  names = sorted(
    sizes, key=lambda name: hashlib.sha256(name.encode()).hexdigest()
  )
  order = range(len(names))
  what = lambda: repr(names[0])
  chosen = _choose(order, [sizes[n] for n in names], share, what)
  return {names[i] for i in chosen}


def _choose(
  order: Sequence[int] | np.ndarray,
  sizes: Sequence[int] | np.ndarray,
  share: float,
  what: Callable[[], str] = lambda: "through texts they share",
) -> list[int]:
  """Returns the indices of the groups that `choose_groups` chooses."""
  target = share * int(np.sum(sizes))
  if not target:
    return []
  if len(sizes) < 2:
    raise UserError(
      f"all rows belong to one group ({what():.60}), so none can be held out; "
      "use more sources, or --held_out=0 for no test split"
    )
  chosen, total = set(), 0
  for largest in (_LARGEST_GROUP * target, target):
    for i in map(int, order):
      if total == int(target):
        break
      if i not in chosen and (
        sizes[i] <= largest and total + sizes[i] <= target
      ):
        chosen.add(i)
        total += int(sizes[i])
  return sorted(chosen) or [min(map(int, order), key=lambda i: sizes[i])]
