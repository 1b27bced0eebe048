# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Compares reproduce.json with the current state.

Everything that a manifest has a fingerprint of is fingerprinted again, local or
remote: the directory itself, then its inputs, then theirs. What is missing or
unreachable is reported but does not count as a difference.
"""

from collections.abc import Callable
from collections.abc import Iterator
import json
import os
import pathlib
from typing import NamedTuple

from nomic_jax.data import dataset
from nomic_jax.data import manifest
from nomic_jax.data import origins
from nomic_jax.data import tokens
from nomic_jax.errors import Stopped
from nomic_jax.errors import UserError
from nomic_jax.hub.weights import WEIGHTS
from nomic_jax.storage import buckets
from nomic_jax.storage import fingerprints
from nomic_jax.storage import places
from nomic_jax.storage.keys import read_json
from nomic_jax.storage.values import Json


class _Compared(NamedTuple):
  """One item, as recorded and as it is now.

  Attributes:
    what: its name.
    before: the recorded value; None if it was not recorded.
    now: computes the current value; None if it is missing.
    decides: whether a different value changes results.
  """

  what: str
  before: Json
  now: Callable[[], Json]
  decides: bool = True


@places.expanding("path")
def verify(path: str | os.PathLike) -> None:
  """Prints what differs from a directory's manifest and those of its inputs.

  Args:
    path: a work, model or data directory, or one with a teacher's vectors;
      local or in a bucket.

  Raises:
    UserError: if it has no manifest, or if data, tokenizer or weights changed,
      which changes results. Differences in code, libraries and devices are only
      printed.
  """
  values = manifest.read(path)
  if values is None:
    raise UserError(
      f"{path}: has no {manifest.FILE}; expected a directory made by this or a "
      "later version of nomic-jax"
    )
  wrong = 0
  for what, before, recompute, decides in _all(str(path), values, "", set()):
    try:
      now = recompute()
    except (UserError, Stopped) as e:
      print(f"{what}: cannot be compared: {e}")
      continue
    if before is None:
      print(f"{what}: cannot be compared: it has no fingerprint")
    elif now is None:
      print(f"{what}: cannot be compared: it no longer exists")
    elif before == now:
      print(f"{what}: the same")
    else:
      wrong += decides
      print(f"{what}: was {before}, is {now}")
  if wrong:
    raise UserError(
      f"{path}: {wrong} of the items above differ and affect results"
    )


def _all(
  path: str, values: dict, depth: str, seen: set[str]
) -> Iterator[_Compared]:
  """Yields each item that a manifest records of a directory and its history."""
  mark = f"{path} {_of_values(values)}"
  if mark in seen:
    return
  seen.add(mark)
  yield from _own(path, values, depth)
  yield from _environment(values, depth)
  entries = values.get("data", {}) | values.get("inputs", {})
  for name, about in entries.items():
    where = about["path"]
    yield _Compared(
      f"{depth}{name} {where or '(an object in memory)'}",
      about["fingerprint"],
      _fingerprint(name, about, values),
    )
    if about.get("manifest"):
      yield from _all(where, about["manifest"], f"{depth}{name}: ", seen)
  for name in ("training", "parent"):
    before = values.get(name)
    if before and before["manifest"]:
      where = before["path"]
      yield _Compared(
        f"{depth}{name} {where}",
        _of_values(before["manifest"]),
        lambda where=where: (
          _of_values(manifest.read(where)) if (_exists(where)) else None
        ),
      )
      yield from _all(where, before["manifest"], f"{depth}{name}: ", seen)


def _own(path: str, values: dict, depth: str) -> Iterator[_Compared]:
  """Yields what the directory itself holds."""
  if "weights" in values:
    yield _Compared(
      f"{depth}weights",
      values["weights"],
      lambda: (
        manifest.of_file(_here(path) / WEIGHTS) if _exists(path) else None
      ),
    )
  if "tokenizer" in values:
    yield _Compared(
      f"{depth}tokenizer",
      values["tokenizer"],
      lambda: (
        manifest.of_tokenizer(_here(path) / "tokenizer")
        if _exists(path)
        else None
      ),
    )
  if "records" not in values:
    return
  if not depth:  # inputs are compared by their fingerprints
    yield _Compared(
      "files", values["fingerprint"], lambda: dataset.fingerprint(path)
    )
  if buckets.is_remote(path):
    return  # records are read where they are used
  yield _Compared(
    f"{depth}records",
    values["records"],
    lambda: manifest.of_records(pathlib.Path(path)) if _exists(path) else None,
  )
  about = pathlib.Path(path) / "tokens" / "about.json"
  if about.is_file():
    made = lambda found: fingerprints.of_text(json.dumps(found))
    yield _Compared(
      f"{depth}records that tokens/ was made of",
      made(read_json(about).get("records")),
      lambda: made(tokens.records(pathlib.Path(path))),
    )


def _environment(values: dict, depth: str) -> Iterator[_Compared]:
  """Yields the differences in code, libraries and devices."""
  if "code" not in values:
    return
  for group, now in manifest.environment("devices" in values).items():
    for name, before in values.get(group, {}).items():
      if before != now.get(name):
        yield _Compared(
          f"{depth}{group}: {name}",
          before,
          lambda now=now, name=name: str(now.get(name)),
          False,
        )


def _fingerprint(name: str, about: dict, values: dict) -> Callable[[], Json]:
  """Returns a function that computes an input's fingerprint again."""
  where = about["path"]
  if where is None:
    return lambda: None
  if name == "source":
    return lambda: origins.fingerprint(
      where,
      values["arguments"].get("include", ()),
      values["arguments"].get("documents", ()),
    )
  if name == "tokenizer":
    return lambda: manifest.of_tokenizer(where)
  return lambda: manifest.of_place(where)


def _here(path: str) -> pathlib.Path:
  """Returns a local path of a model or work directory, without checkpoints."""
  return pathlib.Path(buckets.fetch(path, checkpoints=False))


def _exists(path: str) -> bool:
  with buckets.errors(path):
    return buckets.as_path(path).exists()


def _of_values(values: dict | None) -> str | None:
  if values is None:
    return None
  return fingerprints.of_text(json.dumps(values, sort_keys=True))
