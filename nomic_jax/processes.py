# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Several processes as one training: joining, agreeing, being stopped.

Every host of a pod runs the same command; jax.distributed makes them one. A
machine that is to be taken away is told so by SIGTERM, often 30 seconds ahead:
the training then saves and ends with the status RESUME, which says to whatever
started it that the same command will go on.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import pathlib
import signal
from typing import Any, Iterator, Sequence, TypeVar

import jax
from jax.experimental import multihost_utils
import numpy as np

from nomic_jax.errors import Stopped
from nomic_jax.errors import UserError

Item = TypeVar("Item")

_HEARTBEAT_SECONDS = 30  # a silent process is taken for dead after this
_START_SECONDS = 300  # hosts of a pod do not start at the same moment


@contextlib.contextmanager
def joined(distributed: bool) -> Iterator[None]:
  """Runs the body as one of the processes that form a job.

  Args:
    distributed: join the others. Slurm, GKE and TPU pods tell JAX who they
      are; elsewhere JAX_COORDINATOR_ADDRESS (host:port of process 0),
      JAX_NUM_PROCESSES and JAX_PROCESS_ID do, as launch/local.sh sets them.

  Raises:
    UserError: if the others are not found.
    Stopped: if one of them is lost on the way.
  """
  if not distributed:
    yield
    return
  told = {
      name: int(os.environ[f"JAX_{name.upper()}"])
      for name in ("num_processes", "process_id")
      if f"JAX_{name.upper()}" in os.environ
  }
  try:
    jax.distributed.initialize(
        **told, heartbeat_timeout_seconds=_HEARTBEAT_SECONDS,
        initialization_timeout=_START_SECONDS, shutdown_timeout_seconds=15,
    )
  except (ValueError, RuntimeError) as e:
    raise UserError(
        f"--distributed: no other processes to join ({_line(e)}); start it on "
        "all of them with launch/local.sh, launch/slurm.sbatch, launch/gke.sh "
        "or launch/tpu_pod.sh, or leave the flag out"
    ) from e
  try:
    yield
  except jax.errors.JaxRuntimeError as e:
    if not _is_loss(str(e)):
      raise
    raise Stopped(
        f"process {jax.process_index()} of {jax.process_count()}: another "
        f"process is gone ({_line(e):.200}); its own log says why. Start all "
        "again with the same command to go on from the last checkpoint"
    ) from e


def _is_loss(message: str) -> bool:
  """Whether an error is what a collective says when its peer has died."""
  return any(word in message for word in (
      "Gloo", "gloo", "Connection closed by peer", "Connection reset by peer",
      "heartbeat", "coordination service", "NCCL",
  ))


def _line(e: Exception) -> str:
  return " ".join(str(e).split())


def is_first() -> bool:
  """Whether this process writes what only one must write."""
  return jax.process_index() == 0


def share(items: Sequence[Item]) -> Sequence[Item]:
  """This process's of `items`: every so many, so that all shares are even."""
  number, count = place()
  return items[number::count]


def place() -> tuple[int, int]:
  """This process's number, and how many there are."""
  return jax.process_index(), jax.process_count()


def meet(name: str) -> None:
  """Waits until every process is here; `name` says where."""
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(name)


def agree(settings: dict[str, Any]) -> None:
  """Refuses to start unless every process has the same settings and code.

  Args:
    settings: what must be equal, by name; JSON values.

  Raises:
    UserError: in every process, naming what differs and where.
  """
  if jax.process_count() == 1:
    return
  told = [json.loads(t) for t in _exchange(json.dumps(settings | _code()))]
  for number, other in enumerate(told):
    differing = [
        f"{k} is {told[0].get(k)!r} in process 0 and {other.get(k)!r} in "
        f"process {number}"
        for k in sorted(told[0].keys() | other.keys())
        if told[0].get(k) != other.get(k)
    ]
    if differing:
      more = len(differing) - 5
      shown = "; ".join(differing[:5]) + (f"; {more} more" if more > 0 else "")
      raise UserError(
          f"the processes do not agree: {shown}. Start all of them with the "
          "same command and the same code"
      )


def _code() -> dict[str, str]:
  """A hash for each source file of the package, and versions that matter."""
  root = pathlib.Path(__file__).parent
  versions = {
      name: importlib.metadata.version(name)
      for name in ("jax", "flax", "optax", "grain")
  }
  return versions | {
      f"nomic_jax/{path.relative_to(root)}":
          hashlib.blake2b(path.read_bytes(), digest_size=4).hexdigest()
      for path in sorted(root.rglob("*.py"))
  }


def _exchange(text: str) -> list[str]:
  """Every process's text, in order of processes."""
  mine = np.frombuffer(text.encode(), np.uint8)
  sizes = multihost_utils.process_allgather(np.int32(mine.size))
  padded = np.zeros(sizes.max(), np.uint8)
  padded[:mine.size] = mine
  rows = multihost_utils.process_allgather(padded)
  return [bytes(r[:n]).decode() for r, n in zip(rows, sizes)]


def all_true(mine: bool) -> bool:
  """Whether `mine` is true in every process; all must ask."""
  if jax.process_count() == 1:
    return mine
  return bool(multihost_utils.process_allgather(np.bool_(mine)).all())


class Preemption:
  """SIGTERM as a step after which every process saves and ends.

  Used as a context manager around the loop. With several processes JAX's
  preemption service hears the signal and agrees on the step.
  """

  def __init__(self):
    self._told = False

  def __enter__(self) -> "Preemption":
    if jax.process_count() == 1:
      self._before = signal.signal(signal.SIGTERM, self._hear)
    return self

  def _hear(self, number: int, frame: Any) -> None:
    self._told = True

  def __exit__(self, *error) -> None:
    if jax.process_count() == 1:
      signal.signal(signal.SIGTERM, self._before)

  def reached(self, step: int) -> bool:
    """Whether to stop after `step`; to be asked after each one."""
    if jax.process_count() == 1:
      return self._told
    return multihost_utils.reached_preemption_sync_point(step)
