# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Trains every point that a config's sweep(add) adds, and compares them."""

from collections.abc import Sequence
import concurrent.futures
import hashlib
import inspect
import json
import pathlib
import re
import shlex
import subprocess
import sys
from typing import NamedTuple

from nomic_jax.cli import config_files
from nomic_jax.cli import config_flags
from nomic_jax.errors import Diverged
from nomic_jax.errors import one_of
from nomic_jax.errors import UserError
from nomic_jax.report import sweeps
from nomic_jax.storage import buckets
from nomic_jax.storage import places
from nomic_jax.storage.values import JsonObject
from nomic_jax.storage.values import Place

# Largest number of bytes in a point's name; with suffixes it must fit into 255.
_LONGEST = 180
_DIVERGED = "diverged.json"  # as in `training`, which would import JAX


def points(arguments: Sequence[str]) -> list[JsonObject]:
  """Returns what sweep(add) of the config file adds: {key: value} per point.

  A sweep(add, arg) also receives the text after the colon in
  --config=FILE.py:ARG.

  Raises:
    UserError: if the file has no sweep, or it adds nothing.
  """
  given = next(a for a in arguments if a.startswith("--config="))
  path, _, arg = given.removeprefix("--config=").partition(":")
  loaded = config_files.module(path)
  added: list[JsonObject] = []

  def add(**point):
    added.append(point)

  if hasattr(loaded, "sweep"):
    takes_arg = len(inspect.signature(loaded.sweep).parameters) > 1
    try:
      loaded.sweep(add, *([arg] if takes_arg else []))
    except Exception as e:
      raise config_files.error_in(e, path) from e
  if not added:
    raise UserError(
      f"--config: {path} has no sweep(add) that adds points; expected a "
      "function that calls add(**{'optimizer.learning_rate': 1e-4})"
    )
  return added


@places.expanding("workdir")
def sweep(
  arguments: Sequence[str],
  workdir: str,
  *,
  only_list: bool = False,
  commands: str | None = None,
  parallel: int = 1,
  metric: str = "loss",
  median: str = "",
) -> None:
  """Trains every point in its own folder of `workdir`, then compares them.

  Finished points are skipped, and stopped ones resumed.

  The arguments are the flags of `nomic-jax sweep`, described in jobs/sweep.py.

  Raises:
    UserError: for a flag that sets what the points set; if points fail (the
      others are trained), or none has the metric. A point that diverges is a
      line of the table.
  """
  named = _named(points(arguments), arguments)
  keys = list(dict.fromkeys(k for point in named for k in point.values))
  for key in keys:
    if config_flags.sets(arguments, key):
      raise UserError(
        f"--config.{key}: the sweep of the config file sets this field, so the "
        "flag has no effect; leave it out"
      )
  if parallel < 1:
    raise UserError(f"--parallel={parallel}: expected 1 or more")
  if median:
    one_of(median, keys, f"--median={median}: no key that varies")
    if len(keys) == 1:
      raise UserError(
        f"--median={median}: this is the only key that varies; at least one "
        "other must vary"
      )
  if only_list:
    print("\n".join(point.name for point in named))
    return
  folder = buckets.as_path(workdir)
  if commands is not None:
    for number, point in enumerate(named, 1):
      command = shlex.join(
        ["train", *point.flags, f"--workdir={folder / point.name}"]
      )
      print(f"{commands.replace('{n}', str(number))} {command}".strip())
    return
  places.check_folder(
    folder,
    f"{workdir}: is a file; specify a folder as --workdir",
    lambda path: True,
  )
  if parallel > 1 and buckets.is_remote(folder):
    raise UserError(
      f"--parallel={parallel}: each point appends to a log file, which is not "
      f"possible in a bucket ({folder}); use --parallel=1, or --commands to "
      "train them elsewhere"
    )
  with buckets.errors(folder):
    remaining = [p for p in named if not _report_diverged(p.name, folder)]
  failed = (
    _train_in_parallel(remaining, pathlib.Path(folder), parallel)
    if parallel > 1
    else _train_sequentially(remaining, folder)
  )
  with buckets.errors(folder):
    # Points that failed for another reason have nothing to compare.
    compared = {p.name: p.values for p in named if p.name not in failed}
    steps = {name: _diverged(folder / name) for name in compared}
    if compared:
      sweeps.compare(
        compared,
        {k: v for k, v in steps.items() if v is not None},
        folder,
        metric,
        median,
      )
  if failed:
    why = (
      f"their .log files under {folder} say why"
      if parallel > 1
      else (f"the first because of: {next(iter(failed.values()))}")
    )
    raise UserError(
      f"{len(failed)} of {len(named)} points failed: {', '.join(failed)}; "
      f"{why}. Run the same command to resume them"
    )


