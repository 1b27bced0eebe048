# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The 56 English data sets of MTEB that the paper reports, run by `mteb`.

Data is searched for in the folder --data, then in the local cache of the
Hugging Face Hub, then on the Hub. A copy in the folder has the name of the task
or of the repository, and the same content as the repository.
"""

from collections.abc import Sequence
import copy
import dataclasses
import functools
import logging
import os
import pathlib
from typing import Any
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

SUITE = "mteb-en-v1"
# By mteb's type of task; each type is averaged separately.
SETS = {
  "Classification": [
    f"{name}Classification"
    for name in (
      "AmazonCounterfactual",
      "AmazonPolarity",
      "AmazonReviews",
      "Banking77",
      "Emotion",
      "Imdb",
      "MassiveIntent",
      "MassiveScenario",
      "MTOPDomain",
      "MTOPIntent",
      "ToxicConversations",
      "TweetSentimentExtraction",
    )
  ],
  "Clustering": [
    *(
      f"{archive}Clustering{kind}"
      for archive in ("Arxiv", "Biorxiv", "Medrxiv")
      for kind in ("P2P", "S2S")
    ),
    "RedditClustering",
    "RedditClusteringP2P",
    "StackExchangeClustering",
    "StackExchangeClusteringP2P",
    "TwentyNewsgroupsClustering",
  ],
  "PairClassification": [
    "SprintDuplicateQuestions",
    "TwitterSemEval2015",
    "TwitterURLCorpus",
  ],
  "Reranking": [
    "AskUbuntuDupQuestions",
    "MindSmallReranking",
    "SciDocsRR",
    "StackOverflowDupQuestions",
  ],
  "Retrieval": [
    "ArguAna",
    "ClimateFEVER",
    "CQADupstackRetrieval",
    "DBPedia",
    "FEVER",
    "FiQA2018",
    "HotpotQA",
    "MSMARCO",
    "NFCorpus",
    "NQ",
    "QuoraRetrieval",
    "SCIDOCS",
    "SciFact",
    "Touche2020",
    "TRECCOVID",
  ],
  "STS": [
    "BIOSSES",
    "SICK-R",
    *(f"STS{year}" for year in range(12, 18)),
    "STS22",
    "STSBenchmark",
  ],
  "Summarization": ["SummEval"],
}
# The English part of data sets in several languages; MSMARCO's dev split.
_SUBSETS = {
  "AmazonCounterfactualClassification": "en",
  "AmazonReviewsClassification": "en",
  "MassiveIntentClassification": "en",
  "MassiveScenarioClassification": "en",
  "MTOPDomainClassification": "en",
  "MTOPIntentClassification": "en",
  "STS17": "en-en",
  "STS22": "en",
}
_SPLITS = {"MSMARCO": "dev"}
# The paper's score for pairs; mteb's is now the best of several similarities.
_SCORES = {"PairClassification": "cosine_ap"}


@dataclasses.dataclass(frozen=True)
class MtebTask(Task):
  """A task of mteb, which computes its score; the only item is that score.

  Therefore there are no confidence intervals and no worst items.
  """

  name: str
  task: Any
  path: str
  group: str = ""

  kind: ClassVar[str] = "mteb"

  @property
  def metrics(self) -> tuple[str, ...]:
    """The main metric of mteb, or that of the paper."""
    main: str = self.task.metadata.main_score
    return (_SCORES.get(self.task.metadata.type, main),)

  @property
  def size(self) -> str:
    """The type of the task; its data is loaded only when it runs."""
    return f"{self.task.metadata.type} of MTEB"

  def fingerprint(self) -> str:
    """Returns a hash of the task's name and of mteb's version."""
    import mteb

    return fingerprints.of_values(
      self.kind, self.name, self.path, mteb.__version__, self.metrics
    )

  def run(self, system: System) -> Outcome:
    """Runs the task with mteb; see `Task`."""
    import mteb

    from nomic_jax.evaluation.mteb_model import MtebModel

    # Many tasks have later versions; the paper used these.
    logging.getLogger("mteb").setLevel(logging.ERROR)
    with warnings.catch_warnings():
      warnings.filterwarnings("ignore", ".* is superseded by ")
      try:
        # mteb changes a task that it runs, so pass a copy.
        result = mteb.evaluate(
          MtebModel(cast(Dense, system)),
          copy.deepcopy(self.task),
          cache=None,
          show_progress_bar=False,
          encode_kwargs={"show_progress_bar": False},
        ).task_results[0]
      except (ValueError, KeyError, OSError) as e:
        reason = " ".join(str(e).split())[:200]
        raise UserError(
          f"{self.name}: mteb cannot use the data in {self.path} ({reason}); "
          "copy the repository again, in the revision that mteb names"
        ) from e
    values = [
      scores[self.metrics[0]]
      for parts in result.scores.values()
      for scores in parts
    ]
    return Outcome(np.array([[np.mean(values)]]))

  def scores(self, items: np.ndarray) -> dict[str, float]:
    """Returns the mean over mteb's subsets; see `Task`."""
    return {self.metrics[0]: float(items.mean())}


