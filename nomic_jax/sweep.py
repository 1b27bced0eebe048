# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The job behind `nomic-jax sweep`: a config's sweep(add), point by point."""

import pathlib
from typing import Any, Sequence

from nomic_jax import config_flags
from nomic_jax import metrics
from nomic_jax.errors import UserError


def points(arguments: Sequence[str]) -> list[dict[str, Any]]:
  """What sweep(add) of the config file adds: {key: value} for each point.

  Raises:
    UserError: if the file has no sweep, or it adds nothing.
  """
  given = next(a for a in arguments if a.startswith("--config="))
  path = given.removeprefix("--config=").partition(":")[0]
  loaded = config_flags.module(path)
  found: list[dict[str, Any]] = []
  if hasattr(loaded, "sweep"):
    loaded.sweep(lambda **point: found.append(point))
  if not found:
    raise UserError(
        f"--config: {path} has no sweep(add) that adds points; expected a "
        "function that calls add(**{'optimizer.learning_rate': 1e-4})"
    )
  return found


def sweep(arguments: Sequence[str], workdir: str, only_list: bool) -> None:
  """Trains every point in its own folder of `workdir`, then compares them.

  A point that is finished is skipped, and one that was stopped goes on.

  Args:
    arguments: --config and --config.KEY=VALUE, which hold for every point
      unless the point sets that key itself.
    workdir: folder of the points' work directories.
    only_list: print the points and train none.
  """
  named = {
      ",".join(f"{k.rpartition('.')[2]}={v}" for k, v in point.items()): point
      for point in points(arguments)
  }
  if only_list:
    print("\n".join(named))
    return
  from nomic_jax.train import train  # JAX, when there is something to train

  rows = []
  for name, point in named.items():
    overrides = [f"--config.{k}={v}" for k, v in point.items()]
    folder = pathlib.Path(workdir) / name
    train(config_flags.load([*arguments, *overrides]), str(folder))
    last = metrics.read(folder / "metrics.jsonl")[-1]
    rows.append((last["loss"], last["seconds"], name))
  width = max((len(name) for _, _, name in rows), default=0)
  for loss, seconds, name in sorted(rows):
    print(f"{name:{width}}  loss {loss:.4f}  {seconds / 60:.1f} minutes")