class _Point(NamedTuple):
  """One training: its folder's name, what varies, and its config's flags."""

  name: str
  values: JsonObject
  flags: list[str]


def _named(
  added: Sequence[JsonObject], arguments: Sequence[str]
) -> list[_Point]:
  """Returns points with distinct names that are valid folder names."""
  named: dict[str, _Point] = {}
  for values in added:
    if any(values == point.values for point in named.values()):
      print(f"{values} was added twice and is trained once")
      continue
    plain = ",".join(f"{k.rpartition('.')[2]}={v}" for k, v in values.items())
    name = re.sub(r"[/\\*?\[\]\x00-\x1f]", "-", plain)
    if name != plain or len(name.encode()) > _LONGEST or name in named:
      digest = hashlib.sha256(repr(values).encode()).hexdigest()[:8]
      short = name.encode()[:_LONGEST].decode(errors="ignore")
      name = f"{short},{digest}"
    named[name] = _Point(
      name,
      values,
      [*arguments, *(f"--config.{k}={v}" for k, v in values.items())],
    )
  return list(named.values())


def _diverged(path: Place) -> int | None:
  """Returns the step at which a work directory's training diverged, or None."""
  try:
    return json.loads((path / _DIVERGED).read_text())["step"]
  except FileNotFoundError:
    return None


def _report_diverged(name: str, folder: Place) -> bool:
  step = _diverged(folder / name)
  if step is not None:
    print(
      f"{name}: diverged at step {step} in an earlier run and is not trained "
      f"again; remove {folder / name} to retry",
      flush=True,
    )
  return step is not None


def _train_sequentially(
  named: Sequence[_Point], folder: Place
) -> dict[str, str]:
  """Trains points one after another; returns why some failed."""
  from nomic_jax.training import train  # imports JAX only when needed

  failed = {}
  for point in named:
    try:
      train(config_flags.load(point.flags), str(folder / point.name))
    except UserError as e:
      print(f"{point.name}: {e}", flush=True)
      if not isinstance(e, Diverged):
        failed[point.name] = str(e)
  return failed


def _train_in_parallel(
  named: Sequence[_Point], folder: pathlib.Path, parallel: int
) -> dict[str, str]:
  """Trains each in a process; returns why some failed, after all have ended."""
  folder.mkdir(parents=True, exist_ok=True)

  def train(point: _Point) -> tuple[str, str]:
    command = [
      sys.executable,
      "-m",
      "nomic_jax.main",
      "train",
      *point.flags,
      f"--workdir={folder / point.name}",
    ]
    log = folder / f"{point.name}.log"
    with open(log, "a", encoding="utf-8") as file:
      status = subprocess.run(command, stdout=file, stderr=file).returncode
    last_line = (log.read_text("utf-8", "replace").splitlines() or [""])[-1]
    print(
      f"{point.name}: "
      + (f"status {status}, see {log}: {last_line}" if status else "done"),
      flush=True,
    )
    failed = status and _diverged(folder / point.name) is None
    return point.name, last_line if failed else ""

  with concurrent.futures.ThreadPoolExecutor(parallel) as pool:
    return {
      name: last_line for name, last_line in pool.map(train, named) if last_line
    }
