# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Which rows are compared with each other, and the prompts of their texts.

Vectors of texts with different prompts are not comparable, so only rows with
equal prompts are compared. A source's own prompts (such as clustering or
search) are used if the model knows them; otherwise those of the model, if it
has any.
"""

import collections
from collections.abc import Callable
from collections.abc import Hashable
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from nomic_jax.data import dataset
from nomic_jax.text.prompts import PROMPTS


class Prompts(NamedTuple):
  """The prompts of queries and documents."""

  query: str
  document: str


class Group(NamedTuple):
  """Rows that are compared with each other.

  Attributes:
    kind: the kind of its rows; see `split`.
    rows: [n] int64, their numbers in increasing order.
    prompts: the prompts of their texts.
  """

  kind: Hashable
  rows: np.ndarray
  prompts: Prompts


def sources_of(source: dataset.Source) -> tuple[list[str], np.ndarray]:
  """Returns the names of sources, and each row's source, int64 [rows]."""
  # Older data directories do not record sources, so their rows are read.
  runs = source.runs or [[row["source"], 1] for row in source]
  names, number = np.unique([name for name, _ in runs], return_inverse=True)
  lengths = np.array([length for _, length in runs], np.int64)
  return names.tolist(), np.repeat(number, lengths)


def split(
  source: dataset.Source,
  known: Mapping[str, str],
  *,
  query_prompt: str | None = None,
  document_prompt: str | None = None,
  kind: Callable[[str], Hashable] = lambda name: None,
) -> list[Group]:
  """Returns the groups of a split's rows; every row is in one of them.

  Args:
    source: the rows.
    known: the model's prompts by name.
    query_prompt: overrides the prompt of all queries; None: see `prompts_of`.
    document_prompt: overrides the prompt of all documents.
    kind: maps a source's name to a kind; rows of different kinds are not
      compared either.
  """
  names, number = sources_of(source)
  members = collections.defaultdict(list)
  for i, name in enumerate(names):
    prompts = prompts_of(source.prompts.get(name, {}), known)
    if query_prompt is not None:
      prompts = prompts._replace(query=query_prompt)
    if document_prompt is not None:
      prompts = prompts._replace(document=document_prompt)
    members[kind(name), prompts].append(i)
  return [
    Group(what, np.flatnonzero(np.isin(number, numbers)), prompts)
    for (what, prompts), numbers in members.items()
  ]


def prompts_of(own: Mapping[str, str], known: Mapping[str, str]) -> Prompts:
  """Returns a source's `own` prompts if the model knows them, else the model's.

  Args:
    own: {"query", "document"}, or empty.
    known: the model's prompts by name.
  """
  if own and all(text in known.values() for text in own.values() if text):
    return Prompts(own["query"], own["document"])
  return Prompts(
    known.get("search_query", ""), known.get("search_document", "")
  )


def is_retrieval(own: Mapping[str, str]) -> bool:
  """Returns whether a source with these prompts is a retrieval source."""
  return own.get("query") not in (
    PROMPTS["classification"],
    PROMPTS["clustering"],
  )
