# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Two-dimensional maps of vectors: PCA, and UMAP if it is installed."""

import collections
from collections.abc import Hashable
from collections.abc import Sequence
import importlib.util

import numpy as np

from nomic_jax.evaluation import systems
from nomic_jax.storage import unicode_text

_TEXTS = 400
_GROUPS = 8


def project(vectors: np.ndarray) -> dict[str, list[list[float]]]:
  """Returns [M, 2] by the name of the method, scaled to -1..1."""
  from sklearn import decomposition

  projections = {
    "PCA": decomposition.PCA(2, random_state=0).fit_transform(vectors)
  }
  if importlib.util.find_spec("umap"):
    import umap

    projections["UMAP"] = umap.UMAP(
      n_neighbors=min(15, len(vectors) - 1),
      metric="cosine",
      random_state=0,
      n_jobs=1,
    ).fit_transform(vectors)
  return {
    name: np.round(
      (points - points.mean(0))
      / max(np.abs(points - points.mean(0)).max(), 1e-12),
      4,
    ).tolist()
    for name, points in projections.items()
  }


def chosen(labels: Sequence[Hashable]) -> list[int]:
  """Returns rows with the most common labels, about equally many of each."""
  common = [
    label for label, _ in collections.Counter(labels).most_common(_GROUPS)
  ]
  left = dict.fromkeys(common, _TEXTS // len(common))
  rows = []
  for row, label in enumerate(labels):
    if left.get(label, 0):
      left[label] -= 1
      rows.append(row)
  return rows


def points(
  system: systems.System,
  texts: Sequence[str],
  groups: Sequence[Hashable],
  prompts: dict[Hashable, str],
) -> dict:
  """Returns the vectors and labels of some texts, as fields of `Outcome`.

  Args:
    system: embeds the texts; a Lexical system has no vectors.
    texts: M texts.
    groups: the group of each text; a group's points share a colour.
    prompts: the prompt of each group.
  """
  if len(texts) < 3 or not isinstance(system, systems.Dense):
    return {}
  vectors_of = {}
  for group in dict.fromkeys(groups):
    some = [t for t, g in zip(texts, groups) if g == group]
    vectors_of[group] = iter(system.encode(some, prompts[group]))
  vectors = np.stack([next(vectors_of[group]) for group in groups])
  if vectors.shape[1] < 2:
    return {}
  return {
    "vectors": vectors,
    "labels": [
      {"text": unicode_text.title(text)[:80], "group": str(group)}
      for text, group in zip(texts, groups)
    ],
  }
