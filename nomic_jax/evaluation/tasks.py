# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The table of tasks: what --tasks may name, and what a folder is.

A task that is known by name is a line of NAMED: its name, or that of a group,
and a function that makes it. A kind of folder is a line of FOLDERS.
"""

from collections.abc import Callable
from collections.abc import Sequence
import pathlib
from typing import NamedTuple

from nomic_jax.data import dataset
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
from nomic_jax.evaluation.task import Task
from nomic_jax.storage import buckets
from nomic_jax.storage import places
from nomic_jax.storage import rows
from nomic_jax.storage import staging

# By name, a function that makes the tasks; it is given the folder of --data,
# where their data may lie, or None.
NAMED: dict[str, Callable[[pathlib.Path | None], Sequence[Task]]] = {
  **mteb_tasks.named(),
  **long_context.named(),
  **nanobeir.named(),
}


class Folder(NamedTuple):
  """A kind of folder.

  Attributes:
    holds: what is in one, in words.
    known: whether a folder looks like one.
    read: makes its task, of a folder and a name.
  """

  holds: str
  known: Callable[[pathlib.Path], bool]
  read: Callable[[pathlib.Path, str], Task]


def _with(*columns: str, train: bool = False) -> Callable[[pathlib.Path], bool]:
  """Whether a folder's test file has some columns, and there is a train file
  if there is to be one.
  """

  def known(path: pathlib.Path) -> bool:
    if train and rows.file(path, "train") is None:
      return False
    return set(columns) <= set(rows.columns(rows.file(path, "test")))

  return known


# By kind; the first that knows a folder reads it. "test" is test.jsonl, .csv,
# .tsv or .parquet, with the columns of the data sets of MTEB.
FOLDERS = {
  "data": Folder(
    "a data directory of nomic-jax prepare",
    lambda path: (path / "dataset_info.json").is_file(),
    retrieval.read_task,
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
    specs: each the name of a task or of a group, or a folder as "PATH"
      (named by its last part), "NAME=PATH" or "KIND:PATH", where the kind, of
      FOLDERS, is told rather than recognised.
    data: folder where the data of tasks known by name may lie.

  Raises:
    UserError: for a name that is unknown or stands for two tasks, a missing
      folder, or one of no known kind.
  """
  tasks: dict[str, Task] = {}
  for spec in filter(None, specs):
    if spec in NAMED and not pathlib.Path(spec).exists():
      found = NAMED[spec](data)
    else:
      found = [_folder(spec)]
    for task in found:
      if task.name in tasks:
        path = spec.removeprefix(f"{task.name}=")
        raise UserError(
          f"--tasks={spec}: the name '{task.name}' is taken; choose another, "
          f"as in --tasks=NAME={path}"
        )
      tasks[task.name] = task
  return list(tasks.values())


def _groups() -> list[str]:
  """The names worth telling: of groups, not of each data set of MTEB."""
  sets = {n for names in mteb_tasks.SETS.values() for n in names}
  return [f"{mteb_tasks.SUITE}, .../STS and its other parts, its data sets"] + [
    n
    for n in NAMED
    if n not in sets and mteb_tasks.SUITE not in n and "/" not in n
  ]


def _folder(spec: str) -> Task:
  name, equals, place = spec.partition("=")
  if not equals or "/" in name or pathlib.Path(spec).exists():
    name, place = "", spec
  kind, colon, rest = place.partition(":")
  if colon and kind in FOLDERS:
    place = rest
  if buckets.is_remote(place):
    name = name or place.rstrip("/").rpartition("/")[2]
    place = staging.local(place, dataset.is_held_out)
  path = pathlib.Path(place)
  if not place or not path.exists():
    raise UserError(
      f"--tasks={spec}: no such folder, and no task of that name; expected "
      f"PATH, NAME=PATH, KIND:PATH or one of {', '.join(_groups())}."
      f"{nearest(spec, NAMED)}"
    )
  name = name or path.resolve().name
  if colon and kind in FOLDERS:
    return FOLDERS[kind].read(path, name)
  for folder in FOLDERS.values():
    if folder.known(path):
      return folder.read(path, name)
  columns = rows.columns(rows.file(path, "test"))
  found = (
    f"has a test file with {', '.join(columns)}"
    if columns
    else ("has no test file with rows")
  )
  raise UserError(
    f"--tasks={spec}: {found}; expected "
    f"{' or '.join(f'{n}: {f.holds}' for n, f in FOLDERS.items())}"
  )
