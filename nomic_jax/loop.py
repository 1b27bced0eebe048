# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The training loop: dispatch, log, save, stop.

It dispatches step t and then reads the metrics of step t-1, so that the devices
never wait for the host.
"""

import contextlib
import faulthandler
import sys
import time
from typing import Any

import grain
import jax
from jaxtyping import PyTree
import ml_collections

from nomic_jax import program
from nomic_jax import step as step_lib
from nomic_jax.data import loader
from nomic_jax.evaluation.evaluators import Evaluators
from nomic_jax.mesh import partition
from nomic_jax.mesh import processes
from nomic_jax.model.params import Params
from nomic_jax.run import average
from nomic_jax.run import trackers
from nomic_jax.run.best import Record
from nomic_jax.run.checkpoint import Checkpoints
from nomic_jax.run.goodput import Goodput
from nomic_jax.run.metrics import MetricsFile
from nomic_jax.run.metrics import StepLog
from nomic_jax.storage import buckets
from nomic_jax.storage.progress import Progress
from nomic_jax.storage.values import Place


def loop(
  config: ml_collections.ConfigDict,
  workdir: Place,
  run: program.Run,
  state: step_lib.TrainState,
  data: grain.DatasetIterator,
  checkpoints: Checkpoints,
  evaluators: Evaluators,
  record: Record,
  preemption: processes.Preemption,
  profile: range = range(0),
  since: float | None = None,
) -> None:
  """Runs the remaining training steps, logging metrics and saving checkpoints.

  Training stops early once `record` is exhausted, that is, after
  `config.checkpoint.patience` evaluations without improvement.

  Args:
    config: the training config.
    workdir: the work directory.
    run: the program of the training run.
    state: the state to start from, which is donated.
    data: an iterator over this host's batches.
    checkpoints: the checkpoints of `workdir`.
    evaluators: each runs at its own interval.
    record: tracks the best value of `config.checkpoint.best`; must be empty,
      and is filled by the loop.
    preemption: handles SIGTERM once the first step has run.
    profile: steps to record under `workdir`/profile, for xprof or Perfetto.
    since: `time.time()` when this process began training.

  Raises:
    Preempted: on SIGTERM, with a checkpoint to resume from.
    UserError: if the metrics are not finite, or the disk is full.
  """
  done = int(state.step)
  sharding = partition.batch_sharding(run.mesh)
  shapes = set()
  pending: Any = None  # the step whose metrics have not been read

  def served() -> Params:
    return average.served(state.params, state.opt_state)

  def log_pending(write: bool = False, stopped: bool = False) -> None:
    number, result, *about = pending
    result = jax.device_get(result)
    shown = log.add(number, result, *about, write=write, stopped=stopped)
    progress.update(1, **shown)

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
    if done:
      record.replay(file.rows if file else [])
    elif record.metric:  # the start must be beaten
      with spent.of("evaluation"):
        results = evaluators(evaluators.measuring(record.metric), served())
      record.add(0, results)
      if file:
        file.write({"step": 0, **results})
      log.restart_clock()
    missed = evaluators.due(done) if done else []
    if missed and processes.all_true(not file or file.stopped_at(done)):
      results = evaluators(missed, served())
      if record.add(done, results):
        checkpoints.annotate(done, results)
      log.finish(results)
    left = range(done + 1, config.steps + 1)
    if record.exhausted:
      left = range(0)
    for number in left:
      watch.rearm()
      _profile(profile, number, workdir / "profile")
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
      preemption.listen()  # compilation is done: now the state is worth saving
      if pending is not None:
        log_pending()
      result = dict(result) | loader.accuracy_of_source(batch, result)
      pending = (
        number,
        result,
        loader.tokens_in(batch),
        waited,
        loader.sources_in(batch) or config.data.path,
        run.flops(batch),
      )
      _profile(profile, number, workdir / "profile", result)
      stop = preemption.reached(number)
      last = number == config.steps
      due = evaluators.due(number)
      # After SIGTERM there is little time, so evaluation is postponed.
      postponed = bool(due) and stop and not last
      if postponed:  # until the training run is resumed
        due = []
      results = {}
      if due:
        began = time.monotonic()
        try:
          results = evaluators(
            due, served(), *([] if last else [preemption.check])
          )
          log.add_held_out(results, time.monotonic() - began)
        except processes.Interrupted:
          stop = postponed = True
          due = []
        spent.add("evaluation", time.monotonic() - began)
      best = record.add(number, results)
      last = last or record.exhausted
      every = config.checkpoint.every
      save = bool(
        last
        or every
        and number % every == 0
        or (record.metric in results)
        or _due(config, number, saved)
      )
      unfinished = postponed or (
        stop and not save and number % config.log_every != 0
      )
      save = save or stop
      if due or save:
        log_pending(write=True, stopped=unfinished)
        pending = None
      if save:  # the metrics are finite, or log_pending would have raised
        with spent.of("checkpoint"):
          if file:
            file.flush()  # no checkpoint without the lines of its steps
          checkpoints.save(number, state, data, results if best else {})
        saved = time.monotonic()
      if stop and not last:
        checkpoints.close()  # waits for what is being written
        raise processes.Preempted(
          f"SIGTERM: saved step {number} of {config.steps} under {workdir}; "
          "run the same command to resume"
        )
      if record.exhausted:
        break

    if processes.is_first():
      if record.exhausted:
        print(
          f"{workdir}: stopped early after {record.since} measurements without "
          f"improvement: {record}; raise config.checkpoint.patience to continue"
        )
      print(spent)


def _due(config: ml_collections.ConfigDict, number: int, saved: float) -> bool:
  """Returns whether a checkpoint is due by time; a collective.

  Process 0's clock decides and a collective tells the others. It is checked
  only at logged steps, where a line of metrics is written anyway, so that
  saving a checkpoint never changes which steps are logged.
  """
  minutes = config.checkpoint.get("minutes", 0.0)
  if not minutes or number % config.log_every:
    return False
  late = time.monotonic() - saved >= 60 * minutes
  return processes.first_says(late)


class _Watch:
  """Prints the stacks of all threads whenever a step takes too long."""

  def __init__(self, minutes: float):
    self._seconds = 60 * minutes

  def __enter__(self) -> "_Watch":
    return self

  def rearm(self) -> None:
    """Restarts the timer; call it at every step."""
    if self._seconds:
      faulthandler.dump_traceback_later(
        self._seconds, repeat=True, file=sys.__stderr__ or sys.stderr
      )

  def __exit__(self, *error) -> None:
    if self._seconds:
      faulthandler.cancel_dump_traceback_later()


def _profile(
  profile: range, number: int, folder: Place, result: PyTree = None
) -> None:
  """Profiles the steps in `profile`; called before and after every step."""
  if profile and result is None and number == profile[0]:
    jax.profiler.start_trace(buckets.scratch(folder))
  elif profile and result is not None and number == profile[-1]:
    jax.block_until_ready(result)
    jax.profiler.stop_trace()
    if buckets.is_remote(folder):
      buckets.upload(buckets.scratch(folder), folder)


def _metrics_file(
  config: ml_collections.ConfigDict, workdir: Place, done: int
) -> Any:
  """Returns the metrics file in process 0, None in the others."""
  if not processes.is_first():
    return contextlib.nullcontext()
  return contextlib.closing(
    MetricsFile(
      workdir / "metrics.jsonl",
      done or -1,  # -1: drops the evaluation at the start too
      trackers.make(config, workdir, done),
    )
  )
