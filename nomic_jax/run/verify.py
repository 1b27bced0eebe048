# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Compares reproduce.json with what is there now.

Whatever a manifest has a fingerprint of is fingerprinted again, wherever it
lies: the directory itself, then its inputs, then theirs. What is gone, or
cannot be reached, is reported and is no difference.
"""

from collections.abc import Callable
from collections.abc import Iterator
import json
import os
import pathlib
from typing import Any
from typing import NamedTuple

from nomic_jax.data import dataset
from nomic_jax.data import earlier
from nomic_jax.data import manifest
from nomic_jax.data import tokens
from nomic_jax.errors import Stopped
from nomic_jax.errors import UserError
from nomic_jax.hub.weights import WEIGHTS
from nomic_jax.storage import buckets
from nomic_jax.storage import fingerprints
from nomic_jax.storage import places
from nomic_jax.storage.keys import read_json


class _Compared(NamedTuple):
  """One thing, as it was and as it is.

  Attributes:
    what: its name.
    before: as it was recorded; None: it was not.
    now: computes it again; None if it is gone.
    decides: whether another value gives other numbers.
  """

  what: str
  before: Any
  now: Callable[[], Any]
  decides: bool = True


@places.expanding("path")
def verify(path: str | os.PathLike) -> None:
  """Prints what differs from the manifest of a directory, and of its inputs.

  Args:
    path: a work, model or data directory, or one of a teacher's vectors; here
      or in a bucket.

  Raises:
    UserError: if it has no manifest, or what is there now would give other
      numbers: other data, tokenizer or weights. Other code, libraries and
      devices are only printed.
  """
  values = manifest.read(path)
  if values is None:
    raise UserError(
      f"{path}: no {manifest.FILE} in it; expected a directory that this "
      "version of nomic-jax or a later one made"
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
      print(f"{what}: cannot be compared: nothing is there any more")
    elif before == now:
      print(f"{what}: the same")
    else:
      wrong += decides
      print(f"{what}: was {before}, is {now}")
  if wrong:
    raise UserError(
      f"{path}: {wrong} of these differ and decide the numbers; see above"
    )


def _all(
  place: str, values: dict, depth: str, seen: set[str]
) -> Iterator[_Compared]:
  """All that a manifest records of a directory, and its history, once each."""
  mark = f"{place} {_of_values(values)}"
  if mark in seen:
    return
  seen.add(mark)
  yield from _own(place, values, depth)
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


def _own(place: str, values: dict, depth: str) -> Iterator[_Compared]:
  """What the directory itself holds."""
  if "weights" in values:
    yield _Compared(
      f"{depth}weights",
      values["weights"],
      lambda: (
        manifest.of_file(_here(place) / WEIGHTS) if _exists(place) else None
      ),
    )
  if "tokenizer" in values:
    yield _Compared(
      f"{depth}tokenizer",
      values["tokenizer"],
      lambda: (
        manifest.of_tokenizer(_here(place) / "tokenizer")
        if _exists(place)
        else None
      ),
    )
  if "records" not in values:
    return
  if not depth:  # of an input it was compared as such
    yield _Compared(
      "files", values["fingerprint"], lambda: dataset.fingerprint(place)
    )
  if buckets.is_remote(place):
    return  # they are read where they are used
  yield _Compared(
    f"{depth}records",
    values["records"],
    lambda: (
      manifest.of_records(pathlib.Path(place)) if _exists(place) else None
    ),
  )
  about = pathlib.Path(place) / "tokens" / "about.json"
  if about.is_file():
    made = lambda found: fingerprints.of_text(json.dumps(found))
    yield _Compared(
      f"{depth}records that tokens/ was made of",
      made(read_json(about).get("records")),
      lambda: made(tokens.records(pathlib.Path(place))),
    )


def _environment(values: dict, depth: str) -> Iterator[_Compared]:
  """What differs in code, libraries and devices."""
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


def _fingerprint(name: str, about: dict, values: dict) -> Callable[[], Any]:
  """What computes the fingerprint of an input again."""
  where = about["path"]
  if where is None:
    return lambda: None
  if name == "source":
    return lambda: earlier.of_source(
      where, values["arguments"].get("include", ())
    )
  if name == "tokenizer":
    return lambda: manifest.of_tokenizer(where)
  return lambda: manifest.of_place(where)


def _here(place: str) -> pathlib.Path:
  """Where a model or work directory can be read, without its checkpoints."""
  return pathlib.Path(buckets.fetch(place, checkpoints=False))


def _exists(place: str) -> bool:
  with buckets.errors(place):
    return buckets.place(place).exists()


def _of_values(values: dict | None) -> str | None:
  return values and fingerprints.of_text(json.dumps(values, sort_keys=True))
