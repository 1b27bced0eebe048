# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Restarts of a job, limited by its progress.

A launch script restarts a job that was preempted or has crashed, as often as
necessary. A job that always fails at the same point would run forever at the
price of a pod. Therefore each start by a launch script is counted next to the
job's output. If the last `_MOST` starts made no progress, the job ends with
status 2, after which no launch script restarts it.
"""

import json
import os

from jax.experimental import multihost_utils
import numpy as np

from nomic_jax.errors import UserError
from nomic_jax.mesh import processes
from nomic_jax.storage import files
from nomic_jax.storage.values import Place

_MOST = 5  # starts with the same progress


def count(folder: Place, progress: int) -> None:
  """Counts a start in `folder`/restarts.json; all processes call it.

  Nothing is counted unless NOMIC_JAX_LAUNCH is set. It identifies the launch: a
  new launch by a person, who may have fixed something, counts from one again.

  Args:
    folder: the job's output folder, which must exist.
    progress: number of saved steps or finished pieces. Any change is progress.

  Raises:
    UserError: in every process, if there were too many starts.
  """
  launch = os.environ.get("NOMIC_JAX_LAUNCH", "")
  if not launch:
    return
  path = folder / "restarts.json"
  starts = 0
  if processes.is_first():
    before = _read(path)
    same = (before.get("launch"), before.get("progress")) == (launch, progress)
    starts = before.get("starts", 0) + 1 if same else 1
    with files.replacing(path) as temporary:
      temporary.write_text(
        json.dumps({"launch": launch, "progress": progress, "starts": starts})
        + "\n"
      )
  starts = int(multihost_utils.broadcast_one_to_all(np.int32(starts)))
  if starts > _MOST:
    raise UserError(
      f"{folder}: started {_MOST} times at {progress} without making progress "
      "(a training run counts saved steps); the log shows how each start "
      "ended. Fix the cause and launch the job again"
    )


def _read(path: Place) -> dict:
  try:
    values = json.loads(path.read_text(encoding="utf-8"))
  except (FileNotFoundError, ValueError):  # the first start, or a torn write
    return {}
  return values if isinstance(values, dict) else {}
