# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The table of tasks: the names that --tasks accepts, and kinds of folder.

A task with a name is a line in NAMED: the name of the task or group, and a
function that makes it. A kind of folder is a line in FOLDERS.
"""

from collections.abc import Callable
from collections.abc import Sequence
import pathlib
from typing import NamedTuple

from nomic_jax.data import dataset
from nomic_jax.data import kinds
from nomic_jax.errors import nearest
from nomic_jax.errors import UserError
from nomic_jax.evaluation import beir
from nomic_jax.evaluation import classification
from nomic_jax.evaluation import clustering
from nomic_jax.evaluation import long_context
from nomic_jax.evaluation import mteb_tasks
from nomic_jax.evaluation import nanobeir
from nomic_jax.evaluation import pairs
from nomic_jax.evaluation import reranking
from nomic_jax.evaluation import retrieval
from nomic_jax.evaluation import table
from nomic_jax.evaluation.task import Task
from nomic_jax.storage import buckets
from nomic_jax.storage import places
from nomic_jax.storage import rows
from nomic_jax.storage import staging

# Functions that make tasks, by name. Each gets the folder --data, which may
# contain their data, or None.
NAMED: dict[str, Callable[[pathlib.Path | None], Sequence[Task]]] = {
  **mteb_tasks.named(),
  **long_context.named(),
  **nanobeir.named(),
}


class Folder(NamedTuple):
  """A kind of folder.

  Attributes:
    holds: a description of its content.
    known: returns whether a folder is of this kind.
    read: makes its task from a folder and a name.
  """

  holds: str
  known: Callable[[pathlib.Path], bool]
  read: Callable[[pathlib.Path, str], Task]


def _with(*columns: str, train: bool = False) -> Callable[[pathlib.Path], bool]:
  """Returns a test for folders whose test file has these columns.

  Args:
    *columns: required columns.
    train: whether a train file is required too.
  """

  def known(path: pathlib.Path) -> bool:
    if train and rows.file(path, "train") is None:
      return False
    return set(columns) <= set(rows.columns(rows.file(path, "test")))

  return known


def _of_data(path: pathlib.Path, name: str) -> Task:
  """Makes the task of a data directory's held-out rows, by their kind."""
  kind = kinds.of(path)
  if kind.name == "text":
    raise UserError(
      f"{path}: its rows are texts without queries, so there is nothing to "
      "score; prepare pairs, scores or labels, or make queries from the texts "
      "with prepare --queries"
    )
  if kind.name == "scores":
    return pairs.read_data(path, name)
  if kind.name == "labels":
    return classification.read_data(path, name, kind.classes)
  return retrieval.read_task(path, name)


# By kind; the first that recognises a folder reads it. "test" is test.jsonl,
# .csv, .tsv or .parquet, with the columns of MTEB's data sets.
FOLDERS = {
  "data": Folder(
    "a data directory of nomic-jax prepare",
    lambda path: (path / "dataset_info.json").is_file(),
    _of_data,
  ),
  "retrieval": Folder(
    "a BEIR folder (corpus, queries, qrels)", beir.known, beir.read
  ),
  "sts": Folder(
    "test with sentence1, sentence2, score",
    _with("sentence1", "sentence2", "score"),
    pairs.read_sts,
  ),
  "pairs": Folder(
    "test with sentence1, sentence2, label",
    _with("sentence1", "sentence2", "label"),
    pairs.read_pairs,
  ),
  "reranking": Folder(
    "test with query, positive, negative",
    _with("query", "positive", "negative"),
    reranking.read,
  ),
  "classification": Folder(
    "train and test with text, label",
    _with("text", "label", train=True),
    classification.read,
  ),
  "clustering": Folder(
    "test with text, label or sentences, labels",
    lambda path: (
      _with("text", "label")(path) or _with("sentences", "labels")(path)
    ),
    clustering.read,
  ),
}


@places.expanding("specs", "data")
def find(specs: Sequence[str], data: pathlib.Path | None = None) -> list[Task]:
  """Makes the tasks that --tasks names.

  Args:
    specs: each the name of a task or group, or a folder as "PATH" (named by its
      last part), "NAME=PATH" or "KIND:PATH", where KIND, one of FOLDERS, is
      given rather than recognised.
    data: a folder that may contain the data of tasks with names.

  Raises:
    UserError: for a name that is unknown or used twice, a missing folder, or
      one of an unknown kind.
  """
  tasks: dict[str, Task] = {}
  for spec in filter(None, specs):
    if spec in NAMED and not pathlib.Path(spec).exists():
      made = NAMED[spec](data)
    else:
      made = [_folder(spec)]
    for task in made:
      if task.name in tasks:
        path = spec.removeprefix(f"{task.name}=")
        raise UserError(
          f"--tasks={spec}: the name '{task.name}' is taken; choose another, "
          f"as in --tasks=NAME={path}"
        )
      tasks[task.name] = task
  return list(tasks.values())


def _groups() -> list[str]:
  """Returns names for error messages: groups, not all data sets of MTEB."""
  sets = {n for names in mteb_tasks.SETS.values() for n in names}
  return [f"{mteb_tasks.SUITE}, its parts such as .../STS, its data sets"] + [
    n
    for n in NAMED
    if n not in sets and mteb_tasks.SUITE not in n and "/" not in n
  ]


def _folder(spec: str) -> Task:
  name, equals, location = spec.partition("=")
  if not equals or "/" in name or pathlib.Path(spec).exists():
    name, location = "", spec
  kind, colon, rest = location.partition(":")
  if colon and kind in FOLDERS:
    location = rest
  if buckets.is_remote(location):
    name = name or location.rstrip("/").rpartition("/")[2]
    location = staging.local(location, dataset.is_held_out)
  path = pathlib.Path(location)
  if not location or not path.exists():
    raise UserError(
      f"--tasks={spec}: no such folder, and no task with that name; expected "
      f"PATH, NAME=PATH, KIND:PATH or one of {', '.join(_groups())}."
      f"{nearest(spec, NAMED)}"
    )
  name = name or path.resolve().name
  if colon and kind in FOLDERS:
    return FOLDERS[kind].read(path, name)
  for folder in FOLDERS.values():
    if folder.known(path):
      return folder.read(path, name)
  if table.known(path):
    own = name if name != path.name else name.partition(".")[0]
    return table.read(path, own)
  columns = rows.columns(rows.file(path, "test"))
  content = (
    f"has a test file with {', '.join(columns)}"
    if columns
    else ("has no test file with rows")
  )
  raise UserError(
    f"--tasks={spec}: {content}; expected "
    f"{' or '.join(f'{n}: {f.holds}' for n, f in FOLDERS.items())}"
  )