def find(
  names: Sequence[str], data: pathlib.Path | None = None
) -> list[MtebTask]:
  """Makes tasks of SETS.

  Raises:
    UserError: if data is missing, after printing what is missing and where it
      was searched for.
  """
  import mteb

  tasks, missing = [], []
  for name in names:
    kind = next(k for k, known in SETS.items() if name in known)
    task = mteb.get_task(
      name,
      eval_splits=[_SPLITS.get(name, "test")],
      hf_subsets=[_SUBSETS[name]] if name in _SUBSETS else None,
    )
    sources = [locate(part, data) for part in getattr(task, "tasks", [task])]
    missing += [(name, source) for source in sources if not source.found]
    tasks.append(
      MtebTask(
        name, task, ", ".join(s.path for s in sources), f"{SUITE}/{kind}"
      )
    )
  if missing and not _hub_answers():
    folders = f"{data or 'no --data=FOLDER'} and {_cache()}"
    print(f"missing, in {folders}:")
    for name, source in missing:
      print(f"  {name}: {source.path}")
    raise UserError(
      f"{len(missing)} data sets of {SUITE} are missing (listed above) in "
      f"{folders}, and the Hub does not answer; with a connection, run 'hf "
      "download --repo-type=dataset REPOSITORY --local-dir=FOLDER/NAME' for "
      "each, then specify --data=FOLDER"
    )
  return tasks


@dataclasses.dataclass(frozen=True)
class Source:
  """Where the data of a task is: a folder or a Hub repository."""

  path: str
  found: bool


def locate(task: Any, data: pathlib.Path | None) -> Source:
  """Finds the data of an mteb task; makes the task read a local copy."""
  repository = task.metadata.dataset["path"]
  for name in (task.metadata.name, repository.rpartition("/")[2]):
    if data and (data / name).is_dir():
      folder = str((data / name).resolve())
      task.metadata = task.metadata.model_copy(
        update={"dataset": task.metadata.dataset | {"path": folder}}
      )
      return Source(folder, True)
  cached = _cache() / f"datasets--{repository.replace('/', '--')}" / "snapshots"
  return Source(repository, cached.is_dir() and any(cached.iterdir()))


def named() -> dict[str, Any]:
  """Returns the suite, its parts and all data sets, for `tasks.NAMED`."""
  groups = {SUITE: [name for names in SETS.values() for name in names]}
  groups |= {f"{SUITE}/{kind}": names for kind, names in SETS.items()}
  groups |= {name: [name] for name in groups[SUITE]}
  return {
    name: functools.partial(find, names) for name, names in groups.items()
  }


def averages(scores: dict[str, float]) -> dict[str, tuple[float, int]]:
  """Returns the mean score of each complete part of SUITE, and of all.

  Args:
    scores: main scores by name of the data set; others are ignored.

  Returns:
    (mean, number of data sets) by name of the part.
  """
  means = {}
  for kind, names in SETS.items():
    if all(name in scores for name in names):
      means[f"{SUITE}/{kind}"] = (
        float(np.mean([scores[name] for name in names])),
        len(names),
      )
  if len(means) == len(SETS):
    every = [scores[n] for names in SETS.values() for n in names]
    means[SUITE] = float(np.mean(every)), len(every)
  return means


def _cache() -> pathlib.Path:
  from huggingface_hub import constants

  return pathlib.Path(constants.HF_HUB_CACHE)


@functools.cache
def _hub_answers() -> bool:
  """Returns whether the Hub answers; asks once."""
  import huggingface_hub

  if os.environ.get("HF_HUB_OFFLINE", "") in ("1", "true", "True"):
    return False
  try:
    huggingface_hub.HfApi().dataset_info("mteb/stsbenchmark-sts", timeout=5)
  except Exception:  # no network, a timeout, a proxy's page
    return False
  return True
