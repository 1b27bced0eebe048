# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Prepares data on the workers of Apache Beam, for very large sources.

Two maps run over the files of a source. The first writes two hashes of each
row, 24 bytes, to a folder; from these, one process assigns every row to a split
with the code that a single machine runs. The second writes the rows:
consecutive files become a shard, so rows stay in order and no text moves from
one worker to another. The data directory equals the one that `prepare` makes
without Beam, except for how its rows are divided into shards.
"""

import collections
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import functools
import itertools
import json
import os
import pathlib
import tempfile
from typing import Any
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from nomic_jax.data import beam_pipeline
from nomic_jax.data import builder
from nomic_jax.data import readers
from nomic_jax.data import records
from nomic_jax.data import splits as splits_lib
from nomic_jax.errors import UserError
from nomic_jax.storage import places
from nomic_jax.storage.bad import BadRow
from nomic_jax.storage.bad import BadRows

# The maximum number of shards of a split; with fewer files, one per file.
_SHARDS = 1024


class _File(NamedTuple):
  """A file of the source, and the index of its first row among all rows."""

  number: int
  part: readers.Part
  path: str
  first: int = 0
  rows: int = 0


class _Shard(NamedTuple):
  """Source files, and the record files to write, by the fate of their rows."""

  files: list[_File]
  paths: dict[int, str]


@contextlib.contextmanager
def workers(
  rows: readers.Rows, flags: str, output: pathlib.Path
) -> Iterator["Workers"]:
  """Yields `Workers` with a temporary scratch folder beside `output`.

  Args:
    rows: what is to be prepared.
    flags: Beam's own flags, as on a command line.
    output: the data directory to make; workers must see its parent folder.

  Raises:
    UserError: if Beam is not installed or does not accept `flags`.
  """
  beam_pipeline.options(flags)
  scratch = places.beside(places.real(output), ".", hidden=True)
  scratch.parent.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory(
    prefix=scratch.name, suffix=".tmp", dir=scratch.parent
  ) as folder:
    yield Workers(rows, flags, pathlib.Path(folder).absolute())


class Workers:
  """Runs the two passes of `prepare` over all rows in many processes."""

  def __init__(self, rows: readers.Rows, flags: str, folder: pathlib.Path):
    self._rows, self._flags, self._folder = rows, flags, folder
    self._files = [_File(i, *each) for i, each in enumerate(rows.files())]

  def survey(self) -> splits_lib.Survey:
    """Surveys all rows, and sets `rows.bad` to those that were skipped.

    Raises:
      UserError: the error with which a single machine would have stopped.
    """
    survey = functools.partial(_survey, self._folder, self._rows.skip_bad)
    beam_pipeline.run(self._flags, self._folder, survey, self._files)
    bad = self._rows.bad = BadRows(self._rows.skip_bad)
    hashes, first, largest = [np.zeros((6, 0), np.uint64)], 0, -1
    sources: collections.Counter[str] = collections.Counter()
    for i, file in enumerate(self._files):
      notes = json.loads(_notes(self._folder, i).read_text())
      for reason, message in notes["bad"]:
        bad.add(BadRow(reason, message))
      if notes["error"]:
        raise UserError(notes["error"])
      bad.left.update(notes["left"])
      bad.made.update(notes["made"])
      largest = max(largest, notes["largest_id"])
      hashes.append(np.load(_hashes(self._folder, i)))
      rows = hashes[-1].shape[1]
      self._files[i] = file._replace(first=first, rows=rows)
      first += rows
      if rows:
        sources[readers.source_of(file.part, file.path)] += rows
    bad.check(first)
    return splits_lib.Survey._make(
      (*np.concatenate(hashes, 1), sources, largest)
    )

  def builder(
    self, fates: np.ndarray, fate_of: Mapping[str, int]
  ) -> Callable[..., builder.Pairs]:
    """Returns a function that makes a builder whose shards the workers write.

    Args:
      fates: the fates of all rows.
      fate_of: by split, the fate of its rows.
    """
    np.save(self._folder / "fates.npy", fates)
    total = len(fates)
    groups = [
      list(g)
      for _, g in itertools.groupby(
        (f for f in self._files if f.rows), lambda f: f.first * _SHARDS // total
      )
    ]
    counts = {
      name: np.array(
        [
          np.sum(fates[g[0].first : g[-1].first + g[-1].rows] == fate)
          for g in groups
        ]
      )
      for name, fate in fate_of.items()
    }

    def fill(paths: Mapping[str, Sequence[str]]) -> None:
      """Fills the files of each split, one for each group that has rows."""
      left = {name: iter(p) for name, p in paths.items()}
      shards = [
        _Shard(
          group,
          {
            fate_of[name]: next(left[name])
            for name in fate_of
            if counts[name][i]
          },
        )
        for i, group in enumerate(groups)
      ]
      write = functools.partial(_write, self._folder, self._rows.skip_bad)
      beam_pipeline.run(self._flags, self._folder, write, shards)

    return functools.partial(
      _Shards,
      fill=fill,
      prompts=self._rows.prompts(),
      lengths={n: c[c > 0].tolist() for n, c in counts.items()},
      runs={
        name: [
          (
            readers.source_of(f.part, f.path),
            int(np.sum(fates[f.first : f.first + f.rows] == fate)),
          )
          for f in self._files
        ]
        for name, fate in fate_of.items()
      },
    )


class _Shards(builder.Pairs, skip_registration=True):
  """The TFDS builder for record files that workers write."""

  name = builder.Pairs.name

  def __init__(
    self,
    *,
    fill: Callable[[dict[str, list[str]]], None],
    lengths: dict[str, list[int]],
    runs: dict[str, list[tuple[str, int]]],
    **kwargs: Any,
  ):
    """Takes the function that fills files, and the row counts."""
    super().__init__(splits={}, **kwargs)
    self._fill, self._lengths = fill, lengths
    for name, run in runs.items():
      note = self.sources.noting(name)
      for source, rows in run:
        if rows:
          note(source, rows)

  def _write_splits(self) -> list[tfds.core.SplitInfo]:
    names = {
      name: self._get_filename_template(split_name=name)
      for name in self._lengths
    }
    paths = {
      name: [
        os.fspath(
          template.sharded_filepath(
            shard_index=i, num_shards=len(self._lengths[name])
          )
        )
        for i in range(len(self._lengths[name]))
      ]
      for name, template in names.items()
    }
    self._fill(paths)
    return [
      tfds.core.SplitInfo(
        name=name,
        shard_lengths=self._lengths[name],
        num_bytes=sum(map(os.path.getsize, paths[name])),
        filename_template=template,
      )
      for name, template in names.items()
    ]


class _Noted(BadRows):
  """The bad rows of one file, in order."""

  def __init__(self, allowed: int | str):
    super().__init__(allowed)
    self.notes: list[tuple[str, str]] = []

  def add(self, row: BadRow) -> None:
    self.notes.append((row.reason, str(row)))
    super().add(row)


def _survey(folder: pathlib.Path, allowed: int | str, file: _File) -> None:
  bad, hashes = _Noted(allowed), np.zeros((6, 0), np.uint64)
  largest, error = -1, ""
  try:
    survey = splits_lib.survey(readers.rows_of(file.part, file.path, bad))
    hashes = np.stack(
      [
        survey.queries,
        survey.documents,
        survey.rows,
        survey.same_queries,
        survey.same_documents,
        survey.linked,
      ]
    )
    largest = survey.largest_id
  except BadRow:
    pass  # One bad row too many; it is in the notes.
  except UserError as e:
    error = str(e)
  with beam_pipeline.appearing(_hashes(folder, file.number)) as path:
    with open(path, "wb") as stream:
      np.save(stream, hashes)
  with beam_pipeline.appearing(_notes(folder, file.number)) as path:
    path.write_text(
      json.dumps(
        {
          "bad": bad.notes,
          "error": error,
          "left": bad.left,
          "made": bad.made,
          "largest_id": largest,
        }
      )
    )


def _write(folder: pathlib.Path, allowed: int | str, shard: _Shard) -> None:
  fates = np.load(folder / "fates.npy", mmap_mode="r")
  with contextlib.ExitStack() as stack:
    writers = {
      fate: stack.enter_context(_records(path))
      for fate, path in shard.paths.items()
    }
    for file in shard.files:
      number, fate = 0, fates[file.first : file.first + file.rows].tolist()
      rows = readers.rows_of(file.part, file.path, BadRows(allowed))
      for number, row in enumerate(rows, 1):
        if number <= len(fate) and fate[number - 1] in writers:
          writers[fate[number - 1]](records.encode(row))
      if number != len(fate):
        raise UserError(
          f"{file.path} changed while it was read: it had {len(fate):,} "
          f"rows and now has {number:,}; run the command again"
        )


def _hashes(folder: pathlib.Path, number: int) -> pathlib.Path:
  return folder / f"{number}.npy"


def _notes(folder: pathlib.Path, number: int) -> pathlib.Path:
  return folder / f"{number}.json"


@contextlib.contextmanager
def _records(path: str) -> Iterator[Callable[[bytes], None]]:
  with (
    beam_pipeline.appearing(pathlib.Path(path)) as temporary,
    builder.record_file(temporary) as write,
  ):
    yield write
