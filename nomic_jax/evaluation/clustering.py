# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Clustering: are texts on the same topic close to each other?

This follows MTEB (Muennighoff et al. 2022, section 3.2, and its code):
mini-batch k-means with as many clusters as labels and batches of 500, scored by
v-measure and averaged over the task's sets of texts.
"""

from collections.abc import Hashable
from collections.abc import Sequence
import dataclasses
import pathlib
from typing import cast
from typing import ClassVar

import numpy as np

from nomic_jax.errors import UserError
from nomic_jax.evaluation import maps
from nomic_jax.evaluation.systems import Dense
from nomic_jax.evaluation.systems import System
from nomic_jax.evaluation.task import Outcome
from nomic_jax.evaluation.task import Task
from nomic_jax.storage import fingerprints
from nomic_jax.storage import rows

_PROMPT = "clustering"
_SEED = 42  # MTEB's
_BATCH = 500


@dataclasses.dataclass(frozen=True)
class ClusteringTask(Task):
  """Sets of labelled texts; items are (set, label, cluster)."""

  name: str
  sets: Sequence[tuple[Sequence[str], Sequence[Hashable]]]
  path: str = ""
  group: str = ""

  kind: ClassVar[str] = "clustering"
  metrics: ClassVar[tuple[str, ...]] = ("v-measure",)

  @property
  def size(self) -> str:
    """Numbers of texts and sets; see `Task`."""
    texts = sum(len(texts) for texts, _ in self.sets)
    sets = f" in {len(self.sets):,} sets" if len(self.sets) > 1 else ""
    return f"{texts:,} texts{sets}"

  def fingerprint(self) -> str:
    """Returns a hash of data and settings; see `Task`."""
    return fingerprints.of_values(self.kind, self.sets, _PROMPT)

  def run(self, system: System) -> Outcome:
    """Clusters the texts of each set with k-means; see `Task`."""
    from sklearn import cluster

    vectors = cast(Dense, system).encode(
      [t for texts, _ in self.sets for t in texts], _PROMPT
    )
    items, start = [], 0
    for number, (texts, labels) in enumerate(self.sets):
      label_index = {label: i for i, label in enumerate(dict.fromkeys(labels))}
      fit = cluster.MiniBatchKMeans(
        n_clusters=len(label_index),
        batch_size=_BATCH,
        n_init="auto",
        random_state=_SEED,
      )
      fit.fit(vectors[start : start + len(texts)])
      items.append(
        np.stack(
          [
            np.full(len(texts), number),
            [label_index[label] for label in labels],
            fit.labels_,
          ],
          1,
        )
      )
      start += len(texts)
    texts, groups = self.sets[0]
    shown = maps.chosen(groups)
    texts, groups = [texts[i] for i in shown], [groups[i] for i in shown]
    return Outcome(
      np.concatenate(items),
      **maps.points(system, texts, groups, dict.fromkeys(groups, _PROMPT)),
    )

  def scores(self, items: np.ndarray) -> dict[str, float]:
    """Returns the v-measure, averaged over sets; see `Task`."""
    from sklearn import metrics

    return {
      "v-measure": float(
        np.mean(
          [
            metrics.v_measure_score(*items[items[:, 0] == number, 1:].T)
            for number in np.unique(items[:, 0])
          ]
        )
      )
    }


def read(path: pathlib.Path, name: str) -> ClusteringTask:
  """Reads the test file of a folder: text and label, or one set of texts per
  row as sentences and labels.

  Raises:
    UserError: as `rows.read`, or for a set with one label.
  """
  if "sentences" in rows.columns(rows.file(path, "test")):
    file, examples = rows.read(
      path, "test", {"sentences": rows.TEXTS, "labels": rows.LABELS}
    )
    sets = [(row["sentences"], row["labels"]) for row in examples]
  else:
    file, examples = rows.read(
      path, "test", {"text": rows.TEXT, "label": rows.LABEL}
    )
    sets = [([r["text"] for r in examples], [r["label"] for r in examples])]
  for number, (texts, labels) in enumerate(sets, 1):
    if len(texts) != len(labels):
      raise UserError(
        f"{file}, row {number}: {len(texts):,} sentences and "
        f"{len(labels):,} labels; expected one label per sentence"
      )
    if len(set(labels)) < 2:
      raise UserError(
        f"{file}{f', row {number}' if len(sets) > 1 else ''}: all labels "
        "are the same; expected texts on at least two topics"
      )
  return ClusteringTask(name, sets, str(path))
