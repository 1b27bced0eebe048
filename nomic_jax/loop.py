# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The loop of a training: dispatch, look back, log, save, stop.

It dispatches step t and then looks at the numbers of step t-1, so that the
devices never wait for the host.
"""

import contextlib
import faulthandler
import pathlib
import sys
import time
from typing import Any

import jax
import ml_collections

from nomic_jax import step as step_lib
from nomic_jax.data import loader
from nomic_jax.evaluators import Evaluators
from nomic_jax.mesh import partition
from nomic_jax.mesh import processes
from nomic_jax.run import trackers
from nomic_jax.run.checkpoint import Checkpoints
from nomic_jax.run.goodput import Goodput
from nomic_jax.run.metrics import MetricsFile
from nomic_jax.run.metrics import StepLog
from nomic_jax.storage import buckets
from nomic_jax.storage.progress import Progress


def loop(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  run: Any,
  state: step_lib.TrainState,
  data: Any,
  checkpoints: Checkpoints,
  evaluators: Evaluators,
  preemption: processes.Preemption,
  profile: range = range(0),
  since: float | None = None,
) -> None:
  """From the state's step to the last, logging and saving on the way.

  Args:
    config: of the training.
    workdir: of the training.
    run: what `train.setup` made.
    state: to go on from; it is donated.
    data: an iterator of this host's batches.
    checkpoints: of the work directory.
    evaluators: what is measured every so many steps.
    preemption: which the loop listens to from its first step on.
    profile: steps to record under `workdir`/profile, for xprof or Perfetto.
    since: `time.time()` when this process began with the training.

  Raises:
    Preempted: on SIGTERM, with a checkpoint to go on from.
    UserError: if the numbers are not finite, or the disk is full.
  """
  done = int(state.step)
  sharding = partition.batch_sharding(run.mesh)
  shapes = set()
  before = None

  def look(write: bool = False, stopped: bool = False) -> None:
    number, result, *about = before
    progress.update(
      1, **log.add(number, jax.device_get(result), *about, write, stopped)
    )

  with (
    _metrics_file(config, workdir, done) as file,
    Progress(
      config.steps,
      "steps",
      workdir.name,
      start=done,
      log_every=10.0 if processes.is_first() else float("inf"),
    ) as progress,
    _Watch(config.log.get("hang_minutes", 0.0)) as watch,
  ):
    spent = Goodput(file.last if file else {}, since or time.time())
    log = StepLog(
      file, run.schedule, config.log_every, config.skip_nonfinite, spent.row
    )
    saved = time.monotonic()
    missed = evaluators.due(done) if done else []
    if missed and processes.all_true(not file or file.stopped_at(done)):
      results = evaluators(missed, state.params)
      checkpoints.annotate(done, results)
      log.finish(results)
    for number in range(done + 1, config.steps + 1):
      watch.rearm()
      _record(profile, number, workdir / "profile")
      began = time.monotonic()
      batch = next(data)
      waited = time.monotonic() - began
      spent.add("input", waited)
      shape = batch["ids"].shape
      new = shape not in shapes
      if new:
        shapes.add(shape)
        log.compiling = True
      with spent.of("compile") if new else contextlib.nullcontext():
        state, result = run.step(state, loader.to_devices(batch, sharding))
      preemption.listen()  # compiled, and the state is worth saving
      if before is not None:
        look()
      result = dict(result) | loader.accuracy_of_source(batch, result)
      before = (
        number,
        result,
        loader.tokens_in(batch),
        waited,
        loader.sources_in(batch) or config.data.path,
        run.flops(batch),
      )
      _record(profile, number, workdir / "profile", result)
      stop = preemption.reached(number)
      last = number == config.steps
      due = evaluators.due(number)
      # Whoever sent SIGTERM does not wait for long.
      put_off = bool(due) and stop and not last
      if put_off:  # until the training is resumed
        due = []
      results = {}
      if due:
        began = time.monotonic()
        try:
          results = evaluators(
            due, state.params, *([] if last else [preemption.check])
          )
          log.add_held_out(results, time.monotonic() - began)
        except processes.Interrupted:
          stop = put_off = True
          due = []
        spent.add("evaluation", time.monotonic() - began)
      every = config.checkpoint.every
      kept = bool(
        last
        or every
        and number % every == 0
        or (config.checkpoint.best in results)
        or _due(config, number, saved)
      )
      out_of_turn = put_off or (
        stop and not kept and number % config.log_every != 0
      )
      kept = kept or stop
      if due or kept:
        look(write=True, stopped=out_of_turn)
        before = None
      if kept:  # and finite, or look would have said so
        with spent.of("checkpoint"):
          if file:
            file.flush()  # no checkpoint without the lines of its steps
          checkpoints.save(number, state, data, results)
        saved = time.monotonic()
      if stop and not last:
        checkpoints.close()  # waits for what is being written
        raise processes.Preempted(
          f"SIGTERM: saved step {number} of {config.steps} under {workdir}; "
          "the same command goes on from there"
        )

    if processes.is_first():
      print(spent)


def _due(config: ml_collections.ConfigDict, number: int, saved: float) -> bool:
  """Whether a checkpoint is due by time; asked by every process.

  Process 0's clock decides. It is asked at logged steps alone: the others are
  told by a collective, and the line is written at its turn, so that a training
  has the same lines whenever it was saved.
  """
  minutes = config.checkpoint.get("minutes", 0.0)
  if not minutes or number % config.log_every:
    return False
  late = time.monotonic() - saved >= 60 * minutes
  return processes.first_says(late)


class _Watch:
  """Prints where all threads are whenever a step takes too long."""

  def __init__(self, minutes: float):
    self._seconds = 60 * minutes

  def __enter__(self) -> "_Watch":
    return self

  def rearm(self) -> None:
    """To be called at every step."""
    if self._seconds:
      faulthandler.dump_traceback_later(
        self._seconds, repeat=True, file=sys.__stderr__
      )

  def __exit__(self, *error) -> None:
    if self._seconds:
      faulthandler.cancel_dump_traceback_later()


def _record(
  profile: range, number: int, folder: pathlib.Path, result: Any = None
) -> None:
  """Starts before the first step of `profile` and stops after its last."""
  if profile and result is None and number == profile[0]:
    jax.profiler.start_trace(buckets.near(folder))
  elif profile and result is not None and number == profile[-1]:
    jax.block_until_ready(result)
    jax.profiler.stop_trace()
    if buckets.is_remote(folder):
      buckets.upload(buckets.near(folder), folder)


def _metrics_file(
  config: ml_collections.ConfigDict, workdir: pathlib.Path, done: int
) -> Any:
  """The file that one of the processes writes; None for the others."""
  if not processes.is_first():
    return contextlib.nullcontext()
  return contextlib.closing(
    MetricsFile(
      workdir / "metrics.jsonl", done, trackers.make(config, workdir, done)
    )
  )
