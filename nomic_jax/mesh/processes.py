# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Several processes as one job: joining, synchronizing, stopping.

Every host of a pod runs the same command; jax.distributed makes them one job.
The exit status of a process tells its launcher what to do. launch/restart.sh
acts on these statuses, and launch/README.md lists them:

  0          Finished.
  2          A mistake that a restart cannot fix: do not restart.
  75         Stopped before the end (`Stopped`), for instance by SIGTERM with
             a checkpoint saved: restart.
  134        JAX aborts a process whose peers are lost: restart.
  137, 139   Killed, or crashed in native code: restart.
  143        SIGTERM with nothing to save: restart.
  1          An unexpected exception, on accelerators perhaps a hardware fault:
             restart.

Restarts are limited by progress rather than by number: see `restarts`.
"""

import atexit
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import ctypes
import hashlib
import importlib.metadata
import json
import os
import pathlib
import signal
import sys
import threading
from typing import Any
from typing import TypeVar

import jax
from jax.experimental import multihost_utils
import numpy as np

from nomic_jax import errors
from nomic_jax.errors import Stopped
from nomic_jax.errors import UserError
from nomic_jax.storage.values import JsonObject

Item = TypeVar("Item")

# Hosts of a pod do not start at the same time: images are pulled, nodes are
# repaired.
_START_SECONDS = 900
_HEARTBEAT_SECONDS = 100  # a process silent for this long counts as lost
# Process 0 may still write to a bucket after the others have finished.
_END_SECONDS = 300


@contextlib.contextmanager
def joined(distributed: bool, saves: bool = False) -> Iterator[None]:
  """Runs the body as one of the processes of a job.

  A body that finishes or is preempted leaves together with the others. One
  that fails leaves at once with its own status, because the others wait for it
  in a collective and cannot take part in an orderly shutdown.

  Args:
    distributed: whether to join other processes. Slurm, GKE and TPU pods
      provide JAX with the details; elsewhere set JAX_COORDINATOR_ADDRESS
      (host:port of process 0), JAX_NUM_PROCESSES and JAX_PROCESS_ID, as
      launch/local.sh does.
    saves: whether the body uses `Preemption`. Otherwise SIGTERM ends the
      process, as it does without --distributed.

  Raises:
    UserError: if the other processes are not found.
    Stopped: if one of them is lost during the job.
  """
  if not distributed:
    yield
    return
  jax.config.update("jax_enable_preemption_service", saves)
  given: dict[str, Any] = {
    name: int(os.environ[f"JAX_{name.upper()}"])
    for name in ("num_processes", "process_id")
    if f"JAX_{name.upper()}" in os.environ
  }
  # JAX ends with a C++ stack trace when its own timeout expires; ours is
  # shorter and prints one line.
  late = threading.Timer(_START_SECONDS, _time_out)
  late.daemon = True
  late.start()
  try:
    jax.distributed.initialize(
      **given,
      heartbeat_timeout_seconds=_HEARTBEAT_SECONDS,
      initialization_timeout=2 * _START_SECONDS,
      shutdown_timeout_seconds=_END_SECONDS,
    )
  except (ValueError, RuntimeError) as e:
    raise UserError(
      f"--distributed: no other processes to join ({_line(e)}); start the job "
      "on all hosts with launch/local.sh, launch/slurm.sbatch, launch/gke.sh "
      "or launch/tpu_pod.sh, or omit the flag"
    ) from e
  finally:
    late.cancel()
  try:
    yield
    jax.distributed.shutdown()
  except Preempted:
    jax.distributed.shutdown()
    raise
  # JAX raises either type for a collective that a lost peer breaks.
  except (jax.errors.JaxRuntimeError, ValueError) as e:
    if not _is_loss(str(e)):
      atexit.register(_leave, errors.status(e))
      raise
    lost = Stopped(
      f"process {jax.process_index()} of {jax.process_count()}: another "
      f"process was lost ({_line(e):.200}); see its own log. Run the same "
      "command on all hosts to resume from the last checkpoint"
    )
    atexit.register(_leave, errors.status(lost))
    raise lost from e
  except BaseException as e:
    atexit.register(_leave, errors.status(e))
    raise


def _time_out() -> None:
  print(
    f"nomic-jax: stopped: not all processes joined within {_START_SECONDS} "
    "seconds; check in the log of each host whether it started, and run the "
    "same command on all of them again",
    file=sys.stderr,
    flush=True,
  )
  os._exit(errors.RESUME)


def _leave(status: int) -> None:
  """Exits without JAX's barrier, which would turn `status` into an abort."""
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(status)


def _is_loss(message: str) -> bool:
  """Returns whether a collective reports the loss of a peer."""
  return any(
    word in message
    for word in (
      "Gloo",
      "gloo",
      "Connection closed by peer",
      "Connection reset by peer",
      "heartbeat",
      "coordination service",
      "NCCL",
    )
  )


def _line(e: Exception) -> str:
  return " ".join(str(e).split())


def is_first() -> bool:
  """Returns whether this process writes what only one process may write."""
  return jax.process_index() == 0


