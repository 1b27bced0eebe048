# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Long texts: LoCo, LoCoV1, Jina's four data sets, and needle, up to N tokens.

A group is called SUITE@N, such as loco@8192, and its tasks SUITE@N/NAME. A
model reads texts longer than it was trained on by dynamic NTK with a factor of
2, as in the paper's tables (Nomic Embed, section 5.3). The folder --data must
contain the data as published:

  loco    NAME/validation.jsonl of SCROLLS (gov_report, qmsum,
          summ_screen_fd), and qasper/qasper-test-v0.3.json
  locov1  LoCoV1-Queries/ and LoCoV1-Documents/, the Hub repositories
  jina    NarrativeQARetrieval and SciFact, BEIR folders; BigPatentClustering
          and WikiCitiesClustering, folders with a test file
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import dataclasses
import functools
import pathlib

import numpy as np

from nomic_jax.errors import UserError
from nomic_jax.evaluation import beir
from nomic_jax.evaluation import clustering
from nomic_jax.evaluation import judged
from nomic_jax.evaluation import needle
from nomic_jax.evaluation import systems
from nomic_jax.evaluation.retrieval import relevance
from nomic_jax.evaluation.retrieval import RetrievalTask
from nomic_jax.evaluation.systems import System
from nomic_jax.evaluation.task import Outcome
from nomic_jax.evaluation.task import Task
from nomic_jax.storage import files
from nomic_jax.storage import fingerprints
from nomic_jax.storage import formats
from nomic_jax.storage import rows
from nomic_jax.storage.values import JsonObject

SCROLLS = ("summ_screen_fd", "gov_report", "qmsum")
LOCO_V1 = (
  *SCROLLS,
  "qasper_title",
  "qasper_abstract",
  "multifieldqa",
  "2wikimqa",
  "passage_retrieval",
  "legal_case_reports",
  "courtlistener_HTML",
  "courtlistener_Plain_Text",
  "stackoverflow",
)
_QASPER = pathlib.Path("qasper", "qasper-test-v0.3.json")


@dataclasses.dataclass(frozen=True)
class AtLength(Task):
  """A task in which systems read `tokens` tokens of each text."""

  task: Task
  tokens: int
  name: str
  group: str

  @property
  def kind(self) -> str:
    """The kind of the task."""
    return self.task.kind

  @property
  def metrics(self) -> tuple[str, ...]:
    """The metrics of the task."""
    return self.task.metrics

  @property
  def lexical(self) -> bool:
    """Whether BM25 can run the task."""
    return self.task.lexical

  @property
  def path(self) -> str:
    """The path of the task's data."""
    return self.task.path

  @property
  def size(self) -> str:
    """The size of the task, with the length."""
    return f"{self.task.size}, up to {self.tokens:,} tokens"

  def fingerprint(self) -> str:
    """Returns a hash of the task and the length."""
    return fingerprints.of_values(self.task.fingerprint(), self.tokens)

  def run(self, system: System) -> Outcome:
    """Runs the task with texts truncated to the length."""
    if isinstance(system, systems.Dense | systems.Hybrid):
      # BM25 reads whole texts.
      system = system.reading(self.tokens)
    return self.task.run(system)

  def scores(self, items: np.ndarray) -> dict[str, float]:
    """Returns the metrics of items; see `Task`."""
    return self.task.scores(items)


def _scrolls(name: str, data: pathlib.Path) -> Task:
  """Makes a task in which a summary or question retrieves its text."""
  _, examples = rows.read(
    data / name, "validation", {"input": rows.TEXT, "output": rows.TEXT}
  )
  return _pairs(
    name, data / name, [(r["output"], r["input"]) for r in examples]
  )


def _qasper(part: str, data: pathlib.Path) -> Task:
  """Makes a task in which a paper's title or abstract retrieves its text."""
  path = data / _QASPER
  try:
    papers = files.read_json(path)
    pairs = [
      (
        paper[part],
        "\n".join(
          line
          for section in paper["full_text"]
          for line in (section["section_name"] or "", *section["paragraphs"])
        ),
      )
      for paper in papers.values()
    ]
  except (ValueError, TypeError, KeyError, AttributeError) as e:
    raise UserError(
      f"{path}: not QASPER's papers by id, each with title, abstract and "
      f"full_text ({type(e).__name__}: {e}); copy it again"
    ) from e
  return _pairs(f"qasper_{part}", path, pairs)


def _pairs(
  name: str, path: pathlib.Path, pairs: Sequence[tuple[str, str]]
) -> RetrievalTask:
  pairs = [pair for pair in pairs if all(pair)]
  if not pairs:
    raise UserError(f"{path}: no texts, so nothing to search")
  queries, documents = zip(*pairs)
  return RetrievalTask(
    name,
    queries,
    documents,
    [""] * len(documents),
    relevance(queries, documents),
    path=str(path),
  )


