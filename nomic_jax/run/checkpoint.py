# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of a work directory: state and data iterator, saved together."""

from collections.abc import Mapping
import contextlib
import json
import os
import shutil
import sys
from typing import NamedTuple

import grain
import jax
from jaxtyping import PyTree
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from nomic_jax.errors import UserError
from nomic_jax.mesh import processes
from nomic_jax.run import average
from nomic_jax.run import orbax_errors
from nomic_jax.run.best import goodness
from nomic_jax.storage import buckets
from nomic_jax.storage import orbax_s3
from nomic_jax.storage.values import Place


class _Manager(ocp.CheckpointManager):
  """Leaves SIGTERM to the training run's `processes.Preemption`.

  JAX reports the step at which to stop only once, to the first caller that has
  reached it. Orbax asks while it saves, so a SIGTERM that arrives during a save
  would be reported to Orbax and never to the training run.
  """

  def reached_preemption(self, step: int) -> bool:
    del step
    return False


class Checkpoints:
  """Orbax's manager over `workdir`/checkpoints.

  A checkpoint is written beside the others and renamed when complete, or in a
  bucket marked by a final file, so a process killed at any time leaves the last
  complete one to resume from.
  """

  def __init__(
    self, workdir: Place, keep: int, keep_every: int = 0, best: str = ""
  ):
    """Opens the checkpoints of a work directory.

    Args:
      workdir: the work directory.
      keep: number of latest checkpoints to keep.
      keep_every: also keep steps that are multiples of this; 0: none.
      best: also keep the best checkpoint by this metric, if set; among equals,
        the earliest.
    """
    with contextlib.ExitStack() as stack:
      stack.enter_context(orbax_errors.silenced())
      self._open(workdir, keep, keep_every, best)
      self._silenced = stack.pop_all()  # until it is closed

  def _open(
    self, workdir: Place, keep: int, keep_every: int, best: str
  ) -> None:
    if str(workdir).startswith("s3://"):
      orbax_s3.patch()
    self._workdir, self._best = workdir, best
    kept: list[preservation_policy.PreservationPolicy] = [
      preservation_policy.LatestN(keep)
    ]
    if keep_every:
      kept.append(preservation_policy.EveryNSteps(keep_every))
    if best:
      kept.append(
        preservation_policy.BestN(
          get_metric_fn=_goodness, n=1, keep_checkpoints_without_metrics=False
        )
      )
    with orbax_errors.disk_errors(workdir):
      self._manager = _Manager(
        _folder(workdir),
        options=ocp.CheckpointManagerOptions(
          preservation_policy=preservation_policy.AnyPreservationPolicy(kept),
          best_fn=_goodness if best else None,  # otherwise metrics are lost
          create=True,
          atomicity_options=_atomicity(workdir),
          cleanup_tmp_directories=True,  # left by a kill or a full disk
        ),
      )

  def save(
    self,
    step: int,
    state: PyTree,
    data: grain.DatasetIterator,
    results: Mapping[str, float] | None = None,
  ) -> None:
    """Starts writing; the state may be donated as soon as this returns.

    Args:
      step: the step of the state.
      state: arrays.
      data: the iterator whose state is saved with it.
      results: metrics measured at this step.

    Raises:
      UserError: if the disk is full, now or during the previous save.
    """
    with orbax_errors.disk_errors(self._workdir):
      self._manager.wait_until_finished()
      self._check_space(state)
      self._manager.save(
        step,
        args=ocp.args.Composite(
          state=ocp.args.StandardSave(state),
          # One state for all hosts, since batches are global; so another number
          # of hosts can resume from it.
          data=ocp.args.JsonSave(data.get_state()),
        ),
        metrics=self._tracked(results or {}) or None,
      )

  def _tracked(self, results: Mapping[str, float]) -> dict[str, float]:
    """Returns the metric to save, if it is better than those saved before."""
    if self._best not in results:
      return {}
    found = {self._best: results[self._best]}
    kept = best(self._workdir)
    if kept and _goodness(found) <= _goodness({kept.metric: kept.value}):
      return {}
    return found

  def annotate(self, step: int, results: Mapping[str, float]) -> None:
    """Adds metrics measured later to an existing checkpoint."""
    if not (values := self._tracked(results)):
      return
    path = _metrics_file(_folder(self._workdir), step)
    if processes.is_first():
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_text(json.dumps(values))
    processes.all_true(True)  # the others wait for it
    self._manager.reload()

  def _check_space(self, state: PyTree) -> None:
    if buckets.is_remote(self._workdir):
      return
    needed = sum(x.nbytes for x in jax.tree.leaves(state))
    needed //= jax.process_count()
    free = shutil.disk_usage(self._workdir).free
    if free < needed:
      raise UserError(
        f"{self._workdir}: a checkpoint takes {needed / 1e6:,.1f} MB but the "
        f"disk has {free / 1e6:,.1f} MB free; earlier checkpoints are "
        "complete: free some space and run the same command to resume "
        "from the last one"
      )

  def restore(self, like: PyTree, data: grain.DatasetIterator) -> PyTree:
    """Returns the newest state, shaped and sharded as `like`; sets `data`.

    A damaged checkpoint is moved aside with a warning, and the previous one
    used.

    Raises:
      UserError: if all are damaged.
    """
    first = None
    damaged = []
    for step in sorted(self._manager.all_steps(), reverse=True):
      state, error = None, None
      try:
        state = self._restore(step, like, data)
      except UserError as e:
        error = e
      if processes.all_true(error is None):
        for bad in damaged:
          self._move_aside(bad, step)
        return state
      damaged.append(step)
      first = (
        first
        or error
        or UserError(
          f"{_folder(self._workdir) / str(step)}: another process cannot read "
          "its part"
        )
      )
    assert first, "call it only where there is a checkpoint"
    raise first

  def _restore(
    self, step: int, like: PyTree, data: grain.DatasetIterator
  ) -> PyTree:
    with orbax_errors.damage(_folder(self._workdir) / str(step)):
      restored = self._manager.restore(
        step,
        args=ocp.args.Composite(
          state=ocp.args.StandardRestore(like), data=ocp.args.JsonRestore()
        ),
      )
    data.set_state(restored["data"])
    return restored["state"]

  def _move_aside(self, step: int, taken: int) -> None:
    """Makes room for the checkpoint that will be written at this step."""
    to = self._workdir / "damaged" / str(step)
    bad = _folder(self._workdir) / str(step)
    if processes.is_first():
      if buckets.is_remote(bad):
        buckets.move(bad, to)
      else:
        shutil.rmtree(to, ignore_errors=True)
        to.parent.mkdir(exist_ok=True)
        bad.rename(to)
      print(
        f"nomic-jax: warning: the checkpoint of step {step} cannot be read; "
        f"it was moved to {to}, and the training resumes from step {taken}",
        file=sys.stderr,
      )
    processes.all_true(True)  # no process reads before it has moved
    self._manager.reload()

  def close(self) -> None:
    """Waits until everything is written."""
    with self._silenced, orbax_errors.disk_errors(self._workdir):
      self._manager.close()


