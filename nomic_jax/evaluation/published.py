# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Published scores, to compare with ours on the same tasks.

Scores are in per cent. Sources: for `nomic-embed-text-v1` and its variants,
arXiv 2402.01613, tables of MTEB, LoCo and Jina's long-context sets; for v1.5,
its model card. With fewer dimensions the name is NAME@DIM, as for our models
with `evaluate --dim`.
"""

_MTEB = (
  "Classification",
  "Clustering",
  "PairClassification",
  "Reranking",
  "Retrieval",
  "STS",
  "Summarization",
  "",
)
_LOCO = (
  "summ_screen_fd",
  "gov_report",
  "qmsum",
  "qasper_title",
  "qasper_abstract",
  "",
)
_JINA = (
  "NarrativeQARetrieval",
  "WikiCitiesClustering",
  "SciFact",
  "BigPatentClustering",
  "",
)


def _rows(suite: str, names: tuple[str, ...], *values: float) -> dict:
  return {
    "/".join(filter(None, (suite, name))): value
    for name, value in zip(names, values, strict=True)
  }


# By system, then by the name of a task or group.
SCORES: dict[str, dict[str, float]] = {
  "nomic-embed-text-v1": {
    **_rows(
      "mteb-en-v1", _MTEB, 74.1, 43.9, 85.2, 55.7, 52.8, 82.1, 30.1, 62.39
    ),
    **_rows("loco@2048", _LOCO, 86.1, 96.9, 47.8, 96.1, 99.7, 85.3),
    **_rows("loco@4096", _LOCO, 89.0, 97.4, 45.7, 95.8, 99.9, 85.6),
    **_rows("loco@8192", _LOCO, 90.9, 97.8, 44.2, 94.9, 99.9, 85.53),
    **_rows("jina@128", _JINA, 20.1, 90.0, 65.4, 18.5, 48.5),
    **_rows("jina@512", _JINA, 23.9, 88.7, 70.5, 25.3, 52.1),
    **_rows("jina@8191", _JINA, 37.8, 84.3, 70.2, 24.5, 54.16),
  },
  "nomic-embed-text-v1-ablated": {
    **_rows(
      "mteb-en-v1", _MTEB, 73.6, 43.7, 84.6, 53.3, 51.4, 80.2, 31.3, 61.36
    ),
    "loco@8192": 86.89,
    "jina@8191": 53.53,
  },
  "nomic-embed-text-v1-unsupervised": _rows(
    "mteb-en-v1", _MTEB, 71.2, 42.5, 83.7, 55.0, 48.0, 80.8, 30.7, 59.9
  ),
  "nomic-embed-text-v1.5": {"mteb-en-v1": 62.28},
  **{
    f"nomic-embed-text-v1.5@{dim}": {"mteb-en-v1": score}
    for dim, score in ((512, 61.96), (256, 61.04), (128, 59.34), (64, 56.10))
  },
}


def of(name: str) -> dict[str, float]:
  """Returns the published scores of a task or group, by system."""
  return {
    system: scores[name] for system, scores in SCORES.items() if name in scores
  }
