# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Several processes as one job: joining, agreeing, being stopped.

Every host of a pod runs the same command; jax.distributed makes them one job.
How a process ends tells whatever started it what to do; launch/restart.sh
reads these statuses, and launch/README.md lists them:

  0          Finished.
  2          A mistake that no repetition mends: do not restart.
  75         Stopped before the end (`Stopped`), for instance by SIGTERM with
             the training saved: restart.
  134        JAX aborts a process whose peers are lost: restart.
  137, 139   Killed, or crashed in native code: restart.
  143        SIGTERM where there was nothing to save: restart.
  1          An unexpected exception, which on accelerators may be a fault of
             the hardware: restart.

Restarts are bounded by progress and not in number: see `restarts`.
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

Item = TypeVar("Item")

# Hosts of a pod do not start at the same moment: images are pulled, a node is
# repaired.
_START_SECONDS = 900
_HEARTBEAT_SECONDS = 100  # a process silent for this long is taken for dead
# Process 0 still writes to a bucket when the others have finished.
_END_SECONDS = 300


@contextlib.contextmanager
def joined(distributed: bool, saves: bool = False) -> Iterator[None]:
  """Runs the body as one of the processes that form a job.

  A body that finishes or is preempted leaves together with the others. One
  that fails leaves at once with its own status: the others wait for it in a
  collective and can never join it in an orderly end.

  Args:
    distributed: join the others. Slurm, GKE and TPU pods tell JAX who they
      are; elsewhere JAX_COORDINATOR_ADDRESS (host:port of process 0),
      JAX_NUM_PROCESSES and JAX_PROCESS_ID do, as launch/local.sh sets them.
    saves: the body uses `Preemption`. Otherwise SIGTERM ends the process, as
      it does without --distributed.

  Raises:
    UserError: if the others are not found.
    Stopped: if one of them is lost on the way.
  """
  if not distributed:
    yield
    return
  jax.config.update("jax_enable_preemption_service", saves)
  told = {
    name: int(os.environ[f"JAX_{name.upper()}"])
    for name in ("num_processes", "process_id")
    if f"JAX_{name.upper()}" in os.environ
  }
  # JAX aborts with a C++ stack trace where its own timeout passes; ours is
  # shorter and ends with a line.
  late = threading.Timer(_START_SECONDS, _nobody_came)
  late.daemon = True
  late.start()
  try:
    jax.distributed.initialize(
      **told,
      heartbeat_timeout_seconds=_HEARTBEAT_SECONDS,
      initialization_timeout=2 * _START_SECONDS,
      shutdown_timeout_seconds=_END_SECONDS,
    )
  except (ValueError, RuntimeError) as e:
    raise UserError(
      f"--distributed: no other processes to join ({_line(e)}); start it on "
      "all of them with launch/local.sh, launch/slurm.sbatch, launch/gke.sh "
      "or launch/tpu_pod.sh, or leave the flag out"
    ) from e
  finally:
    late.cancel()
  try:
    yield
    jax.distributed.shutdown()
  except Preempted:
    jax.distributed.shutdown()
    raise
  # JAX has both types for a collective that a lost peer breaks.
  except (jax.errors.JaxRuntimeError, ValueError) as e:
    if not _is_loss(str(e)):
      atexit.register(_leave, errors.status(e))
      raise
    lost = Stopped(
      f"process {jax.process_index()} of {jax.process_count()}: another "
      f"process is gone ({_line(e):.200}); its own log says why. Start all "
      "again with the same command to go on from the last checkpoint"
    )
    atexit.register(_leave, errors.status(lost))
    raise lost from e
  except BaseException as e:
    atexit.register(_leave, errors.status(e))
    raise


def _nobody_came() -> None:
  print(
    f"nomic-jax: stopped: after {_START_SECONDS} seconds not all processes "
    "have joined; the log of each host says whether it started. Start all "
    "again with the same command",
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
  """Whether an error is what a collective says when its peer has died."""
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
  """Every process's text, in order of processes."""
  mine = np.frombuffer(text.encode(), np.uint8)
  sizes = multihost_utils.process_allgather(np.int32(mine.size))
  padded = np.zeros(sizes.max(), np.uint8)
  padded[: mine.size] = mine
  rows = multihost_utils.process_allgather(padded)
  return [bytes(r[:n]).decode() for r, n in zip(rows, sizes)]


def all_true(mine: bool) -> bool:
  """Whether `mine` is true in every process; all must ask."""
  if jax.process_count() == 1:
    return mine
  return bool(multihost_utils.process_allgather(np.bool_(mine)).all())


def first_says(mine: bool) -> bool:
  """What `mine` is in process 0; all must ask."""
  if jax.process_count() == 1:
    return mine
  return bool(multihost_utils.broadcast_one_to_all(np.bool_(mine)))


class Preempted(Stopped):
  """Stopped by SIGTERM in all processes at the same step, and saved."""


class Interrupted(Exception):
  """SIGTERM was heard in the middle of something that can be put off."""


class Preemption:
  """SIGTERM as a step after which every process saves and ends.

  Used as a context manager around a training. Until `listen`, SIGTERM ends
  the process at once: loading and compiling take minutes and leave nothing to
  save. From then on it is heard. With several processes JAX's preemption
  service hears it and agrees on the step.
  """

  def __init__(self):
    self._told = self._heard = False
    self._asked = 0

  def __enter__(self) -> "Preemption":
    if jax.process_count() == 1:
      self._python = signal.signal(signal.SIGTERM, self._hear)
    # JAX's handler is native code, which Python's signal module cannot give
    # back.
    self._handler = _set_sigterm(None)
    return self

  def listen(self) -> None:
    """From now on SIGTERM is heard and not obeyed at once."""
    if not self._heard:
      _set_sigterm(self._handler)
      self._heard = True

  def _hear(self, number: int, frame: Any) -> None:
    self._told = True

  def __exit__(self, *error) -> None:
    self.listen()
    if jax.process_count() == 1:
      signal.signal(signal.SIGTERM, self._python)

  def reached(self, step: int) -> bool:
    """Whether to stop after `step`; to be asked after each one."""
    del step  # every process asks equally often
    return self._ask()

  def check(self) -> None:
    """To be called now and then, equally often in every process, within a step.

    Raises:
      Interrupted: if it is to stop; `reached` will not say so any more.
    """
    if self._ask():
      raise Interrupted

  def _ask(self) -> bool:
    if jax.process_count() == 1:
      return self._told
    self._asked += 1
    return multihost_utils.reached_preemption_sync_point(self._asked)


def _set_sigterm(handler: int | None) -> int | None:
  """Sets the native handler of SIGTERM (None: the default) and returns it."""
  libc = ctypes.CDLL(None)
  libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
  libc.signal.restype = ctypes.c_void_p
  return libc.signal(signal.SIGTERM, handler)
