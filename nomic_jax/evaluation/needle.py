# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Finding a sentence in long documents, taken from Python's own modules.

This task needs no data. Documents are the beginnings of the standard library's
long modules, which `prepare --source=docstrings` excludes. A query is the first
sentence of a docstring in one of them, at a known depth. The scores by depth
show how much of a document a model uses.
"""

import bisect
import collections
from collections.abc import Sequence
import dataclasses
import pathlib
import sysconfig
from typing import ClassVar

import numpy as np

from nomic_jax.data import docstrings
from nomic_jax.data import summary
from nomic_jax.errors import UserError
from nomic_jax.evaluation.retrieval import METRICS
from nomic_jax.evaluation.retrieval import RetrievalTask
from nomic_jax.evaluation.systems import System
from nomic_jax.evaluation.task import Outcome

# About 8,192 tokens at three and a half characters per token of code.
CHARACTERS = docstrings.EVALUATED_BYTES
_PARTS = 4


@dataclasses.dataclass(frozen=True)
class Needle(RetrievalTask):
  """Retrieval, with nDCG@10 for each quarter of the documents.

  Attributes:
    parts: for each query, the quarter of its document with the sentence.
  """

  parts: Sequence[int] = ()

  kind: ClassVar[str] = "retrieval"
  metrics: ClassVar[tuple[str, ...]] = METRICS + tuple(
    f"quarter {part + 1}" for part in range(_PARTS)
  )

  def run(self, system: System) -> Outcome:
    """Runs a system; items are [queries, metrics], NaN in other quarters."""
    plain = RetrievalTask(
      self.name, self.queries, self.documents, self.locations, self.relevant
    )
    outcome = plain.run(system)
    quarters = np.full((len(self.queries), _PARTS), np.nan)
    quarters[np.arange(len(self.parts)), self.parts] = outcome.items[:, 0]
    return dataclasses.replace(
      outcome, items=np.concatenate([outcome.items, quarters], 1)
    )

  def scores(self, items: np.ndarray) -> dict[str, float]:
    """Returns the metrics of items, by quarter; see `Task`."""
    # A sample of the rows may contain no query of a quarter.
    count = np.maximum((~np.isnan(items)).sum(0), 1)
    return dict(zip(self.metrics, map(float, np.nansum(items, 0) / count)))


def read(
  folder: pathlib.Path | None = None, characters: int = CHARACTERS
) -> Needle:
  """Makes the task of the modules in a folder; default: the standard library.

  Uses each module that is long enough, and one sentence from each quarter that
  has one. Sentences that occur in two documents are skipped.

  Args:
    folder: contains Python files.
    characters: the length that documents are truncated to.

  Raises:
    UserError: if no module is long enough.
  """
  folder = folder or pathlib.Path(sysconfig.get_paths()["stdlib"])
  by_file = collections.defaultdict(list)
  for row in docstrings.read(folder).rows:
    path, _, line = row["location"].rpartition(":")
    by_file[path].append((int(line), row["query"]))
  documents, locations, wanted = [], [], []
  for path, sentences in sorted(by_file.items()):
    text = pathlib.Path(path).read_text(encoding="utf-8-sig")
    if len(text) < characters:
      continue
    text = text[:characters]
    ends = [i for i, c in enumerate(text) if c == "\n"]
    squeezed = summary.squeeze(text)
    first = {}
    for line, query in sorted(sentences):
      if line - 2 < len(ends) and summary.squeeze(query) in squeezed:
        at = ends[line - 2] if line > 1 else 0
        first.setdefault(
          bisect.bisect(
            [characters * p // _PARTS for p in range(1, _PARTS)], at
          ),
          query,
        )
    wanted += [(query, len(documents), part) for part, query in first.items()]
    documents.append(text)
    locations.append(path)
  texts = [summary.squeeze(d) for d in documents]
  wanted = [
    w for w in wanted if sum(summary.squeeze(w[0]) in t for t in texts) == 1
  ]
  if not wanted:
    raise UserError(
      f"{folder}: no module with {characters:,} characters and a docstring; "
      "expected a folder of long Python modules, such as the standard library"
    )
  queries, answers, parts = zip(*wanted)
  return Needle(
    name="needle",
    queries=queries,
    documents=documents,
    locations=locations,
    relevant=[[a] for a in answers],
    path=str(folder),
    parts=parts,
  )