def share(items: Sequence[Item]) -> Sequence[Item]:
  """Returns this process's share of `items`, one in every process_count."""
  number, count = index_and_count()
  return items[number::count]


def index_and_count() -> tuple[int, int]:
  """Returns this process's index and the number of processes."""
  return jax.process_index(), jax.process_count()


def barrier(name: str) -> None:
  """Waits until every process reaches the barrier called `name`."""
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(name)


def agree(settings: JsonObject) -> None:
  """Refuses to start unless every process has the same settings and code.

  Args:
    settings: values that must be equal, by name; JSON values.

  Raises:
    UserError: in every process, naming the difference.
  """
  if jax.process_count() == 1:
    return
  reported = [json.loads(t) for t in _exchange(json.dumps(settings | _code()))]
  for number, other in enumerate(reported):
    differing = [
      f"{k} is {reported[0].get(k)!r} in process 0 and {other.get(k)!r} in "
      f"process {number}"
      for k in sorted(reported[0].keys() | other.keys())
      if reported[0].get(k) != other.get(k)
    ]
    if differing:
      more = len(differing) - 5
      shown = "; ".join(differing[:5]) + (f"; {more} more" if more > 0 else "")
      raise UserError(
        f"the processes do not agree: {shown}. Start all of them with the "
        "same command and the same code"
      )


def _code() -> dict[str, str]:
  """Returns a hash of each source file and the versions of dependencies."""
  root = pathlib.Path(__file__).parents[1]  # of the package
  versions = {}
  for name in (
    "jax",
    "jaxlib",
    "libtpu",
    "jax-cuda12-plugin",
    "flax",
    "optax",
    "grain",
    "orbax-checkpoint",
    "tensorstore",
    "numpy",
    "tokenizers",
  ):
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
      versions[name] = importlib.metadata.version(name)
  return versions | {
    f"nomic_jax/{path.relative_to(root)}": hashlib.blake2b(
      path.read_bytes(), digest_size=4
    ).hexdigest()
    for path in sorted(root.rglob("*.py"))
  }


def _exchange(text: str) -> list[str]:
  """Returns every process's text, in order of process index."""
  mine = np.frombuffer(text.encode(), np.uint8)
  sizes = multihost_utils.process_allgather(np.int32(mine.size))
  padded = np.zeros(sizes.max(), np.uint8)
  padded[: mine.size] = mine
  rows = multihost_utils.process_allgather(padded)
  return [bytes(r[:n]).decode() for r, n in zip(rows, sizes)]


def all_true(mine: bool) -> bool:
  """Returns whether `mine` is true in every process; a collective."""
  if jax.process_count() == 1:
    return mine
  return bool(multihost_utils.process_allgather(np.bool_(mine)).all())


def first_says(mine: bool) -> bool:
  """Returns `mine` of process 0; a collective."""
  if jax.process_count() == 1:
    return mine
  return bool(multihost_utils.broadcast_one_to_all(np.bool_(mine)))


class Preempted(Stopped):
  """Stopped by SIGTERM in all processes at the same step, after saving."""


class Interrupted(Exception):
  """SIGTERM arrived during work that can be postponed."""


class Preemption:
  """Turns SIGTERM into a step after which every process saves and exits.

  Use it as a context manager around a training run. Until `listen`, SIGTERM
  ends the process at once: loading and compiling take minutes and leave nothing
  to save. Afterwards it is recorded. With several processes, JAX's preemption
  service receives it and agrees on the step.
  """

  def __init__(self):
    self._received = self._listening = False
    self._asked = 0

  def __enter__(self) -> "Preemption":
    if jax.process_count() == 1:
      self._python = signal.signal(signal.SIGTERM, self._hear)
    # JAX's handler is native code, which Python's signal module cannot
    # restore.
    self._handler = _set_sigterm(None)
    return self

  def listen(self) -> None:
    """From now on, records SIGTERM instead of ending the process."""
    if not self._listening:
      _set_sigterm(self._handler)
      self._listening = True

  def _hear(self, number: int, frame: Any) -> None:
    self._received = True

  def __exit__(self, *error) -> None:
    self.listen()
    if jax.process_count() == 1:
      signal.signal(signal.SIGTERM, self._python)

  def reached(self, step: int) -> bool:
    """Returns whether to stop after `step`; call it after each step."""
    del step  # every process calls this equally often
    return self._ask()

  def check(self) -> None:
    """Checks for SIGTERM within a step, equally often in every process.

    Raises:
      Interrupted: if SIGTERM arrived; `reached` does not report it again.
    """
    if self._ask():
      raise Interrupted

  def _ask(self) -> bool:
    if jax.process_count() == 1:
      return self._received
    self._asked += 1
    return multihost_utils.reached_preemption_sync_point(self._asked)


def _set_sigterm(handler: int | None) -> int | None:
  """Sets the native handler of SIGTERM (None: the default), returns the old."""
  libc = ctypes.CDLL(None)
  libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
  libc.signal.restype = ctypes.c_void_p
  return libc.signal(signal.SIGTERM, handler)