def latest_step(workdir: str | os.PathLike) -> int | None:
  """Returns the step of the newest complete checkpoint, or None."""
  return max(_steps(_folder(buckets.as_path(workdir))), default=None)


def _steps(folder: Place) -> list[int]:
  """Returns the steps of the complete checkpoints."""
  if buckets.is_remote(folder):
    return buckets.whole_steps(folder)
  return ocp.utils.checkpoint_steps(folder) if folder.is_dir() else []


def _atomicity(workdir: Place) -> ocp.options.AtomicityOptions:
  """Returns Orbax's options: in buckets, a final file marks completion."""
  modes = ocp.options.AtomicityMode
  return ocp.options.AtomicityOptions(
    mode=modes.COMMIT_FILE if buckets.is_remote(workdir) else modes.AUTO
  )


class Best(NamedTuple):
  """The checkpoint with the best metric, among those saved with one."""

  step: int
  metric: str
  value: float


def best(workdir: str | os.PathLike) -> Best | None:
  """Returns the best checkpoint of a run with `config.checkpoint.best`.

  Among equals, the earliest; None if none is better than the start.
  """
  scored = []
  folder = _folder(buckets.as_path(workdir))
  for step in _steps(folder):
    path = _metrics_file(folder, step)
    if path.is_file():
      values = json.loads(path.read_text(encoding="utf-8"))
      scored.append((_goodness(values), -step, values))
  if not scored:
    return None
  _, negated, values = max(scored, key=lambda f: f[:2])
  return Best(-negated, *next(iter(values.items())))


def _metrics_file(folder: Place, step: int) -> Place:
  return folder / str(step) / "metrics" / "metrics"  # written by Orbax


def _goodness(values: Mapping[str, float]) -> float:
  """Returns the metric saved with a checkpoint, negated if lower is better."""
  return goodness(*next(iter(values.items())))


def restore_params(workdir: str | os.PathLike, step: int | None = None) -> dict:
  """Returns the parameters of a checkpoint; default: the newest.

  They are averaged if the training run averages them, see `average`.

  Returns:
    The tree, of numpy arrays.

  Raises:
    UserError: if there is no checkpoint, or it is damaged.
  """
  with orbax_errors.silenced():
    return _restore_params(workdir, step)


def _restore_params(workdir: str | os.PathLike, step: int | None) -> dict:
  folder = _folder(buckets.as_path(workdir))
  step = latest_step(workdir) if step is None else step
  if step is None:
    raise UserError(
      f"{workdir}: no checkpoint under {folder}; expected the work directory "
      "of a training run that has saved a checkpoint"
    )
  path = folder / str(step)
  handler = ocp.CompositeCheckpointHandler(
    state=ocp.PyTreeCheckpointHandler(), data=ocp.JsonCheckpointHandler()
  )
  with orbax_errors.damage(path), ocp.Checkpointer(handler) as reader:
    tree = reader.metadata(path).item_metadata["state"].tree
    needed = {"params": tree["params"]}
    if average.saved(tree["opt_state"]) is not None:
      needed["opt_state"] = tree["opt_state"]
    shapes = jax.tree.map(lambda m: np.empty(m.shape, m.dtype), needed)
    as_numpy = jax.tree.map(
      lambda _: ocp.RestoreArgs(restore_type=np.ndarray), shapes
    )
    args = ocp.args.PyTreeRestore(
      item=shapes, restore_args=as_numpy, partial_restore=True
    )
    restored = reader.restore(path, args=ocp.args.Composite(state=args))
    params = restored.state["params"]
    averaged = average.saved(restored.state.get("opt_state"))
    if averaged is None:
      return params
    return jax.tree.map(
      lambda a, p: p if a is None else a,
      averaged,
      params,
      is_leaf=lambda a: a is None,  # frozen
    )


def _folder(workdir: Place) -> Place:
  folder = workdir / "checkpoints"
  return folder if buckets.is_remote(workdir) else folder.absolute()
