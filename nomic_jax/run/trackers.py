# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""TensorBoard and Weights & Biases: logs the lines of metrics.jsonl there.

Each is enabled in the config and needs an extra of its name in setup.cfg.
metrics.jsonl is always written.
"""

from collections.abc import Callable
import hashlib

import ml_collections

from nomic_jax.errors import UserError
from nomic_jax.storage import buckets
from nomic_jax.storage.values import JsonObject
from nomic_jax.storage.values import Place

Row = JsonObject  # a line of metrics.jsonl


def make(
  config: ml_collections.ConfigDict, workdir: Place, done: int
) -> list[Callable[[Row | None], None]]:
  """Returns the trackers that `config.log` enables.

  Each is called with every line, then with None.

  Args:
    config: the training config.
    workdir: the work directory.
    done: number of completed steps; later lines of a killed run are replaced.
  """
  trackers = []
  if config.log.tensorboard:
    trackers.append(_tensorboard(workdir, done))
  if config.log.wandb:
    trackers.append(_wandb(config, workdir))
  return trackers


def _tensorboard(workdir: Place, done: int) -> Callable[[Row | None], None]:
  """Writes event files under `workdir`/logs."""
  if buckets.is_remote(workdir):
    raise UserError(
      "config.log.tensorboard: event files are appended to, which is not "
      f"possible in a bucket ({workdir}); leave it off and plot metrics.jsonl "
      f"with nomic-jax plot {workdir}"
    )
  import tensorboardX

  # Without the suffix, two files of the same second would have the same name.
  writer = tensorboardX.SummaryWriter(
    str(workdir / "logs"),
    purge_step=done + 1,
    flush_secs=10,
    filename_suffix=f".{done}",
  )

  def write(row: Row | None) -> None:
    if row is None:
      writer.close()
      return
    for name, value in row.items():
      if name != "step":
        writer.add_scalar(name, value, row["step"])

  return write


def _wandb(
  config: ml_collections.ConfigDict, workdir: Place
) -> Callable[[Row | None], None]:
  """Logs to the project `config.log.wandb`; WANDB_MODE=offline logs locally."""
  import wandb

  # Always the same for a work directory, so that it resumes as one run.
  remote = buckets.is_remote(workdir)
  name = str(workdir if remote else workdir.absolute())
  run = wandb.init(
    project=config.log.wandb,
    name=workdir.name,
    dir=None if remote else str(workdir),
    id=hashlib.blake2b(name.encode(), digest_size=8).hexdigest(),
    resume="allow",
    config=config.to_dict(),
  )

  def write(row: Row | None) -> None:
    if row is None:
      run.finish()
    else:
      run.log({k: v for k, v in row.items() if k != "step"}, step=row["step"])

  return write
