# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Pairs of texts: how similar are they (STS), and do they mean the same?

Both compare the cosine of a pair's vectors with human judgements, as MTEB does
(Muennighoff et al. 2022, section 3.2), with the paper's prompt.
"""

from collections.abc import Sequence
import dataclasses
import pathlib
from typing import cast
from typing import ClassVar
import warnings

import numpy as np

from nomic_jax.errors import UserError
from nomic_jax.evaluation.systems import Dense
from nomic_jax.evaluation.systems import System
from nomic_jax.evaluation.task import Outcome
from nomic_jax.evaluation.task import Task
from nomic_jax.storage import fingerprints
from nomic_jax.storage import rows

_WORST = 20
_TEXTS = {"sentence1": rows.TEXT, "sentence2": rows.TEXT}
_PROMPT = "classification"  # the paper's, also for pairs


@dataclasses.dataclass(frozen=True)
class _Pairs(Task):
  """Pairs and human judgements; items are (cosine, gold)."""

  name: str
  first: Sequence[str]
  second: Sequence[str]
  gold: Sequence[float]
  path: str = ""
  group: str = ""
  prompts: tuple[str, str] = (_PROMPT, _PROMPT)

  @property
  def size(self) -> str:
    return f"{len(self.gold):,} pairs"

  def fingerprint(self) -> str:
    return fingerprints.of_values(
      self.kind,
      self.first,
      self.second,
      list(self.gold),
      *dict.fromkeys(self.prompts),
    )

  def run(self, system: System) -> Outcome:
    count, encode = len(self.first), cast(Dense, system).encode
    if self.prompts[0] == self.prompts[1]:
      # In one call: a text that many pairs share is embedded once.
      both = encode([*self.first, *self.second], self.prompts[0])
      first, second = both[:count], both[count:]
    else:
      first = encode(self.first, self.prompts[0])
      second = encode(self.second, self.prompts[1])
    cosine = np.einsum("nd,nd->n", first, second)
    items = np.stack([cosine, np.asarray(self.gold)], 1).astype(np.float64)
    return Outcome(items, self._worst(items))

  def _worst(self, items: np.ndarray) -> list[dict]:
    """Returns the pairs whose rank by cosine differs most from that by gold."""
    from scipy import stats

    ranks = stats.rankdata(items, axis=0)
    order = np.argsort(-np.abs(ranks[:, 0] - ranks[:, 1]), kind="stable")
    return [
      {
        "texts": [self.first[i], self.second[i]],
        "expected": f"{self.gold[i]:g}",
        "found": f"cosine {items[i, 0]:.3f}, rank "
        f"{len(items) - ranks[i, 0] + 1:,.0f} of {len(items):,}",
      }
      for i in order[:_WORST]
    ]


class StsTask(_Pairs):
  """Correlation of cosines with human scores."""

  kind: ClassVar[str] = "sts"
  metrics: ClassVar[tuple[str, ...]] = ("Spearman", "Pearson")

  def scores(self, items: np.ndarray) -> dict[str, float]:
    """Returns the metrics of items; see `Task`."""
    from scipy import stats

    with warnings.catch_warnings():
      warnings.simplefilter("ignore")  # constant input gives NaN
      pearson, _ = stats.pearsonr(items[:, 0], items[:, 1])
      return {
        "Spearman": self.main(items),
        "Pearson": float(cast(np.floating, pearson)),
      }

  def main(self, items: np.ndarray) -> float:
    """Returns Spearman's correlation: Pearson's correlation of the ranks."""
    from scipy import stats

    ranks = stats.rankdata(items, axis=0)
    ranks -= ranks.mean(0)
    length = np.sqrt((ranks**2).sum(0).prod())
    return float(ranks.prod(1).sum() / length) if length else np.nan


class PairTask(_Pairs):
  """Average precision of cosines, where gold is 1 (equal meaning) or 0."""

  kind: ClassVar[str] = "pairs"
  metrics: ClassVar[tuple[str, ...]] = ("AP",)

  def scores(self, items: np.ndarray) -> dict[str, float]:
    """Returns the metrics of items; see `Task`."""
    from sklearn import metrics

    cosine, gold = items.T
    if not gold.any():  # occurs in samples of few pairs
      return {"AP": np.nan}
    return {"AP": float(metrics.average_precision_score(gold, cosine))}


def read_data(path: pathlib.Path, name: str, split: str = "test") -> StsTask:
  """Makes a task of a data directory's held-out pairs with scores.

  They have the prompts of queries and documents, as in training.

  Raises:
    UserError: if the split is missing, or its scores are all the same.
  """
  from nomic_jax.data import dataset  # TFDS: slow to import

  source = dataset.open_split(path, split)
  found = source.__getitems__(range(len(source)))
  gold = [row["score"] for row in found]
  check_differ(f"{path}, split '{split}'", gold)
  return StsTask(
    name,
    [row["query"] for row in found],
    [row["document"] for row in found],
    gold,
    str(path),
    prompts=("search_query", "search_document"),
  )


def check_differ(where: str, gold: Sequence[float]) -> None:
  """Raises UserError if all scores are the same."""
  if len(set(gold)) == 1:
    raise UserError(
      f"{where}: the score of every pair is {gold[0]:g}; a correlation needs "
      "scores that differ"
    )


def read_sts(path: pathlib.Path, name: str) -> StsTask:
  """Reads the test file of a folder: sentence1, sentence2, score.

  Raises:
    UserError: as `rows.read`, or if all scores are equal.
  """
  file, examples = rows.read(path, "test", _TEXTS | {"score": rows.NUMBER})
  gold = [row["score"] for row in examples]
  check_differ(str(file), gold)
  return StsTask(name, *_texts(examples), gold, str(path))


def read_pairs(path: pathlib.Path, name: str) -> PairTask:
  """Reads the test file of a folder: sentence1, sentence2, label (0 or 1).

  Raises:
    UserError: as `rows.read`, for another label, or if all labels are equal.
  """
  file, examples = rows.read(path, "test", _TEXTS | {"label": rows.NUMBER})
  gold = [row["label"] for row in examples]
  for number, label in enumerate(gold, 1):
    if label not in (0, 1):
      raise UserError(
        f"{file}, row {number}: label {label:g}; expected 1 for a pair that "
        "means the same and 0 for one that does not"
      )
  if len(set(gold)) == 1:
    raise UserError(
      f"{file}: all labels are {gold[0]:g}; expected pairs of both classes"
    )
  return PairTask(name, *_texts(examples), gold, str(path))


def _texts(examples: list[dict]) -> tuple[list[str], list[str]]:
  return [r["sentence1"] for r in examples], [r["sentence2"] for r in examples]
