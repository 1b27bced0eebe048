# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""The job behind `nomic-jax sweep`: a config's sweep(add), point by point."""

import concurrent.futures
import importlib.util
import pathlib
import shlex
import statistics
import subprocess
import sys
from typing import Any, Sequence

from nomic_jax import buckets
from nomic_jax import config_flags
from nomic_jax import metrics
from nomic_jax import places
from nomic_jax import plot
from nomic_jax.errors import nearest
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

  def add(**point):
    found.append(point)

  if hasattr(loaded, "sweep"):
    try:
      loaded.sweep(add)
    except Exception as e:
      raise config_flags.mistake(e, path) from e
  if not found:
    raise UserError(
        f"--config: {path} has no sweep(add) that adds points; expected a "
        "function that calls add(**{'optimizer.learning_rate': 1e-4})"
    )
  return found


def sweep(
    arguments: Sequence[str], workdir: str, *, only_list: bool = False,
    commands: str | None = None, parallel: int = 1, metric: str = "loss",
    median: str = "",
) -> None:
  """Trains every point in its own folder of `workdir`, then compares them.

  A point that is finished is skipped, and one that was stopped goes on.

  Args:
    arguments: --config and --config.KEY=VALUE, which hold for every point
      unless the point sets that key itself.
    workdir: folder of the points' work directories.
    only_list: print the points and train none.
    commands: print the command of each point and train none, with this in
      front, such as a launch script; {n} in it is the point's number.
    parallel: how many to train at a time; above 1 each is a process of its
      own, whose output is in the file `log` beside its work directory.
    metric: of metrics.jsonl, to compare the points by: in a table, and in
      `workdir`/sweep.png if matplotlib is installed.
    median: a key that varies, such as seed: points that differ in it alone
      are one line, with the median of their figures.

  Raises:
    UserError: if a point cannot be trained, or has no such metric.
  """
  found = points(arguments)
  varied = list(found[0])
  if median and (median not in varied or len(varied) < 2):
    raise UserError(
        f"--median={median}: expected one of several keys that vary, which are "
        f"{', '.join(varied)}.{nearest(median, varied)}"
    )
  trainings = {}
  for point in found:
    name = ",".join(f"{k.rpartition('.')[2]}={v}" for k, v in point.items())
    overrides = [f"--config.{k}={v}" for k, v in point.items()]
    trainings[name] = [*arguments, *overrides]
  if only_list:
    print("\n".join(trainings))
    return
  folder = buckets.place(workdir)
  if commands is not None:
    for number, (name, flags) in enumerate(trainings.items(), 1):
      command = shlex.join(["train", *flags, f"--workdir={folder / name}"])
      print(f"{commands.replace('{n}', str(number))} {command}".strip())
    return
  places.check_folder(
      folder, f"{workdir}: a file stands there; give a folder as --workdir",
      lambda path: True)
  if parallel == 1:
    from nomic_jax.train import train  # JAX, when there is something to train

    for name, flags in trainings.items():
      train(config_flags.load(flags), str(folder / name))
  elif buckets.is_remote(folder):
    raise UserError(
        f"--parallel={parallel}: the points' logs grow, which objects in a "
        f"bucket ({folder}) do not; give --parallel=1, or --commands to train "
        "them elsewhere"
    )
  else:
    _train_side_by_side(trainings, folder, parallel)
  with buckets.errors(folder):
    _compare(dict(zip(trainings, found)), folder, metric, median)


def _train_side_by_side(
    trainings: dict[str, list[str]], folder: pathlib.Path, parallel: int
) -> None:
  """Raises UserError, when all have ended, if one has failed."""
  folder.mkdir(parents=True, exist_ok=True)

  def train(item: tuple[str, list[str]]) -> str | None:
    name, flags = item
    command = [sys.executable, "-m", "nomic_jax.main", "train", *flags,
               f"--workdir={folder / name}"]
    log = folder / f"{name}.log"
    with open(log, "a", encoding="utf-8") as file:
      status = subprocess.run(command, stdout=file, stderr=file).returncode
    said = (log.read_text("utf-8", "replace").splitlines() or [""])[-1]
    print(f"{name}: " + (
        f"status {status}, see {log}: {said}" if status else "done"),
          flush=True)
    return name if status else None

  with concurrent.futures.ThreadPoolExecutor(parallel) as pool:
    failed = [name for name in pool.map(train, trainings.items()) if name]
  if failed:
    raise UserError(
        f"{len(failed)} of {len(trainings)} points failed: "
        f"{', '.join(failed)}; their .log files under {folder} say why. Run "
        "the same command to go on with them"
    )


def _compare(
    named: dict[str, dict[str, Any]], folder: pathlib.Path, metric: str,
    median: str,
) -> None:
  """Prints a table of the metric against what varied, the best first."""
  rows = []
  for name, point in named.items():
    last = metrics.read(folder / name / "metrics.jsonl")[-1]
    if metric not in last:
      raise UserError(
          f"--metric: {folder / name}/metrics.jsonl has no '{metric}'; it has "
          f"{', '.join(last)}.{nearest(metric, last)}"
      )
    rows.append((last[metric], last["seconds"] / 60, *point.values()))
  keys = list(next(iter(named.values())))
  if median:
    rows = _medians(rows, 2 + keys.index(median))
    keys[keys.index(median)] = f"{median}: from to"
  sign = 1 if metrics.lower_is_better(metric) else -1
  table = [[metric, "minutes", *keys]] + [
      [f"{value:.4f}", f"{minutes:.1f}", *map(str, varied)]
      for value, minutes, *varied in sorted(
          rows, key=lambda row: (sign * row[0], row[1]))
  ]
  widths = [max(map(len, column)) for column in zip(*table)]
  for row in table:
    print("  ".join(f"{x:>{w}}" for x, w in zip(row, widths)))
  if importlib.util.find_spec("matplotlib"):
    varied = [
        {k: v for k, v in zip(keys, row[2:]) if k.split(":")[0] != median}
        for row in rows
    ]
    plot.points(
        [row[0] for row in rows], varied, metric, folder / "sweep.png")


def _medians(rows: list[tuple], column: int) -> list[tuple]:
  """Rows that differ in a column, and in what was measured, as one."""
  alike: dict[tuple, list[tuple]] = {}
  for row in rows:
    alike.setdefault((*row[2:column], *row[column + 1:]), []).append(row)
  found = []
  for same in alike.values():
    values, minutes = [row[0] for row in same], [row[1] for row in same]
    between = f"{len(same)}: {min(values):.4f} {max(values):.4f}"
    found.append((
        statistics.median(values), sum(minutes), *same[0][2:column], between,
        *same[0][column + 1:]))
  return found