def _loco_v1(name: str, data: pathlib.Path) -> Task:
  """Makes a task whose queries name the passages that answer them.

  A query that is itself a passage does not retrieve itself.
  """
  parts = data / "LoCoV1-Documents", data / "LoCoV1-Queries"
  documents = judged.unique(
    (
      (n, r["pid"], (r["passage"],) * 2)
      for n, r in _of_dataset(parts[0], name, "pid", "passage")
    ),
    f"{parts[0]}, {name}",
    "pid",
  )
  queries_by_id = judged.unique(
    (
      (n, r["qid"], (r["query"], r["answer_pids"]))
      for n, r in _of_dataset(parts[1], name, "qid", "query", "answer_pids")
    ),
    f"{parts[1]}, {name}",
    "qid",
  )
  if not queries_by_id or not documents:
    raise UserError(
      f"{data}/LoCoV1-Queries and LoCoV1-Documents: no rows of {name}; copy "
      "both again"
    )
  pairs = {
    (qid, pid): 1
    for qid, (_, answers) in queries_by_id.items()
    for pid in ([answers] if isinstance(answers, str) else answers)
  }
  # A passage with a query's id is that query.
  queries = {
    qid: (query, documents[qid][1] if qid in documents else "")
    for qid, (query, _) in queries_by_id.items()
  }
  return judged.task(
    name, documents, queries, pairs, f"{parts[1]}, {name}", path=str(data)
  )


def _of_dataset(
  folder: pathlib.Path, name: str, *columns: str
) -> Iterator[tuple[int, JsonObject]]:
  """Yields (number, row) of one data set of a LoCoV1 repository."""
  files = sorted(
    p for p in folder.rglob("[!.]*") if p.suffix in (".parquet", ".jsonl")
  )
  for path in files:
    for number, row in formats.each(path):
      if row.get("dataset") != name:
        continue
      missing = [c for c in columns if not row.get(c)]
      if missing:
        raise UserError(
          f"{path}, row {number}: no '{missing[0]}'; expected the columns "
          f"dataset, {', '.join(columns)}; copy it again"
        )
      yield number, row


# By suite and name: a function that makes the task, and the paths it needs.
_Made = tuple[Callable[[pathlib.Path], Task], Sequence[pathlib.Path]]
_V1 = [pathlib.Path(f"LoCoV1-{kind}") for kind in ("Queries", "Documents")]
SUITES: dict[str, dict[str, _Made]] = {
  "loco": {
    **{
      name: (functools.partial(_scrolls, name), [pathlib.Path(name)])
      for name in SCROLLS
    },
    **{
      f"qasper_{part}": (functools.partial(_qasper, part), [_QASPER])
      for part in ("title", "abstract")
    },
  },
  "locov1": {
    name: (functools.partial(_loco_v1, name), _V1) for name in LOCO_V1
  },
  "jina": {
    name: (
      lambda data, name=name, read=read: read(data / name, name),
      [pathlib.Path(name)],
    )
    for name, read in (
      ("NarrativeQARetrieval", beir.read),
      ("WikiCitiesClustering", clustering.read),
      ("SciFact", beir.read),
      ("BigPatentClustering", clustering.read),
    )
  },
}
LENGTHS = {
  "loco": (2048, 4096, 8192),
  "locov1": (2048, 4096, 8192),
  "jina": (128, 512, 8191),
}


def find(
  suite: str, tokens: int, name: str, data: pathlib.Path | None
) -> list[AtLength]:
  """Makes the tasks of a suite, or only the one called `name`.

  Raises:
    UserError: naming all missing data, and where it was searched for.
  """
  group, chosen = f"{suite}@{tokens}", SUITES[suite]
  if name:
    chosen = {name: chosen[name]}
  needed = dict.fromkeys(p for _, paths in chosen.values() for p in paths)
  missing = [str(p) for p in needed if not data or not (data / p).exists()]
  if missing:
    where = f"--data={data}" if data else "no folder; specify --data"
    raise UserError(
      f"--tasks={group}: {', '.join(missing)} not found in {where}; see "
      "nomic_jax/evaluation/long_context.py for what each is"
    )
  assert data, "otherwise something is missing"
  return [
    AtLength(make(data), tokens, f"{group}/{name}", group)
    for name, (make, _) in chosen.items()
  ]


def named() -> dict[str, Callable[[pathlib.Path | None], Sequence[Task]]]:
  """Returns every suite and task by name, for `tasks.NAMED`."""
  makers: dict[str, Callable] = {}
  for suite, lengths in LENGTHS.items():
    for tokens in lengths:
      for name in ("", *SUITES[suite]):
        full = f"{suite}@{tokens}" + (f"/{name}" if name else "")
        makers[full] = functools.partial(find, suite, tokens, name)
  for tokens in (512, 2048, 4096, 8192):
    makers[f"needle@{tokens}"] = functools.partial(_needle, tokens)
  return makers


def _needle(tokens: int, data: pathlib.Path | None) -> list[AtLength]:
  del data
  return [AtLength(needle.read(), tokens, f"needle@{tokens}", "")]
