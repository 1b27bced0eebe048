# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The table of tasks: what --tasks may name, and what a folder is.

A task that needs no folder is a line of NAMED: its name and a function that
makes it, or several of a group. A kind of folder is a line of FOLDERS.
"""

import pathlib
from typing import Callable, NamedTuple, Sequence

from nomic_jax.errors import nearest
from nomic_jax.errors import UserError
from nomic_jax.evaluation import retrieval
from nomic_jax.evaluation.task import Task

# Name to a function that returns its tasks.
NAMED: dict[str, Callable[[], Sequence[Task]]] = {}


class Folder(NamedTuple):
  """A kind of folder.

  Attributes:
    holds: what is in one, in words, to tell it apart from the others.
    known: whether a folder looks like one.
    read: makes its task, of a folder and a name.
  """

  holds: str
  known: Callable[[pathlib.Path], bool]
  read: Callable[[pathlib.Path, str], Task]


def _is_data_directory(path: pathlib.Path) -> bool:
  return (path / "dataset_info.json").is_file()


FOLDERS = {
    "retrieval": Folder(
        "a data directory that nomic-jax prepare made", _is_data_directory,
        retrieval.read_task),
}


def find(specs: Sequence[str]) -> list[Task]:
  """Makes the tasks that --tasks names.

  Args:
    specs: each the name of a task or of a group, or a folder as "PATH"
      (named by its last part) or "NAME=PATH".

  Raises:
    UserError: for a name that is unknown or stands for two tasks, a missing
      folder, or one of no known kind.
  """
  tasks: dict[str, Task] = {}
  for spec in filter(None, specs):
    if spec in NAMED and not pathlib.Path(spec).exists():
      found = NAMED[spec]()
    else:
      found = [_folder(spec)]
    for task in found:
      if task.name in tasks:
        raise UserError(
            f"--tasks={spec}: the name '{task.name}' is taken; give another "
            "as NAME=PATH"
        )
      tasks[task.name] = task
  return list(tasks.values())


def _folder(spec: str) -> Task:
  name, equals, place = spec.partition("=")
  if not equals or "/" in name or pathlib.Path(spec).exists():
    name, place = pathlib.Path(spec).resolve().name, spec
  path = pathlib.Path(place)
  if not place or not path.exists():
    raise UserError(
        f"--tasks={spec}: no such folder, and no task of that name; expected "
        f"PATH, NAME=PATH or one of {', '.join(NAMED) or 'none'}."
        f"{nearest(spec, NAMED)}"
    )
  for kind in FOLDERS.values():
    if kind.known(path):
      return kind.read(path, name)
  raise UserError(
      f"--tasks={spec}: a folder of no known kind; expected "
      f"{' or '.join(k.holds for k in FOLDERS.values())}"
  )
