# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""TensorBoard and Weights & Biases: metrics.jsonl's lines, to look at there.

Each is asked for in the config and comes with an extra of setup.cfg of its
name. metrics.jsonl is written in any case.
"""

from collections.abc import Callable
import hashlib
import pathlib
from typing import Any

import ml_collections

from nomic_jax.errors import UserError
from nomic_jax.storage import buckets

Row = dict[str, Any]  # a line of metrics.jsonl


def make(
  config: ml_collections.ConfigDict, workdir: pathlib.Path, done: int
) -> list[Callable[[Row | None], None]]:
  """What `config.log` asks for, each to be called with every line, then None.

  Args:
    config: of the training.
    workdir: of the training.
    done: steps that were taken before; what a killed run logged after them
      is replaced.
  """
  trackers = []
  if config.log.tensorboard:
    trackers.append(_tensorboard(workdir, done))
  if config.log.wandb:
    trackers.append(_wandb(config, workdir))
  return trackers


def _tensorboard(
  workdir: pathlib.Path, done: int
) -> Callable[[Row | None], None]:
  """Writes event files under `workdir`/logs."""
  if buckets.is_remote(workdir):
    raise UserError(
      f"config.log.tensorboard: event files grow, which objects in a bucket "
      f"({workdir}) do not; leave it out: nomic-jax plot {workdir} draws "
      "metrics.jsonl"
    )
  import tensorboardX

  # The suffix, since two files of the same second would have one name.
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
  config: ml_collections.ConfigDict, workdir: pathlib.Path
) -> Callable[[Row | None], None]:
  """Logs to the project `config.log.wandb`; WANDB_MODE=offline logs locally."""
  import wandb

  # The same for a work directory each time, so that it goes on as one run.
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
